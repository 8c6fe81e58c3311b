"""Which operators of quantized models become integer kernels, and what is said of the others."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from pytest_microtvm.compiler import compile_to_files
from pytest_microtvm.mlf.library import open_library, write_library
from tests.unit.compiler.native import NativeModel
from tests.unit.compiler.tflite_models import (
    Model,
    Operator,
    Quantization,
    Tensor,
    add,
    options,
    two_by_two,
)


def quantized(name: str, scale: float = 0.5, zero_point: int = 3) -> Tensor:
    return Tensor(name, [2, 3], "INT8", None, Quantization([scale], [zero_point]))


def saved(model: Model, directory: Path) -> Path:
    path = directory / "model.tflite"
    path.write_bytes(model.to_bytes())
    return path


def power_after_add() -> Model:
    """(a, b) -> (a + b) ** 2; no integer kernel takes powers of two tensors."""
    exponent = np.full((2, 3), 7, np.int8)
    tensors = [
        quantized("a"),
        quantized("b"),
        quantized("sum", 0.7),
        quantized("power", 33.0),
        Tensor("exponent", [2, 3], "INT8", exponent, Quantization([0.5], [3])),
    ]
    power = Operator("POW", [2, 4], [3])
    return Model(tensors, [add([0, 1], 2), power], [0, 1], [3])


def test_an_operator_without_an_integer_kernel_is_named_with_its_cost(tmp_path: Path):
    said: list[str] = []
    files = compile_to_files(saved(power_after_add(), tmp_path), progress=said.append)
    write_library(tmp_path / "model.tar", files)
    found = open_library(tmp_path / "model.tar").float_operators
    assert found is not None
    assert found.operators == ("power",)
    assert "power" in str(found)
    [function] = found.functions
    assert function.startswith("tvmgen_model_")
    assert "add" not in function
    assert any("power" in line for line in said)


def test_moving_integers_is_no_computing_in_float(tmp_path: Path):
    model = power_after_add()
    order = Tensor("order", [2], "INT32", np.array([1, 0], np.int32))
    moved = Tensor("moved", [3, 2], "INT8", None, Quantization([0.5], [3]))
    model.tensors += [order, moved]
    model.operators.append(Operator("TRANSPOSE", [0, 5], [6]))
    model.outputs = [3, 6]
    write_library(tmp_path / "model.tar", compile_to_files(saved(model, tmp_path)))
    library = open_library(tmp_path / "model.tar")
    assert library.float_operators is not None
    assert len(library.kernels) == 3
    [function] = library.float_operators.functions
    assert "power" in function


def test_what_gives_integers_is_no_computing_in_float(tmp_path: Path):
    """An index is found and moved in integers; its conversion to float32 is what is told."""
    last = Tensor("last", [], "INT32", np.array(1, np.int32))
    tensors = [
        Tensor("x", [1, 6, 4], "INT8", None, Quantization([0.5], [3])),
        last,
        Tensor("index", [1, 4], "INT32"),
        Tensor("real", [1, 4], "FLOAT32"),
        Tensor("y", [1, 4], "INT8", None, Quantization([0.1], [-128])),
    ]
    operators = [
        Operator("ARG_MAX", [0, 1], [2]),
        Operator("CAST", [2], [3]),
        Operator("QUANTIZE", [3], [4]),
    ]
    model = Model(tensors, operators, [0], [4])
    native = NativeModel(compile_to_files(saved(model, tmp_path)), tmp_path)
    assert native.library.float_operators is not None
    assert native.library.float_operators.operators == ("astype",)


def test_the_rest_of_such_a_model_is_in_integers(tmp_path: Path):
    model = NativeModel(compile_to_files(saved(power_after_add(), tmp_path)), tmp_path)
    source = model.text("*_lib0.c")
    assert re.search(r"void tvmgen_model_add_0\(\s*const int8_t \*", source)
    rng = np.random.default_rng(0)
    a, b = (rng.integers(-128, 128, (2, 3)).astype(np.int8) for _ in range(2))
    [result] = model(a, b)
    total = np.clip(np.round((0.5 * (a.astype(float) - 3 + b - 3)) / 0.7) + 3, -128, 127)
    real = (0.7 * (total - 3)) ** 2
    expected = np.clip(real / 33 + 3, -128, 127)
    assert np.abs(result - expected).max() <= 1.0


@pytest.mark.parametrize("model", [two_by_two()], ids=["float"])
def test_a_float_model_is_no_quantized_model_in_float(model: Model, tmp_path: Path):
    write_library(tmp_path / "model.tar", compile_to_files(saved(model, tmp_path)))
    assert open_library(tmp_path / "model.tar").float_operators is None


def test_floats_may_go_on_from_integers(tmp_path: Path):
    """As a model goes on that is quantized in part: x -> exp(-x)."""
    tensors = [quantized("x"), Tensor("real", [2, 3]), Tensor("minus", [2, 3]), Tensor("y", [2, 3])]
    steps = [
        Operator("DEQUANTIZE", [0], [1]),
        Operator("NEG", [1], [2]),
        Operator("EXP", [2], [3]),
    ]
    model = NativeModel(
        compile_to_files(saved(Model(tensors, steps, [0], [3]), tmp_path)), tmp_path
    )
    x = np.array([[1, 2, 3], [-4, 5, 7]], np.int8)
    [result] = model(x)
    np.testing.assert_allclose(result, np.exp(-0.5 * (x.astype(np.float32) - 3)), rtol=1e-5)


def test_floats_computed_of_one_tensor_of_bytes_are_a_table(tmp_path: Path):
    """As converters leave layer normalizations: NEG of an average in float, between bytes."""
    tensors = [quantized("x"), Tensor("real", [2, 3]), Tensor("minus", [2, 3]), Tensor("c", [2, 3])]
    tensors.append(Tensor("y", [2, 3], "INT8", None, Quantization([0.01], [3])))
    steps = [
        Operator("DEQUANTIZE", [0], [1]),
        Operator("NEG", [1], [2]),
        Operator("COS", [2], [3]),
        Operator("QUANTIZE", [3], [4]),
    ]
    path = saved(Model(tensors, steps, [0], [4]), tmp_path)
    model = NativeModel(compile_to_files(path), tmp_path)
    assert model.library.float_operators is None
    x = np.array([[1, 2, 3], [-4, 5, 7]], np.int8)
    expected = np.round(np.cos(0.5 * (x.astype(np.float64) - 3)) / 0.01) + 3
    np.testing.assert_array_equal(model(x)[0], expected)


def test_floats_computed_of_two_tensors_are_no_table(tmp_path: Path):
    tensors = [quantized("a"), quantized("b"), *(Tensor(name, [2, 3]) for name in "cde")]
    tensors.append(quantized("y"))
    steps = [
        *(Operator("DEQUANTIZE", [0], [2]), Operator("DEQUANTIZE", [1], [3])),
        *(Operator("POW", [2, 3], [4]), Operator("QUANTIZE", [4], [5])),
    ]
    path = saved(Model(tensors, steps, [0, 1], [5]), tmp_path)
    model = NativeModel(compile_to_files(path), tmp_path)
    assert model.library.float_operators is not None
    assert model.library.float_operators.operators == ("power",)


def test_a_part_that_is_taken_in_float_stays_in_integers(tmp_path: Path):
    """As converters leave an unrolled GRU: SPLIT in float, between bytes of one scale."""
    axis = Tensor("axis", [], "INT32", np.array(1, np.int32))
    part = Quantization([0.5], [3])
    tensors = [quantized("x"), axis, Tensor("real", [2, 3])]
    tensors += [Tensor(f"real{n}", [2, 1]) for n in range(3)]
    tensors += [Tensor(f"y{n}", [2, 1], "INT8", None, part) for n in range(3)]
    split = options("SplitOptions", NumSplits=3)
    steps = [Operator("DEQUANTIZE", [0], [2]), Operator("SPLIT", [1, 2], [3, 4, 5], split)]
    steps += [Operator("QUANTIZE", [3 + n], [6 + n]) for n in range(3)]
    path = saved(Model(tensors, steps, [0], [6, 7, 8]), tmp_path)
    model = NativeModel(compile_to_files(path), tmp_path)
    assert model.library.float_operators is None
    x = np.array([[1, 2, 3], [-4, 5, 7]], np.int8)
    for n, result in enumerate(model(x)):
        np.testing.assert_array_equal(result, x[:, n : n + 1])


def choice(last: Operator, *others: Tensor) -> Model:
    """(condition, x) -> what `last` makes of both, of -x and of `others`, which begin at 5."""
    shape = [2, 6] if last.name == "CONCATENATION" else [2, 3]
    tensors = [Tensor("c", [2, 3], "BOOL"), quantized("x"), Tensor("r", [2, 3])]
    tensors += [Tensor("minus", [2, 3]), Tensor("chosen", shape), *others]
    tensors.append(Tensor("y", shape, "INT8", None, Quantization([0.25], [-1])))
    steps = [Operator("DEQUANTIZE", [1], [2]), Operator("NEG", [2], [3]), last]
    steps.append(Operator("QUANTIZE", [4], [len(tensors) - 1]))
    return Model(tensors, steps, [0, 1], [len(tensors) - 1])


def one_and_a_half() -> Tensor:
    return Tensor("k", [], "FLOAT32", np.array(1.5, np.float32))


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        (choice(Operator("SELECT_V2", [0, 2, 3], [4])), lambda c, x: np.where(c, x, -x)),
        (
            choice(Operator("SELECT_V2", [0, 3, 5], [4]), one_and_a_half()),
            lambda c, x: np.where(c, -x, 1.5),
        ),
        (
            choice(Operator("CONCATENATION", [2, 3], [4], options("ConcatenationOptions", Axis=1))),
            lambda c, x: np.concatenate([x, -x], 1),
        ),
        (choice(Operator("CAST", [0], [4])), lambda c, x: c.astype(np.float32)),
    ],
    ids=["branches", "constant", "joined", "truth"],
)
def test_what_is_only_chosen_in_float_is_chosen_in_integers(tmp_path: Path, model, expected):
    native = NativeModel(compile_to_files(saved(model, tmp_path)), tmp_path)
    assert native.library.float_operators is None
    c = np.array([[True, False, True], [False, True, False]])
    x = np.array([[1, 2, 3], [-4, 5, 7]], np.int8)
    real = expected(c, 0.5 * (x.astype(np.float64) - 3))
    np.testing.assert_array_equal(native(c, x)[0], np.clip(real / 0.25 - 1, -128, 127))


def test_an_integer_model_computes_nothing_in_float(tmp_path: Path):
    tensors = [quantized("a"), quantized("b"), quantized("sum", 0.7)]
    path = saved(Model(tensors, [add([0, 1], 2)], [0, 1], [2]), tmp_path)
    model = NativeModel(compile_to_files(path), tmp_path)
    assert model.library.float_operators is None
    kernels = re.sub(r"/\*.*?\*/", "", model.text("*_lib0.c"), flags=re.DOTALL)
    assert "float" not in kernels
    assert "double" not in kernels


def test_kernels_that_do_the_same_are_one(tmp_path: Path):
    tensors = [quantized("a"), quantized("b"), quantized("c"), quantized("d", 0.7)]
    tensors += [quantized("e", 0.7)]
    path = saved(Model(tensors, [add([0, 1], 3), add([1, 2], 4)], [0, 1, 2], [3, 4]), tmp_path)
    source = compile_to_files(path)["codegen/host/src/model_lib0.c"].decode()
    assert source.count("void tvmgen_") == 1
