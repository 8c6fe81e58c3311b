"""What is known once the shapes of the inputs are: shape arithmetic, and constants."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import flatbuffers
import numpy as np
import pytest
import tflite

from pytest_microtvm.compiler import compile_to_files
from pytest_microtvm.compiler.frontends.tflite import import_tflite
from pytest_microtvm.errors import ModelError
from tests.operators.cases import Case, merged
from tests.operators.running import run_litert
from tests.unit.compiler.native import Array, NativeModel
from tests.unit.compiler.tflite_models import (
    Model,
    Operator,
    Quantization,
    Tensor,
    fully_connected,
    mul,
)


def native(model: Model, directory: Path) -> NativeModel:
    (directory / "m.tflite").write_bytes(model.to_bytes())
    return NativeModel(compile_to_files(directory / "m.tflite"), directory)


def assert_as_litert(model: Model, directory: Path, *inputs: Array) -> None:
    found = native(model, directory)(*inputs)
    pytest.importorskip("ai_edge_litert", reason="pip install 'pytest-microtvm[litert]'")
    [expected] = run_litert(model.to_bytes(), [list(inputs)])
    for array, wanted in zip(found, expected, strict=True):
        np.testing.assert_array_equal(array.reshape(wanted.shape), wanted)


def _open(case: Case, extents: Sequence[int], dtype: str) -> int:
    """A tensor whose extents of -1 the file leaves open; its index."""
    stored = [max(1, extent) for extent in extents]
    name = f"{case.name}{len(case.tensors)}"
    case.tensors.append(Tensor(name, stored, dtype, shape_signature=extents))
    return len(case.tensors) - 1


def _int64_shape(builder: flatbuffers.Builder) -> int:
    tflite.ShapeOptionsStart(builder)
    tflite.ShapeOptionsAddOutType(builder, tflite.TensorType.INT64)
    return int(tflite.ShapeOptionsEnd(builder))


def flattened() -> Model:
    """float32 [?, 2, 3] -> [?, 6], as a Reshape of ONNX whose 0 keeps an extent is converted.

    The shape is [0, -1] with each 0 replaced by the extent at its place.
    """
    case = Case("flattened", "flattened")

    def numbers(*extents: int) -> int:
        return _open(case, extents, "INT64")

    x = _open(case, [-1, 2, 3], "FLOAT32")
    shape, batch, row, kept = numbers(3), numbers(), numbers(1), case.add([2], "bool")
    places, flat, extents = numbers(-1, 1), numbers(-1), numbers(-1)
    filled, wanted, narrow = numbers(2), numbers(2), case.add([2], "int32")
    result = _open(case, [-1, -1], "FLOAT32")
    zero, two, pattern = (
        case.add(np.shape(values), "int64", data=np.array(values, np.int64))
        for values in (0, [2], [0, -1])
    )
    case.operators.append(Operator("SHAPE", [x], [shape], ("ShapeOptions", _int64_shape)))
    case.step("GATHER", [shape, zero], [batch])
    case.step("RESHAPE", [batch, case.constant([1])], [row], NewShape=[1])
    case.step("EQUAL", [pattern, zero], [kept])
    case.step("WHERE", [kept], [places])
    case.step("RESHAPE", [places, case.constant([-1])], [flat], NewShape=[-1])
    case.step("GATHER", [shape, flat], [extents])
    case.step("SPARSE_TO_DENSE", [places, two, extents, zero], [filled])
    case.step("ADD", [pattern, filled], [wanted])
    case.step("CAST", [wanted], [narrow])
    case.step("RESHAPE", [x, narrow], [result], NewShape=[])
    case.inputs, case.outputs = [x], [result, row]
    return merged([case])


def test_a_shape_is_made_of_places_of_zeros(tmp_path):
    assert_as_litert(flattened(), tmp_path, np.arange(6, dtype=np.float32).reshape(1, 2, 3))


def scattered(places: Array, values: Array, is_input: bool) -> Model:
    """Values at places of [3, 4], -1 elsewhere; `x` is added where the values are known."""
    case = Case("scattered", "scattered")
    given = case.add(values.shape, "float32", data=None if is_input else values)
    default = case.add([], "float32", data=np.float32(-1))
    result = case.add([3, 4], "float32")
    index, shape = case.constant(places), case.constant([3, 4])
    case.inputs = [given] if is_input else []
    if not is_input:
        x, dense = case.add([3, 4], "float32"), case.add([3, 4], "float32")
        case.inputs = [x]
        case.step("SPARSE_TO_DENSE", [index, shape, given, default], [dense])
        case.run("ADD", [x, dense], [result])
    else:
        case.run("SPARSE_TO_DENSE", [index, shape, given, default], [result])
    return merged([case])


@pytest.mark.parametrize("is_input", [True, False], ids=["computed", "known"])
def test_values_are_put_at_their_places(is_input, tmp_path):
    places, values = np.array([[0, 1], [1, 0], [2, 3]]), np.array([5, 6, 7], np.float32)
    x = values if is_input else np.ones([3, 4], np.float32)
    assert_as_litert(scattered(places, values, is_input), tmp_path, x)


def test_a_place_beyond_the_extents_is_refused(tmp_path):
    model = scattered(np.array([[3, 0]]), np.array([1], np.float32), is_input=False)
    with pytest.raises(ModelError, match=r"beyond the extents \[3, 4\]"):
        native(model, tmp_path)


def test_places_of_what_is_computed_are_refused_in_words(tmp_path):
    tensors = [Tensor("x", [4], "BOOL"), Tensor("places", [1, 1], "INT64")]
    with pytest.raises(ModelError, match=r"known at run time only.*SELECT_V2"):
        native(Model(tensors, [Operator("WHERE", [0], [1])], [0], [1]), tmp_path)


def test_sparse_weights_are_those_with_their_zeros(tmp_path):
    weights = np.array([[0, 2, 0, -1], [0, 0, 0, 0], [3, 0, 0, 5]], np.float32)
    tensors = [
        *(Tensor("x", [1, 4]), Tensor("sparse", [3, 4], data=weights, is_sparse=True)),
        *(Tensor("dense", [3, 4]), Tensor("y", [1, 3])),
    ]
    steps = [Operator("DENSIFY", [1], [2]), fully_connected([0, 2, -1], 3)]
    model = Model(tensors, steps, [0], [3])
    assert_as_litert(model, tmp_path, np.array([[1, 2, 3, 4]], np.float32))


def test_weights_that_were_trained_for_steps_are_in_steps(tmp_path):
    """As training that knows of quantization leaves them where nothing quantizes its layers."""
    weights = np.array([[0.26, -1.0, 0.13], [3.9, 0.1, -4.2]], np.float32)
    steps = Quantization([0.25, 0.5], [128, 127])
    tensors = [
        *(Tensor("x", [1, 3]), Tensor("w", [2, 3], data=weights)),
        *(Tensor("steps", [2, 3], "UINT8", quantization=steps), Tensor("real", [2, 3])),
        Tensor("y", [1, 2]),
    ]
    operators = [Operator("QUANTIZE", [1], [2]), Operator("DEQUANTIZE", [2], [3])]
    model = Model(tensors, [*operators, fully_connected([0, 3, -1], 4)], [0], [4])
    assert_as_litert(model, tmp_path, np.array([[1, 2, 4]], np.float32))
    function = import_tflite(model.to_bytes()).module["main"]
    assert "quantize" not in function.script(show_meta=False)


@pytest.mark.parametrize("dtype", ["INT8", "INT16"])
def test_zeros_of_no_scale_multiply_to_zero(dtype, tmp_path):
    """As the state that an unrolled LSTM begins with is quantized."""
    known, none = Quantization([0.5], [0]), Quantization([0.0], [0])
    zeros = np.zeros([1, 3], dtype.lower())
    tensors = [
        *(Tensor("x", [1, 3], dtype, None, known), Tensor("state", [1, 3], dtype, zeros, none)),
        Tensor("y", [1, 3], dtype, None, Quantization([0.25], [3 if dtype == "INT8" else 0])),
    ]
    model = Model(tensors, [mul([0, 1], 2)], [0], [2])
    assert_as_litert(model, tmp_path, np.array([[1, -7, 100]], dtype.lower()))
    model.tensors[1] = Tensor("state", [1, 3], dtype, zeros + 1, none)
    with pytest.raises(ModelError, match="has the scale 0"):
        native(model, tmp_path)
