"""LSTM layers of int8 with cells of int16, whose bits TFLite defines."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from pytest_microtvm.compiler.frontends.tflite.call import Call, Operand
from pytest_microtvm.compiler.frontends.tflite.graph import Array
from pytest_microtvm.compiler.frontends.tflite.operators.tables import one_quantization
from pytest_microtvm.compiler.quantized.arithmetic import quantize_multiplier
from pytest_microtvm.compiler.quantized.tensors import Quantization
from pytest_microtvm.compiler.quantized.tflite_specs import Lstm, LstmGate

_CELL_BITS = range(0, 7)
"""Bits before the point of a cell state that TFLite has a hyperbolic tangent for."""

_HIDDEN = 4
"""Place of the hidden state among the intermediate tensors."""


def integer_lstm(call: Call, is_time_major: bool, clip: float) -> Any:
    """The result of a layer that TFLite computes over integers; None for any other.

    It is the integers of the hidden state, though converters give it a scale of its own where
    another layer's result is joined to it.

    Args:
        call: Of a layer without peepholes, projection or normalization, of the right ranks.
        is_time_major: Whether steps come before batches.
        clip: Of the cell state; 0 for none.

    Raises:
        Refusal: The layer is of these types, but lacks what its integers are computed with: as
            floats they would be other ones.
    """
    data, hidden, cell = (call.input(i) for i in (0, 18, 19))
    dtypes = data.dtype, hidden.dtype, cell.dtype, call.output.dtype
    if dtypes != ("int8", "int8", "int16", "int8"):
        return None
    source, state, kept = (one_quantization(t) for t in (data, hidden, cell))
    inner = call.intermediates[_HIDDEN:][:1]
    inside = one_quantization(inner[0]) if inner else None
    if source is None or state is None or kept is None or inside is None:
        raise call.refusal("a tensor of the layer, or its hidden state inside, has no single scale")
    fraction, exponent = math.frexp(float(kept.scale))
    cell_bits = 14 + exponent
    if fraction != 0.5 or kept.zero_point or cell_bits not in _CELL_BITS:
        raise call.refusal("the scale of its cell state is no power of two from 2**-15 to 2**-9")
    gates = [_gate(call, position, source, state) for position in range(4)]
    into, forget, fresh, out = gates
    is_coupled = call.optional(1) is None and call.optional(5) is None
    if forget is None or fresh is None or out is None or (into is None and not is_coupled):
        raise call.refusal("a gate lacks weights or a bias, or integers cannot take them")
    steps, batches = data.shape[:2] if is_time_major else data.shape[1::-1]
    spec = Lstm(
        steps,
        batches,
        is_time_major,
        (into, forget, fresh, out),
        cell_bits,
        int(min(max(clip / float(kept.scale), 0), 32767)),
        quantize_multiplier(float(np.float32(2.0**-30 / float(inside.scale)))),
        inside.zero_point,
    )
    units = forget.weights.shape[0]
    inputs = [data.expression, hidden.expression, cell.expression]
    types = [
        ((*data.shape[:2], units), "int8"),
        (hidden.shape, "int8"),
        (cell.shape, "int16"),
    ]
    result, last_hidden, last_cell = call.kernel_of_several("lstm", spec, inputs, types)
    call.states.assign_tensor(hidden.tensor, last_hidden)
    call.states.assign_tensor(cell.tensor, last_cell)
    return result


def _gate(call: Call, position: int, source: Quantization, state: Quantization) -> LstmGate | None:
    """A gate by its place; None when it is not there, or is not as TFLite wants it."""
    given, recurrent = call.optional(1 + position), call.optional(5 + position)
    bias = call.optional(12 + position)
    if given is None or recurrent is None or bias is None or bias.value is None:
        return None
    weights, by_state = _weights(given), _weights(recurrent)
    if weights is None or by_state is None:
        return None
    start = bias.value.astype(np.int64) - _sums(weights[0], source)
    before = -_sums(by_state[0], state)
    return LstmGate(
        weights[0],
        start.astype(np.int32),
        _scaling(source, weights[1]),
        by_state[0],
        before.astype(np.int32),
        _scaling(state, by_state[1]),
    )


def _weights(operand: Operand) -> tuple[Array, np.float32] | None:
    """Weights of int8 without a zero point, and their scale."""
    known = one_quantization(operand)
    if operand.value is None or operand.dtype != "int8" or known is None or known.zero_point:
        return None
    return operand.value, known.scale


def _sums(weights: Array, given: Quantization) -> Array:
    """What the zero point of the numbers that weights are for adds to each sum."""
    sums: Array = given.zero_point * weights.astype(np.int64).sum(axis=1)
    return sums


def _scaling(given: Quantization, scale: np.float32) -> tuple[int, int]:
    """From sums to numbers with 12 bits after the point, in float32 as TFLite."""
    return quantize_multiplier(float(scale * given.scale / np.float32(2.0**-12)))
