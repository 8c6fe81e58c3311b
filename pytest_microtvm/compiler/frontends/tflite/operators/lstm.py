"""LSTM layers, whose steps are unrolled: they are as many as the input has."""

from __future__ import annotations

from collections.abc import Callable, Sequence
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

    def parts(self, call: Call) -> list[str]:
        """The parts of a layer that not every one has."""
        known = {
            "peepholes": range(self.peepholes, self.peepholes + 3),
            "a projection": range(self.projection, self.projection + 2),
        }
        if self.normalized is not None:
            known["normalized gates"] = range(self.normalized, self.normalized + 4)
        return [
            what
            for what, positions in known.items()
            if any(call.optional(position) is not None for position in positions)
        ]

    def check(self, call: Call) -> None:
        """Refuse a layer of integers with such parts, and one whose tensors do not fit."""
        if call.input(0).is_quantized and self.parts(call):
            raise call.refusal(f"it is of integers, and has {' and '.join(self.parts(call))}")
        known = ("TANH",) if call.input(0).is_quantized else _ACTIVATIONS
        if call.activation() not in known:
            raise call.refusal(f"its activation is {call.activation()}, not {' or '.join(known)}")
        call.options["ProjClip"]  # without a projection, it does not matter
        hidden, cell = call.input(self.hidden), call.input(self.cell)
        rank_is_right = call.input(0).rank == 3 and hidden.rank == cell.rank == 2
        if not rank_is_right or not (hidden.tensor.is_variable and cell.tensor.is_variable):
            raise call.refusal("its input or its states do not have the shapes that it wants")


_ONE_WAY = _Places(1, 5, 9, 12, 16, 18, 19, 20)
_FORWARD, _BACKWARD = _Places(1, 5, 9, 12, 16, 35, 36), _Places(18, 22, 26, 29, 33, 37, 38)
_AUXILIARY = range(39, 48)
_ACTIVATIONS = ("TANH", "RELU", "RELU6", "RELU_N1_TO_1")
"""Of layers of floats; LiteRT leaves others undefined."""
_READS = ("FusedActivationFunction", "CellClip", "ProjClip", "TimeMajor")
_IGNORED = {"AsymmetricQuantizeInputs": "weights of a float layer become floats"}


@operator(
    "UNIDIRECTIONAL_SEQUENCE_LSTM",
    versions=4,
    options="UnidirectionalSequenceLSTMOptions",
    reads=(*_READS, "DiagonalRecurrentTensors"),
    ignored=_IGNORED,
)
def unidirectional_sequence_lstm(call: Call) -> Any:
    """All steps of a sequence, from the states that the last run left."""
    _ONE_WAY.check(call)
    if call.options["DiagonalRecurrentTensors"]:
        raise call.refusal("its recurrent weights are diagonals")
    is_time_major = bool(call.options["TimeMajor"])
    exact = integer_lstm(call, is_time_major, call.options["CellClip"])
    if exact is not None:
        return exact
    return stacked(_results(call, _ONE_WAY, is_time_major), 0 if is_time_major else 1)


@operator(
    "BIDIRECTIONAL_SEQUENCE_LSTM",
    versions=3,
    options="BidirectionalSequenceLSTMOptions",
    reads=(*_READS, "MergeOutputs"),
    ignored=_IGNORED,
)
def bidirectional_sequence_lstm(call: Call) -> Any:
    """A layer over the steps as they come, and one over them from the last one on."""
    if any(call.optional(position) is not None for position in _AUXILIARY):
        raise call.refusal("it has an auxiliary input")
    is_time_major = bool(call.options["TimeMajor"])
    sequences = []
    for places in (_FORWARD, _BACKWARD):
        places.check(call)
        if {call.input(i).dtype for i in (0, places.hidden, places.cell)} != {"float32"}:
            raise call.refusal("its input or its states are not float32")
        results = _results(call, places, is_time_major, is_reversed=places is _BACKWARD)
        sequences.append(stacked(results, 0 if is_time_major else 1))
    if not call.options["MergeOutputs"]:
        return sequences
    return relax.op.concat([call.emitted(sequence) for sequence in sequences], 2)


def _results(
    call: Call, places: _Places, is_time_major: bool, is_reversed: bool = False
) -> list[Any]:
    """What a layer gives at each step, in the order of the steps."""
    data = call.input(0)
    steps, batches = data.shape[:2] if is_time_major else data.shape[1::-1]
    first = _first_gate(call, places)
    weights, recurrent, biases = (
        _joined(call, range(start + first, start + 4))
        for start in (places.weights, places.recurrent, places.biases)
    )
    given = data.real
    if not is_time_major:
        given = relax.op.permute_dims(given, [1, 0, 2])
    rows = relax.op.reshape(given, [steps * batches, data.shape[2]])
    gates = relax.op.matmul(rows, constant(np.ascontiguousarray(weights.T)))
    if "normalized gates" not in places.parts(call):
        gates = relax.op.add(gates, constant(biases))
    gates = relax.op.reshape(gates, [steps, batches, len(biases)])
    parts = _parts(call, gates, steps, 0)
    results = _run(call, parts[::-1] if is_reversed else parts, places, recurrent)
    return results[::-1] if is_reversed else results


