"""LSTM layers, whose steps are unrolled: they are as many as the input has."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from tvm import relax

from pytest_microtvm.compiler.frontends.tflite.call import Call, Operand, constant
from pytest_microtvm.compiler.frontends.tflite.graph import Array
from pytest_microtvm.compiler.frontends.tflite.operators.lstm_integers import integer_lstm
from pytest_microtvm.compiler.frontends.tflite.registry import operator

_INPUTS = (1, 2, 3, 4)
_RECURRENT = (5, 6, 7, 8)
_BIASES = (12, 13, 14, 15)
"""Of the gates for input, forgetting, the cell and output."""

_NOT_SUPPORTED = {
    "peepholes": (9, 10, 11),
    "a projection": (16, 17),
    "normalized gates": (20, 21, 22, 23),
}


@operator(
    "UNIDIRECTIONAL_SEQUENCE_LSTM",
    versions=4,
    options="UnidirectionalSequenceLSTMOptions",
    reads=("FusedActivationFunction", "CellClip", "TimeMajor", "DiagonalRecurrentTensors"),
    ignored={
        "AsymmetricQuantizeInputs": "weights of a float layer become floats",
        "ProjClip": "it clips projections, and a layer that has one is refused",
    },
)
def unidirectional_sequence_lstm(call: Call) -> Any:
    """All steps of a sequence, from the states that the last run left."""
    for what, positions in _NOT_SUPPORTED.items():
        if any(call.optional(position) is not None for position in positions):
            raise call.refusal(f"it has {what}")
    if call.options["DiagonalRecurrentTensors"]:
        raise call.refusal("its recurrent weights are diagonals")
    if call.activation() != "TANH":
        raise call.refusal(f"its activation is {call.activation()}, not TANH")
    data, hidden, cell = (call.input(i) for i in (0, 18, 19))
    rank_is_right = data.rank == 3 and hidden.rank == cell.rank == 2
    if not rank_is_right or not (hidden.tensor.is_variable and cell.tensor.is_variable):
        raise call.refusal("its input or its states do not have the shapes that it wants")
    is_time_major = bool(call.options["TimeMajor"])
    exact = integer_lstm(call, is_time_major, call.options["CellClip"])
    if exact is not None:
        return exact
    steps, batches = data.shape[:2] if is_time_major else data.shape[1::-1]
    is_coupled = call.optional(_INPUTS[0]) is None
    first = 1 if is_coupled else 0  # the gate for the input is what the one for forgetting leaves
    weights, recurrent, biases = (
        _joined(call, positions[first:]) for positions in (_INPUTS, _RECURRENT, _BIASES)
    )
    given = data.real
    if not is_time_major:
        given = relax.op.permute_dims(given, [1, 0, 2])
    rows = relax.op.reshape(given, [steps * batches, data.shape[2]])
    gates = relax.op.matmul(rows, constant(np.ascontiguousarray(weights.T)))
    gates = relax.op.add(gates, constant(biases))
    gates = relax.op.reshape(gates, [steps, batches, len(biases)])
    results = _run(call, _parts(call, gates, steps, 0), hidden, cell, recurrent)
    axis = 0 if is_time_major else 1
    expanded = [relax.op.expand_dims(result, axis) for result in results]
    return expanded[0] if steps == 1 else relax.op.concat(expanded, axis)


def _run(
    call: Call, gates: Sequence[Any], hidden: Operand, cell: Operand, recurrent: Array
) -> list[Any]:
    """What each step gives; the states are left to the next run."""
    clip = call.options["CellClip"]
    matrix = constant(np.ascontiguousarray(recurrent.T))
    h, c = call.emitted(hidden.real), call.emitted(cell.real)
    kept, results = hidden.expression, []
    for given in gates:
        flat = relax.op.reshape(given, [hidden.shape[0], len(recurrent)])
        total = call.emitted(relax.op.add(flat, relax.op.matmul(h, matrix)))
        *into, forget, new, out = _parts(call, total, len(recurrent) // hidden.shape[1], 1)
        kept_part = call.emitted(relax.op.sigmoid(forget))
        one = relax.const(1.0)
        new_part = relax.op.sigmoid(into[0]) if into else relax.op.subtract(one, kept_part)
        remembered = relax.op.multiply(kept_part, c)
        c = relax.op.add(remembered, relax.op.multiply(new_part, relax.op.tanh(new)))
        c = call.emitted(relax.op.clip(c, -clip, clip) if clip > 0 else c)
        h = call.emitted(relax.op.multiply(relax.op.sigmoid(out), relax.op.tanh(c)))
        kept = call.emitted(call.quantized(h, hidden.tensor))
        if hidden.is_quantized:
            h = call.emitted(Operand(hidden.tensor, kept).real)
        results.append(kept if _is_same(call, hidden) else call.quantized(h))
    call.states.assign_tensor(hidden.tensor, kept)
    call.states.assign_tensor(cell.tensor, call.emitted(call.quantized(c, cell.tensor)))
    return results


def _is_same(call: Call, hidden: Operand) -> bool:
    """Whether the output has the type and the scale of the hidden state."""
    known = call.output.quantization
    if hidden.quantization is None or known is None:
        return call.output.dtype == hidden.dtype
    return call.output.dtype == hidden.dtype and hidden.quantization.is_same(known)


def _joined(call: Call, positions: Sequence[int]) -> Array:
    """The tensors of all gates one after the other, as float32."""
    found = []
    for position in positions:
        operand = call.optional(position)
        if operand is None:
            raise call.refusal(f"it lacks its input {position}")
        known = operand.known_real()
        if known is None:
            raise call.refusal("its weights are computed at run time")
        if known.dtype != np.float32:
            raise call.refusal(f"its input {position} has no scale")
        found.append(known)
    return np.concatenate(found)


def _parts(call: Call, value: Any, count: int, axis: int) -> list[Any]:
    """Equal parts along an axis."""
    if count == 1:
        return [value]
    pieces = call.emitted(relax.op.split(value, count, axis))
    return [call.emitted(relax.TupleGetItem(pieces, i)) for i in range(count)]
