"""Kernels as C, run on the host: what they compute, and where their memory is."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pytest_microtvm.compiler import CompileOptions, compile_to_files
from tests.unit.compiler.native import C99, CXX11, Array, NativeModel, compile_c
from tests.unit.compiler.relax_models import relax_module

RANDOM = np.random.default_rng(11)


def build(module: Any, directory: Path, name: str = "m") -> NativeModel:
    return NativeModel(compile_to_files(module, CompileOptions(name=name)), directory)


def integers(dtype: str, size: int = 64) -> Array:
    """Numbers over the whole range of `dtype`, the extremes among them."""
    limits = np.iinfo(dtype)
    numbers = RANDOM.integers(limits.min, limits.max, size, dtype, endpoint=True)
    numbers[:2] = limits.min, limits.max
    return numbers


@pytest.fixture(scope="module")
def arithmetic(tmp_path_factory: pytest.TempPathFactory) -> NativeModel:
    """Every integer operation that C would compute in int, over narrow types; and bits."""

    def body(a: Any, b: Any, c: Any, d: Any, e: Any, f: Any) -> Any:
        from tvm.relax import op

        return (
            op.add(a, b),
            op.multiply(a, b),
            op.subtract(c, d),
            op.bitwise_xor(c, d),
            op.bitwise_not(c),
            op.maximum(a, b),
            op.minimum(c, d),
            op.floor_divide(e, f),
            op.floor_mod(e, f),
            op.less(a, b),
            op.logical_not(op.less(a, b)),
            op.astype(op.less(a, b), "float32"),
        )

    types = [([64], dtype) for dtype in ("int8", "int8", "uint8", "uint8", "int32", "int32")]
    return build(relax_module(body, *types), tmp_path_factory.mktemp("arithmetic"))


def test_narrow_integers_wrap_as_numpy_has_it(arithmetic: NativeModel):
    a, b, c, d = (integers(dtype) for dtype in ("int8", "int8", "uint8", "uint8"))
    e, f = integers("int32"), RANDOM.integers(1, 99, 64, np.int32)
    f[::2] *= -1
    expected = [
        a + b,
        a * b,
        c - d,
        c ^ d,
        ~c,
        np.maximum(a, b),
        np.minimum(c, d),
        e // f,
        e % f,
        a < b,
        ~(a < b),
        (a < b).astype(np.float32),
    ]
    for result, want in zip(arithmetic(a, b, c, d, e, f), expected, strict=True):
        assert result.dtype == want.dtype
        np.testing.assert_array_equal(result, want)


def test_integers_divided_by_nothing_are_no_trap(arithmetic: NativeModel):
    least = np.iinfo(np.int32).min
    e = np.resize(np.array([least, -7, 0, 7], np.int32), 64)
    f = np.repeat(np.array([0, -1, 1, least], np.int32), 16)
    narrow = [integers(dtype) for dtype in ("int8", "int8", "uint8", "uint8")]
    with np.errstate(all="ignore"):
        expected = e // f, e % f
    results = arithmetic(*narrow, e, f)
    np.testing.assert_array_equal(results[7], expected[0])
    np.testing.assert_array_equal(results[8], expected[1])


@pytest.fixture(scope="module")
def functions(tmp_path_factory: pytest.TempPathFactory) -> NativeModel:
    """Functions of libm in both precisions, constants with odd values."""

    def body(x: Any, y: Any) -> Any:
        from tvm import relax
        from tvm.relax import op

        odd = np.array([1 / 3, np.inf, -np.inf, 1e-45, 16777217.0, -0.0], np.float32)
        return (
            op.tanh(x),
            op.erf(x),
            op.sqrt(op.abs(x)),
            op.power(op.exp(x), relax.const(1 / 3, "float32")),
            op.round(op.multiply(x, relax.const(10.0, "float32"))),
            op.isnan(op.log(x)),
            op.sin(y),
            op.multiply(y, relax.const(1 / 3, "float64")),
            op.add(x, relax.const(odd)),
        )

    module = relax_module(body, ([6], "float32"), ([6], "float64"))
    return build(module, tmp_path_factory.mktemp("functions"))


def test_mathematical_functions_agree_with_numpy(functions: NativeModel):
    x = np.array([-0.75, 0.0, 0.25, 0.5, -0.05, 0.9], np.float32)
    y = np.linspace(-3, 3, 6)
    odd = np.array([1 / 3, np.inf, -np.inf, 1e-45, 16777217.0, -0.0], np.float32)
    third = np.float32(1 / 3)
    with np.errstate(invalid="ignore", divide="ignore"):
        expected = [
            np.tanh(x),
            np.array([math.erf(value) for value in x], np.float32),
            np.sqrt(np.abs(x)),
            np.exp(x) ** third,
            np.round(x * np.float32(10)),
            np.isnan(np.log(x)),
            np.sin(y),
            y * (1 / 3),
            x + odd,
        ]
    for result, want in zip(functions(x, y), expected, strict=True):
        np.testing.assert_allclose(result, want, rtol=3e-7 if want.dtype == np.float32 else 1e-15)


def test_float_constants_are_exact_in_kernels(functions: NativeModel):
    zeros, y = np.zeros(6, np.float32), np.linspace(1, 7, 6)
    results = functions(zeros, y)
    np.testing.assert_array_equal(results[7], y * (1 / 3))
    np.testing.assert_array_equal(
        results[8][:5], np.array([1 / 3, np.inf, -np.inf, 1e-45, 16777217.0], np.float32)
    )


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> NativeModel:
    """A convolution, pooling and matrix product with workspaces too large for a stack."""
    weights = RANDOM.standard_normal((4, 3, 3, 3)).astype(np.float32)
    matrix = RANDOM.standard_normal((4, 5)).astype(np.float32)

    def body(x: Any) -> Any:
        from tvm import relax
        from tvm.relax import op

        y = op.nn.relu(op.nn.conv2d(x, relax.const(weights), padding=1))
        y = op.nn.relu(op.nn.conv2d(y, relax.const(np.tile(weights, (1, 2, 1, 1))[:, :4])))
        y = op.reshape(op.nn.adaptive_avg_pool2d(y, (1, 1)), (1, 4))
        # The same matrix twice: two constants, one array.
        y = op.add(
            op.matmul(y, relax.const(matrix)), op.matmul(op.exp(y), relax.const(matrix.copy()))
        )
        return op.nn.softmax(y)

    model = build(
        relax_module(body, ([1, 3, 12, 12], "float32")), tmp_path_factory.mktemp("network"), "net"
    )
    model.expected = lambda x: _network(x, weights, matrix)  # type: ignore[attr-defined]
    return model


def _network(x: Array, weights: Array, matrix: Array) -> Array:
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
    y = np.maximum(_convolution(padded, weights), 0)
    y = np.maximum(_convolution(y, np.tile(weights, (1, 2, 1, 1))[:, :4]), 0)
    y = y.mean(axis=(2, 3))
    y = y @ matrix + np.exp(y) @ matrix
    y = np.exp(y - y.max())
    return np.asarray(y / y.sum())


def _convolution(x: Array, weights: Array) -> Array:
    windows = np.lib.stride_tricks.sliding_window_view(x, (3, 3), axis=(2, 3))
    return np.einsum("nchwij,ocij->nohw", windows, weights)


def test_a_network_agrees_with_numpy(network: NativeModel):
    x = RANDOM.standard_normal((1, 3, 12, 12)).astype(np.float32)
    expected: Callable[[Array], Array] = network.expected  # type: ignore[attr-defined]
    np.testing.assert_allclose(network(x)[0], expected(x), rtol=1e-4, atol=1e-6)


def test_a_second_run_in_the_same_memory_gives_the_same(network: NativeModel):
    x = RANDOM.standard_normal((1, 3, 12, 12)).astype(np.float32)
    np.testing.assert_array_equal(network(x)[0], network(x)[0])


def test_no_stack_array_is_above_256_bytes_and_nothing_is_allocated(network: NativeModel):
    text = network.text("net_lib*.c")
    arrays = re.findall(r"^ +(?:float|int32_t) \w+\[(\d+)\] = \{0\};$", text, re.MULTILINE)
    assert all(4 * int(count) <= 256 for count in arrays)
    assert "(workspace + " in text
    assert not re.search(r"alloc|TVM(?!GEN_)[A-Z]", text)


def test_sums_of_stack_arrays_are_bounded_by_the_compiler_itself(network: NativeModel):
    for source in network.sources:
        compile_c([*C99, "-O0", "-Wstack-usage=768", "-c"], network.root, [source, "-o/dev/null"])


def test_equal_constants_are_stored_once(network: NativeModel):
    arrays = re.findall(
        r"^TVMGEN_ALIGNED const TVMGEN_FLASH float \w+\[(\d+)\]", network.text("net_lib0.c"), re.M
    )
    assert sorted(map(int, arrays)) == [20, 108, 144]
    assert network.library.constants_bytes == 4 * (20 + 108 + 144)


@pytest.mark.parametrize("compiler", [C99, CXX11], ids=["C99", "C++11"])
@pytest.mark.parametrize("fixture", ["network", "arithmetic", "functions"])
def test_all_c_is_clean(fixture: str, compiler: list[str], request: pytest.FixtureRequest):
    model: NativeModel = request.getfixturevalue(fixture)
    for source in model.sources:
        compile_c([*compiler, "-O2", "-c"], model.root, [source, "-o/dev/null"])


def test_generated_code_includes_no_more_than_it_may(network: NativeModel):
    included = set(re.findall(r"#include (.*)", network.text("*.[ch]")))
    assert included == {
        "<math.h>",
        "<microtvm/context.h>",
        "<microtvm/functions.h>",
        "<microtvm/model.h>",
        "<stdbool.h>",
        "<stddef.h>",
        "<stdint.h>",
        "<string.h>",
        '"tvmgen_float_kernels.h"',
        '"tvmgen_net.h"',
        '"tvmgen_net_internal.h"',
    }


def test_all_external_names_carry_the_prefix(network: NativeModel, tmp_path: Path):
    import subprocess

    for source in network.sources:
        compile_c([*C99, "-c"], network.root, [source, "-o", str(tmp_path / "o.o")])
        symbols = subprocess.run(
            ["nm", "--extern-only", "--defined-only", str(tmp_path / "o.o")],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        names = [line.split()[2] for line in symbols.splitlines()]
        assert [name for name in names if not re.match(r"tvmgen_net(_|$)", name)] == []
        assert names