def _first_gate(call: Call, places: _Places) -> int:
    """1 where the gate for the input is what the one for forgetting leaves, else 0."""
    return 1 if call.optional(places.weights) is None else 0


def _run(call: Call, gates: Sequence[Any], places: _Places, recurrent: Array) -> list[Any]:
    """What each step gives; the states are left to the next run."""
    hidden, cell = call.input(places.hidden), call.input(places.cell)
    matrix = constant(np.ascontiguousarray(recurrent.T))
    first, count = _first_gate(call, places), len(recurrent) // cell.shape[1]
    finishes = [_gate(call, places, number) for number in range(first, 4)]
    bend = _Bend(call)
    h, c = call.emitted(hidden.real), call.emitted(cell.real)
    kept, results = hidden.expression, []
    for given in gates:
        flat = relax.op.reshape(given, [cell.shape[0], len(recurrent)])
        total = call.emitted(relax.op.add(flat, relax.op.matmul(h, matrix)))
        before = _parts(call, total, count, 1)
        *into, forget, new = (
            finish(part, c) for finish, part in zip(finishes[:-1], before[:-1], strict=True)
        )
        kept_part = call.emitted(relax.op.sigmoid(forget))
        one = relax.const(1.0)
        new_part = relax.op.sigmoid(into[0]) if into else relax.op.subtract(one, kept_part)
        remembered = relax.op.multiply(kept_part, c)
        c = relax.op.add(remembered, relax.op.multiply(new_part, bend(new)))
        c = call.emitted(_clipped(c, call.options["CellClip"]))
        out = relax.op.sigmoid(finishes[-1](before[-1], c))
        h = call.emitted(_projected(call, places, call.emitted(relax.op.multiply(out, bend(c)))))
        kept = call.emitted(call.quantized(h, hidden.tensor))
        if hidden.is_quantized:
            h = call.emitted(Operand(hidden.tensor, kept).real)
        results.append(kept if _is_same(call, hidden) else call.quantized(h))
    call.states.assign_tensor(hidden.tensor, kept)
    call.states.assign_tensor(cell.tensor, call.emitted(call.quantized(c, cell.tensor)))
    return results


def _clipped(value: Any, bound: float) -> Any:
    return relax.op.clip(value, -bound, bound) if bound > 0 else value


class _Bend:
    """The activation of a layer."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self._name = call.activation()

    def __call__(self, value: Any) -> Any:
        return self._call.activated(self._call.emitted(value), self._name)


def _gate(call: Call, places: _Places, number: int) -> Callable[[Any, Any], Any]:
    """What is done to the sum of a gate, given the cell: peephole, normalization, bias."""
    peepholes = {0: places.peepholes, 1: places.peepholes + 1, 3: places.peepholes + 2}
    peephole = call.optional(peepholes[number]) if number in peepholes else None
    weights = None if peephole is None else _joined(call, [peepholes[number]])
    factors = None
    if "normalized gates" in places.parts(call) and places.normalized is not None:
        factors = _joined(call, [places.normalized + number])
        bias = constant(_joined(call, [places.biases + number]))

    def finish(value: Any, cell: Any) -> Any:
        if weights is not None:
            value = relax.op.add(value, relax.op.multiply(cell, constant(weights)))
        if factors is not None:
            value = call.emitted(value)
            normal = _normalized(call, value)
            value = relax.op.add(relax.op.multiply(normal, constant(factors)), bias)
        return call.emitted(value)

    return finish


def _normalized(call: Call, value: Any) -> Any:
    """Rows with a mean of 0 and a variance of 1."""
    mean = relax.op.mean(value, [1], True)
    centered = call.emitted(relax.op.subtract(value, call.emitted(mean)))
    variance = call.emitted(relax.op.mean(relax.op.multiply(centered, centered), [1], True))
    spread = relax.op.sqrt(relax.op.add(variance, relax.const(1e-8, "float32")))
    return relax.op.divide(centered, call.emitted(spread))


def _projected(call: Call, places: _Places, value: Any) -> Any:
    """The hidden state that a layer with a projection keeps."""
    if call.optional(places.projection) is None:
        return value
    weights = _joined(call, [places.projection])
    result = relax.op.matmul(value, constant(np.ascontiguousarray(weights.T)))
    if call.optional(places.projection + 1) is not None:
        result = relax.op.add(result, constant(_joined(call, [places.projection + 1])))
    return _clipped(result, call.options["ProjClip"])


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
