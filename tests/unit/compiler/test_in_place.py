"""Kernels that write over what they read."""

from __future__ import annotations

from pathlib import Path

import flatbuffers
import numpy as np
import pytest
import tflite

from pytest_microtvm.compiler import CompileOptions, compile_to_files
from tests.unit.compiler.native import NativeModel
from tests.unit.compiler.test_importing_quantized import reference
from tests.unit.compiler.tflite_models import Model, Operator, Quantization, Tensor, add, mul

SHAPE = [3, 37]
"""No multiple of what vector instructions take at once."""


def tensor(name: str, scale: float, zero_point: int) -> Tensor:
    return Tensor(name, SHAPE, "INT8", None, Quantization([scale], [zero_point]))


def softmax_options(builder: flatbuffers.Builder) -> int:
    tflite.SoftmaxOptionsStart(builder)
    tflite.SoftmaxOptionsAddBeta(builder, 1.0)
    return int(tflite.SoftmaxOptionsEnd(builder))


def chain() -> Model:
    """Every operator that works in place, one after the other, on the left and on the right."""
    tensors = [
        tensor("x", 0.05, 3),
        tensor("y", 0.03, -5),
        tensor("sum", 0.07, 1),
        tensor("positive", 0.06, -128),
        tensor("left", 0.1, 0),
        tensor("right", 0.01, 7),
        tensor("requantized", 0.012, -9),
        tensor("probabilities", 1 / 256, -128),
        tensor("end", 0.05, 2),
    ]
    operators = [
        add([0, 1], 2),
        Operator("RELU", [2], [3]),
        add([3, 1], 4),
        mul([0, 4], 5),
        Operator("QUANTIZE", [5], [6]),
        Operator("SOFTMAX", [6], [7], ("SoftmaxOptions", softmax_options)),
        add([7, 0], 8),
    ]
    return Model(tensors, operators, [0, 1], [8])


@pytest.mark.parametrize("simd", ["none", "dsp", "helium"])
def test_a_chain_in_place_gives_the_reference_s_bytes(simd: str, tmp_path: Path):
    path = tmp_path / "model.tflite"
    path.write_bytes(chain().to_bytes())
    model = NativeModel(compile_to_files(path, CompileOptions(simd=simd)), tmp_path, ("-O2",))
    # One tensor, from the first sum to the softmax.
    assert model.library.workspace_bytes == 112
    rng = np.random.default_rng(0)
    for low, high in ((-128, 128), (-3, 4)):
        values = [rng.integers(low, high, SHAPE).astype(np.int8) for _ in range(2)]
        [result] = model(*values)
        np.testing.assert_array_equal(result, reference(path.read_bytes(), *values)[0])
