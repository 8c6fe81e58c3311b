"""Products of matrices."""

from __future__ import annotations

import math
from typing import Any

import tflite
from tvm import relax

from pytest_microtvm.compiler.frontends.tflite.call import Call, dequantized
from pytest_microtvm.compiler.frontends.tflite.operators.convolution import (
    biased,
    transposed_weights,
)
from pytest_microtvm.compiler.frontends.tflite.registry import operator

_ON_THE_FLY = {
    "AsymmetricQuantizeInputs": "how float inputs are quantized, where weights are integers: here "
    "the weights become the floats that they stand for"
}


@operator(
    "FULLY_CONNECTED",
    versions=13,
    options="FullyConnectedOptions",
    reads=("FusedActivationFunction", "WeightsFormat", "KeepNumDims"),
    ignored={**_ON_THE_FLY, "QuantizedBiasType": "the bias has an element type of its own"},
)
def fully_connected(call: Call) -> Any:
    """Rows as long as the weights [units, inputs] want, whatever the input's shape."""
    data, weights = call.input(0), call.input(1)
    if call.options["WeightsFormat"] != tflite.FullyConnectedOptionsWeightsFormat.DEFAULT:
        raise call.refusal("its weights are shuffled for a certain CPU")
    if weights.rank != 2:
        raise call.refusal(f"its weights have the shape {weights.shape}")
    units, depth = weights.shape
    rows = math.prod(data.shape) // depth
    if rows * depth != math.prod(data.shape):
        raise call.refusal(f"its input {data.shape} is no rows of {depth}")
    keeps = bool(call.options["KeepNumDims"])
    if keeps and data.shape[-1] != depth:
        raise call.refusal(f"it keeps the dimensions of {data.shape}, whose last is not {depth}")
    given = data.expression
    if data.shape != (rows, depth):
        given = relax.op.reshape(given, [rows, depth])
    if data.quantization is not None:
        given = dequantized(call.normalized(given), data.quantization)
    result = relax.op.matmul(given, transposed_weights(data, weights, (1, 0)))
    result = call.finished(biased(call, result, data, weights, 2), call.activation())
    shape = (*data.shape[:-1], units) if keeps else (rows, units)
    return result if shape == (rows, units) else relax.op.reshape(result, list(shape))


@operator(
    "BATCH_MATMUL",
    versions=5,
    options="BatchMatMulOptions",
    reads=("AdjX", "AdjY"),
    ignored=_ON_THE_FLY,
)
def batch_matmul(call: Call) -> Any:
    """The last two axes are matrices; those before broadcast."""
    left, right = (_real(call, position) for position in (0, 1))
    if call.options["AdjX"]:
        left = _swapped(left, call.input(0).rank)
    if call.options["AdjY"]:
        right = _swapped(right, call.input(1).rank)
    return call.finished(relax.op.matmul(left, right))


def _real(call: Call, position: int) -> Any:
    operand = call.input(position)
    if operand.value is not None and not call.input(1 - position).is_quantized:
        return relax.const(operand.known_real())
    return operand.real


def _swapped(value: Any, rank: int) -> Any:
    return relax.op.permute_dims(value, [*range(rank - 2), rank - 1, rank - 2])


@operator("EMBEDDING_LOOKUP", versions=4)
def embedding_lookup(call: Call) -> Any:
    """The rows of a table that have the given numbers."""
    rows, table = call.input(0), call.input(1)
    found = relax.op.take(table.expression, rows.expression, axis=0)
    known = table.quantization
    if known is None or call.output.dtype != "float32":
        call.require_same_quantization(table)
        return found
    real = relax.op.astype(found, "float32")
    if known.zero_points.any():
        raise call.refusal("its table has zero points")
    if known.scales.size == 1:
        return relax.op.multiply(real, relax.const(known.scale))
    scales = relax.op.take(relax.const(known.scales), rows.expression, axis=0)
    shape = [rows.shape[0], *(1,) * (table.rank - 1)]
    return relax.op.multiply(real, relax.op.reshape(scales, shape))
