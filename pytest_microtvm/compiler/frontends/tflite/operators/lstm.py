"""LSTM layers, whose steps are unrolled: they are as many as the input has."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from tvm import relax

from pytest_microtvm.compiler.frontends.stacking import stacked
from pytest_microtvm.compiler.frontends.tflite.call import Call, Operand, constant
from pytest_microtvm.compiler.frontends.tflite.graph import Array
from pytest_microtvm.compiler.frontends.tflite.operators.lstm_integers import integer_lstm
from pytest_microtvm.compiler.frontends.tflite.registry import operator


@dataclass(frozen=True)
class _Places:
    """Which inputs of the operator belong to a layer.

    Four in a row are those of the gates for input, forgetting, the cell and output.

    Args:
        weights: The first of the weights for the input.
        recurrent: The first of those for the hidden state.
        peepholes: The first of three.
        biases: The first.
        projection: The first of two.
        hidden: The hidden state.
        cell: The cell state.
        normalized: The first of the gates' factors; None where there are none.
    """

    weights: int
    recurrent: int
    peepholes: int
    biases: int
    projection: int
    hidden: int
    cell: int
    normalized: int | None = None

    def refuse(self, call: Call) -> None:
        """Refuse a layer with parts that are not known."""
        parts = {
            "peepholes": range(self.peepholes, self.peepholes + 3),
            "a projection": range(self.projection, self.projection + 2),
        }
        if self.normalized is not None:
            parts["normalized gates"] = range(self.normalized, self.normalized + 4)
        for what, positions in parts.items():
            if any(call.optional(position) is not None for position in positions):
                raise call.refusal(f"it has {what}")
        hidden, cell = call.input(self.hidden), call.input(self.cell)
        rank_is_right = call.input(0).rank == 3 and hidden.rank == cell.rank == 2
        if not rank_is_right or not (hidden.tensor.is_variable and cell.tensor.is_variable):
            raise call.refusal("its input or its states do not have the shapes that it wants")


_ONE_WAY = _Places(1, 5, 9, 12, 16, 18, 19, 20)
_FORWARD, _BACKWARD = _Places(1, 5, 9, 12, 16, 35, 36), _Places(18, 22, 26, 29, 33, 37, 38)
_AUXILIARY = range(39, 48)
_IGNORED = {
    "AsymmetricQuantizeInputs": "weights of a float layer become floats",
    "ProjClip": "it clips projections, and a layer that has one is refused",
}


@operator(
    "UNIDIRECTIONAL_SEQUENCE_LSTM",
    versions=4,
    options="UnidirectionalSequenceLSTMOptions",
    reads=("FusedActivationFunction", "CellClip", "TimeMajor", "DiagonalRecurrentTensors"),
    ignored=_IGNORED,
)
def unidirectional_sequence_lstm(call: Call) -> Any:
    """All steps of a sequence, from the states that the last run left."""
    _ONE_WAY.refuse(call)
    if call.options["DiagonalRecurrentTensors"]:
        raise call.refusal("its recurrent weights are diagonals")
    _require_tanh(call)
    is_time_major = bool(call.options["TimeMajor"])
    exact = integer_lstm(call, is_time_major, call.options["CellClip"])
    if exact is not None:
        return exact
    return stacked(_results(call, _ONE_WAY, is_time_major), 0 if is_time_major else 1)


@operator(
    "BIDIRECTIONAL_SEQUENCE_LSTM",
    versions=3,
    options="BidirectionalSequenceLSTMOptions",
    reads=("FusedActivationFunction", "CellClip", "TimeMajor", "MergeOutputs"),
    ignored=_IGNORED,
)
def bidirectional_sequence_lstm(call: Call) -> Any:
    """A layer over the steps as they come, and one over them from the last one on."""
    if any(call.optional(position) is not None for position in _AUXILIARY):
        raise call.refusal("it has an auxiliary input")
    _require_tanh(call)
    is_time_major = bool(call.options["TimeMajor"])
    sequences = []
    for places in (_FORWARD, _BACKWARD):
        places.refuse(call)
        if {call.input(i).dtype for i in (0, places.hidden, places.cell)} != {"float32"}:
            raise call.refusal("its input or its states are not float32")
        results = _results(call, places, is_time_major, is_reversed=places is _BACKWARD)
        sequences.append(stacked(results, 0 if is_time_major else 1))
    if not call.options["MergeOutputs"]:
        return sequences
    return relax.op.concat([call.emitted(sequence) for sequence in sequences], 2)


def _require_tanh(call: Call) -> None:
    """Refuse every activation but the one that is computed."""
    if call.activation() != "TANH":
        raise call.refusal(f"its activation is {call.activation()}, not TANH")


def _results(
    call: Call, places: _Places, is_time_major: bool, is_reversed: bool = False
) -> list[Any]:
    """What a layer gives at each step, in the order of the steps."""
    data = call.input(0)
    steps, batches = data.shape[:2] if is_time_major else data.shape[1::-1]
    is_coupled = call.optional(places.weights) is None
    first = 1 if is_coupled else 0  # the gate for the input is what the one for forgetting leaves
    weights, recurrent, biases = (
        _joined(call, range(start + first, start + 4))
        for start in (places.weights, places.recurrent, places.biases)
    )
    given = data.real
    if not is_time_major:
        given = relax.op.permute_dims(given, [1, 0, 2])
    rows = relax.op.reshape(given, [steps * batches, data.shape[2]])
    gates = relax.op.matmul(rows, constant(np.ascontiguousarray(weights.T)))
    gates = relax.op.add(gates, constant(biases))
    gates = relax.op.reshape(gates, [steps, batches, len(biases)])
    parts = _parts(call, gates, steps, 0)
    results = _run(call, parts[::-1] if is_reversed else parts, places, recurrent)
    return results[::-1] if is_reversed else results


def _run(call: Call, gates: Sequence[Any], places: _Places, recurrent: Array) -> list[Any]:
    """What each step gives; the states are left to the next run."""
    hidden, cell = call.input(places.hidden), call.input(places.cell)
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
    output = call.outputs[0]
    if hidden.quantization is None or output.quantization is None:
        return output.dtype == hidden.dtype
    return output.dtype == hidden.dtype and hidden.quantization.is_same(output.quantization)


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
