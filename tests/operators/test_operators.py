"""Every operator over quantized tensors against LiteRT's reference kernels, byte for byte."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pytest_microtvm.compiler import CompileOptions
from pytest_microtvm.compiler.quantized import dead, rewriting
from pytest_microtvm.compiler.quantized.kernels import generate
from pytest_microtvm.compiler.quantized.specs import (
    Arithmetic,
    KernelSource,
    Lookup,
    Requantization,
    Spec,
)
from tests.operators.catalogue import draw
from tests.operators.float_cases import FLOATS
from tests.operators.more_cases import MORE
from tests.operators.quantized_cases import QUANTIZED
from tests.operators.running import compiled, differences

pytest.importorskip("ai_edge_litert", reason="pip install 'pytest-microtvm[litert]'")

CASES = 30
"""Of each operator; `scripts/bench operators` runs as many as one likes."""
FEWER_CASES = 8
"""Of each of the operators that come after those: one model."""
IN_FLOAT = {"quantize", "dequantize"}
WITH_WEIGHTS = ("conv_2d", "depthwise_conv_2d", "fully_connected", "padded_conv_2d", "network")
"""Operators that are written anew for each kind of vector instructions."""
WITH_HELIUM = ("add", "sub", "average_pool_2d")
"""Operators that are written anew for Helium."""
WITHOUT_FACTORS = {
    *IN_FLOAT,
    "average_pool_2d",
    "max_pool_2d",
    "pad",
    "reshape",
    "squeeze",
    "transpose",
    "concatenation",
    "split",
    "strided_slice",
    "resize_nearest_neighbor",
    "resize_bilinear",
}
"""Operators whose kernels have nothing that scales a value."""


APPROXIMATED = (
    "batch_matmul",
    "hard_swish",
    "leaky_relu_int16",
    "logistic_int16",
    "prelu",
    "softmax_int16",
    "squared_difference",
    "transpose_conv",
)
"""Operators with kernels of their own for TFLite's bits."""


def test_float_operators_are_within_the_tolerance(tmp_path):
    """By kernels of our own throughout; `scripts/bench operators` draws more of them."""
    found = differences(list(draw(4 * len(FLOATS), operators=tuple(FLOATS))), tmp_path)
    assert not found, "\n".join(map(str, found))
    kernels = [path.read_text() for path in tmp_path.glob("*/codegen/host/src/*_lib0.c")]
    assert not [text for text in kernels if "as TVM writes it" in text]


@pytest.mark.parametrize("operator", QUANTIZED)
def test_outputs_are_the_reference_s_bytes(operator, tmp_path):
    found = differences(list(draw(CASES, operators=[operator])), tmp_path)
    assert not found, "\n".join(map(str, found))
    kernels = [path.read_text() for path in tmp_path.glob("*/codegen/host/src/*_lib0.c")]
    assert kernels
    # Nothing falls back to float.
    assert operator in IN_FLOAT or not any("float" in text for text in kernels)


@pytest.mark.parametrize("operator", MORE)
def test_other_operators_give_the_reference_s_bytes_and_floats_are_close(operator, tmp_path):
    drawn = list(draw(FEWER_CASES, operators=[operator]))
    found = differences(drawn, tmp_path / "all")
    assert not found, "\n".join(map(str, found))
    integers = [case for case in drawn if not any(t.dtype == "FLOAT32" for t in case.tensors)]
    for number, case in enumerate(integers[:2]):
        [model], _ = compiled([case], tmp_path / f"{number}")
        text = model.files["codegen/host/src/m0_lib0.c"].decode()
        assert "float" not in text, f"{case} falls back to float"


@pytest.mark.parametrize(
    ("operator", "simd"),
    [
        *((operator, "dsp") for operator in WITH_WEIGHTS),
        *((operator, "helium") for operator in (*WITH_WEIGHTS, *WITH_HELIUM)),
        ("network", "swar64"),
        ("network", "rvv"),
    ],
)
def test_vector_kernels_give_the_same_bytes_by_their_twins(operator, simd, tmp_path):
    found = differences(
        list(draw(CASES, operators=[operator])), tmp_path, CompileOptions(simd=simd)
    )
    assert not found, "\n".join(map(str, found))


@pytest.mark.parametrize("simd", ["none", "dsp", "helium"])
def test_dead_channels_change_no_byte(simd, tmp_path):
    drawn = list(draw(CASES, operators=["dead_network"]))
    found = differences(drawn, tmp_path, CompileOptions(simd=simd))
    assert not found, "\n".join(map(str, found))


