"""Products of matrices."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import tflite
from tvm import relax

from pytest_microtvm.compiler.frontends.tflite.call import Call, constant, dequantized
from pytest_microtvm.compiler.frontends.tflite.operators.convolution import (
    biased,
    transposed_weights,
)
from pytest_microtvm.compiler.frontends.tflite.operators.tables import (
    factor_of,
    one_quantization,
)
from pytest_microtvm.compiler.frontends.tflite.registry import operator
from pytest_microtvm.compiler.quantized.specs import Rounding
from pytest_microtvm.compiler.quantized.tflite_specs import BatchMatMul, Factor

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
    is_turned = bool(call.options["AdjX"]), bool(call.options["AdjY"])
    found = _integer_products(call, is_turned)
    if found is not None:
        return found
    left, right = (_real(call, position) for position in (0, 1))
    if is_turned[0]:
        left = _swapped(left, call.input(0).rank)
    if is_turned[1]:
        right = _swapped(right, call.input(1).rank)
    return call.finished(relax.op.matmul(left, right))


def _integer_products(call: Call, is_turned: tuple[bool, bool]) -> Any:
    operands = call.operands
    dtype = call.output.dtype
    known = [one_quantization(tensor) for tensor in (*operands, call.output)]
    left, right, output = known
    if left is None or right is None or output is None:
        return None
    if dtype not in ("int8", "int16") or {operand.dtype for operand in operands} != {dtype}:
        return None
    inputs = [operand.expression for operand in operands if operand.value is None]
    if not inputs:
        return None
    factors, extents = [], []
    for operand, quantization, turned in zip(operands, known, is_turned, strict=False):
        rows, columns = operand.shape[-2:]
        steps = (1, columns) if turned else (columns, 1)
        zero_point = 0 if quantization is None else quantization.zero_point
        factors.append(Factor(operand.shape[:-2], *steps, zero_point, operand.value))
        extents.append((columns, rows) if turned else (rows, columns))
    batches = np.broadcast_shapes(*(factor.batches for factor in factors))
    # The product of scales is one of float32.
    real = float(left.scale * right.scale) / float(output.scale)
    rounding = Rounding.WIDE if dtype == "int16" else Rounding.DOUBLE
    spec = BatchMatMul(
        batches,
        (extents[0][0], extents[1][1]),
        extents[0][1],
        (factors[0], factors[1]),
        factor_of(real, output, dtype, rounding),
        dtype,
    )
    return call.kernel("batch_matmul", spec, inputs, (*batches, *spec.shape))


def _real(call: Call, position: int) -> Any:
    operand = call.input(position)
    if operand.value is not None and not call.input(1 - position).is_quantized:
        return constant(operand.known_real())
    return operand.real


def _swapped(value: Any, rank: int) -> Any:
    return relax.op.permute_dims(value, [*range(rank - 2), rank - 1, rank - 2])


@operator("EMBEDDING_LOOKUP", versions=4)
def embedding_lookup(call: Call) -> Any:
    """The rows of a table that have the given numbers."""
    rows, table = call.input(0), call.input(1)
    found = relax.op.take(table.expression, rows.expression, axis=0, mode="clip")
    known = table.quantization
    if known is None or call.output.dtype != "float32":
        call.require_same_quantization(table)
        return found
    real = relax.op.astype(found, "float32")
    if known.scales.size == 1 and known.zero_point:
        real = relax.op.subtract(real, relax.const(float(known.zero_point), "float32"))
    elif known.zero_points.any():
        raise call.refusal("its table has a zero point for each row")
    if known.scales.size == 1:
        return relax.op.multiply(real, constant(known.scale))
    scales = relax.op.take(constant(known.scales), rows.expression, axis=0, mode="clip")
    shape = [rows.shape[0], *(1,) * (table.rank - 1)]
    return relax.op.multiply(real, relax.op.reshape(scales, shape))
