"""What the importer adds to TVM's: float weights, and moves of quantized elements."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pytest_microtvm.compiler import compile_to_files
from tests.unit.compiler.native import NativeModel
from tests.unit.compiler.tflite_models import (
    Model,
    Operator,
    Quantization,
    Tensor,
    fully_connected,
)


def native(model: Model, directory: Path) -> NativeModel:
    path = directory / "net.tflite"
    path.write_bytes(model.to_bytes())
    return NativeModel(compile_to_files(path), directory)


def test_weights_of_dynamic_range_quantization_become_floats(tmp_path: Path):
    weights = np.random.default_rng(5).integers(-127, 128, (4, 3), np.int8)
    scales = [0.5, 0.25, 2.0, 1.0]
    tensors = [
        Tensor("x", [2, 3]),
        Tensor("w", [4, 3], "INT8", weights, Quantization(scales, [0, 0, 0, 0])),
        Tensor("b", [4], data=np.arange(4, dtype=np.float32)),
        Tensor("y", [2, 4]),
    ]
    model = native(Model(tensors, [fully_connected([0, 1, 2], 3)], [0], [3]), tmp_path)
    x = np.array([[1, -2, 3], [0.5, 0, -1]], np.float32)
    expected = x @ (weights * np.array(scales, np.float32)[:, None]).T + np.arange(4)
    np.testing.assert_allclose(model(x)[0], expected, rtol=1e-6)


def test_padding_of_quantized_tensors_is_their_zero(tmp_path: Path):
    paddings = np.array([[1, 2]], np.int32)
    quantization = Quantization([0.5], [-7])
    tensors = [
        Tensor("x", [3], "INT8", quantization=quantization),
        Tensor("p", [1, 2], "INT32", paddings),
        Tensor("y", [6], "INT8", quantization=quantization),
    ]
    model = native(Model(tensors, [Operator("PAD", [0, 1], [2])], [0], [2]), tmp_path)
    np.testing.assert_array_equal(model(np.array([5, 6, 9], np.int8))[0], [-7, 5, 6, 9, -7, -7])


@pytest.mark.parametrize(("scales", "axis"), [([0.5], 0), ([0.5, 2.0], 0), ([1.0, 2.0, 4.0], 1)])
def test_weights_are_scaled_along_their_axis(scales: list[float], axis: int):
    from pytest_microtvm.compiler.frontends.tflite_converter import dequantized

    values = np.array([[1, -2, 3], [4, 5, -6]], np.int8)
    zero_points = np.full(len(scales), 1)
    shape = (1, 1) if len(scales) == 1 else (-1, 1) if axis == 0 else (1, -1)
    expected = (values - 1.0) * np.reshape(scales, shape)
    result = dequantized(values, np.array(scales, np.float32), zero_points, axis)
    assert result.dtype == np.float32
    np.testing.assert_array_equal(result, expected)