def middle(values: Any, channels: Any) -> Any:
    """Images of known channels whose borders are as the rest is."""
    flat = values.reshape(-1, len(channels))
    found = np.broadcast_to(flat[len(flat) // 2], flat.shape)
    return {int(channel): found[:, number] for number, channel in enumerate(channels)}


@pytest.mark.parametrize(
    ("place", "wrong", "seed"),  # a seed among whose networks are some that show it
    [
        ("removal.with_bias", lambda spec, added: spec, 0),
        ("weighted.Weighted.is_inside", True, 11),
        ("known._images", middle, 11),
    ],
    ids=["not folded", "no padding", "no borders"],
)
def test_wrong_sums_of_dead_channels_are_noticed(place, wrong, seed, tmp_path, monkeypatch):
    monkeypatch.setattr(f"{dead.__name__}.{place}", wrong)
    assert differences(list(draw(CASES, seed, ["dead_network"])), tmp_path)


def changed(spec: Any) -> Any:
    """The same with one wrong constant; None when there is none to change."""
    if isinstance(spec, Lookup):
        return replace(spec, table=spec.table ^ 1)
    if "positive" in vars(spec):
        return replace(spec, positive=wrong(spec.positive), negative=wrong(spec.negative))
    requantization = getattr(spec, "requantization", None)
    if requantization is not None:
        return replace(spec, requantization=wrong(requantization))
    return (
        replace(spec, multiplier=flipped(spec.multiplier)) if "multiplier" in vars(spec) else None
    )


def wrong(requantization: Requantization) -> Requantization:
    """The same with a wrong factor for the first channel."""
    multipliers = requantization.multipliers.copy()
    multipliers[0] = flipped(multipliers[0])
    reals = requantization.reals
    if reals is not None:
        reals = reals.copy()
        reals[0] *= 1.3
    return replace(requantization, multipliers=multipliers, reals=reals)


def flipped(multiplier: int) -> int:
    """The second highest bit is wrong: a third of the value, or a quarter."""
    return multiplier ^ 1 << 29


@pytest.mark.parametrize(
    "operator",
    [*(name for name in QUANTIZED if name not in WITHOUT_FACTORS), *APPROXIMATED],
)
def test_wrong_factors_are_noticed(operator, tmp_path, monkeypatch):
    """One in each kernel; where all of a channel's results are clamped, it makes no difference."""
    monkeypatch.setattr(
        rewriting, "generate", lambda spec, simd: generate(changed(spec) or spec, simd)
    )
    assert len(differences(list(draw(12, seed=1, operators=[operator])), tmp_path)) >= 4


def test_a_wrong_side_of_a_sum_is_noticed(tmp_path, monkeypatch):
    def generate_wrong(spec: Spec, simd: str) -> KernelSource:
        if isinstance(spec, Arithmetic):
            left, right = spec.operands
            left = replace(left, multiplier=flipped(left.multiplier))
            spec = replace(spec, operands=(left, right))
        return generate(spec, simd)

    monkeypatch.setattr(rewriting, "generate", generate_wrong)
    found = differences(list(draw(6, seed=2, operators=["add"])), tmp_path)
    assert len(found) >= 3


def test_a_wrong_byte_in_the_archive_is_noticed(tmp_path):
    """What is compared is what a user builds: the C files, not what the compiler knows."""

    def change(files: Any) -> Any:
        path = "codegen/host/src/m0_lib0.c"
        text = files[path].decode()
        changed_text, count = re.subn(
            r"\*output\+\+ = \((\w+)\)([^;]*);", r"*output++ = (\1)(1 ^ (\2));", text
        )
        assert count
        return {**files, path: changed_text.encode()}

    drawn = list(draw(2, operators=["average_pool_2d"]))
    assert [d.case.name for d in differences(drawn, tmp_path, change=change)] == [
        c.name for c in drawn
    ]


def test_cases_do_not_depend_on_which_are_drawn():
    some = list(draw(3, seed=5, operators=["add"], start=2))
    more = list(draw(6, seed=5, operators=["add"]))[2:5]
    assert [case.tensors for case in some] == [case.tensors for case in more] != []
    for left, right in zip(some, more, strict=True):
        for ours, theirs in zip(left.samples, right.samples, strict=True):
            assert all(np.array_equal(a, b) for a, b in zip(ours, theirs, strict=True))


def test_a_case_says_what_it_is():
    [case] = draw(1, operators=["squeeze"])
    assert str(case).startswith("squeeze-0: SQUEEZE(")
    assert str(Path("/")) not in str(case)
