"""The loop over the steps of a recurrent layer, as the statements of one kernel.

It writes the sequence of hidden states, and the last hidden and cell states.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tvm import tirx
from tvm.script.ir_builder import IRBuilder
from tvm.script.ir_builder import tirx as ir

Function = Callable[[Any], Any]
"""Of a TIR expression."""


@dataclass(frozen=True)
class Layer:
    """What all directions of a layer have in common.

    Args:
        kind: "LSTM", "GRU" or "RNN".
        steps: Length of the sequence.
        batch: Sequences at once.
        hidden: Elements of the hidden state.
        attributes: Of the node.
    """

    kind: str
    steps: int
    batch: int
    hidden: int
    attributes: dict[str, Any]

    @property
    def gates(self) -> int:
        """Rows of the weights by `hidden`."""
        return {"LSTM": 4, "GRU": 3, "RNN": 1}[self.kind]

    @property
    def is_coupled(self) -> bool:
        """Whether the forget gate is what the input gate leaves."""
        return bool(self.attributes.get("input_forget", 0))

    @property
    def is_linear_before_reset(self) -> bool:
        """Whether a GRU multiplies by the recurrent weights before it resets."""
        return self.kind == "GRU" and bool(self.attributes.get("linear_before_reset", 0))


@dataclass(frozen=True)
class Buffers:
    """What the kernel of a direction reads and writes; None where there is none.

    Args:
        inputs: (steps, batch, gates * hidden): what the inputs add to the gates.
        weights: (gates * hidden, hidden).
        bias: (gates * hidden): what is added to the products with `weights`.
        peepholes: (3 * hidden).
        lengths: (batch): steps of each sequence.
        sequence: (steps, batch, hidden), written.
        state: (batch, hidden), written.
        cell: (batch, hidden), written.
        scratch: (gates * hidden), written.
    """

    inputs: Any
    weights: Any
    bias: Any
    peepholes: Any
    lengths: Any
    sequence: Any
    state: Any
    cell: Any
    scratch: Any


def loops(
    layer: Layer,
    activations: list[Function],
    is_reverse: bool,
    buffers: Buffers,
    start: tuple[Any, Any],
) -> Any:
    """The statements of one direction."""
    flat = _Flat(layer, buffers, start)
    with IRBuilder() as made:
        with ir.seq_scope(), ir.serial(0, layer.batch) as row:
            flat.initialise(row)
            with ir.serial(0, layer.steps) as step:
                if buffers.lengths is None:
                    at = layer.steps - 1 - step if is_reverse else step
                    flat.step(row, at, activations)
                else:
                    # A model may be given lengths beyond its steps.
                    length = tirx.min(tirx.Cast("int32", flat.lengths[row]), layer.steps)
                    with ir.If(step < length), ir.Then():
                        at = length - 1 - step if is_reverse else step
                        flat.step(row, at, activations)
        return made.get()


class _Flat:
    """Writes the statements of a step, over buffers of one dimension."""

    def __init__(self, layer: Layer, buffers: Buffers, start: tuple[Any, Any]) -> None:
        self._layer = layer
        self._kinds = buffers
        proxy = ir.buffer_proxy
        self._inputs, self._weights = proxy(buffers.inputs), proxy(buffers.weights)
        self._sequence, self._state = proxy(buffers.sequence), proxy(buffers.state)
        self._scratch = proxy(buffers.scratch)
        self._cell: Any = None if buffers.cell is None else proxy(buffers.cell)
        self._bias: Any = None if buffers.bias is None else proxy(buffers.bias)
        self._peepholes: Any = None if buffers.peepholes is None else proxy(buffers.peepholes)
        self.lengths: Any = None if buffers.lengths is None else proxy(buffers.lengths)
        self._start: list[Any] = [None if buffer is None else proxy(buffer) for buffer in start]

    def initialise(self, row: Any) -> None:
        """The states before the first step, and zeros where a sequence may not reach."""
        hidden = self._layer.hidden
        with ir.serial(0, hidden) as j:
            at = row * hidden + j
            self._state[at] = self._start[0][at]
            if self._cell is not None:
                self._cell[at] = self._start[1][at]
            if self.lengths is not None:
                with ir.serial(0, self._layer.steps) as step:
                    self._sequence[(step * self._layer.batch + row) * hidden + j] = tirx.const(
                        0.0, self._kinds.sequence.dtype
                    )

    def step(self, row: Any, at: Any, activations: list[Function]) -> None:
        """One step of one sequence, at a place of it."""
        {"LSTM": self._lstm, "GRU": self._gru, "RNN": self._rnn}[self._layer.kind](
            row, (at * self._layer.batch + row), activations
        )

    def _sums(self, row: Any, place: Any, first: int, count: int, factor: Any = None) -> None:
        """Sums of gates in `scratch`: what the inputs add, and the state by its weights.

        Args:
            row: The sequence.
            place: Of the step in `inputs`.
            first: The first element.
            count: How many.
            factor: By what each element of the state is multiplied first; an index to a number.
        """
        layer = self._layer
        hidden, width = layer.hidden, layer.gates * layer.hidden
        with ir.serial(0, count) as n:
            gate = n + first
            self._scratch[gate] = self._inputs[place * width + gate]
            with ir.serial(0, hidden) as k:
                value = self._state[row * hidden + k]
                if factor is not None:
                    value = value * factor(k)
                self._scratch[gate] = self._scratch[gate] + self._weights[gate * hidden + k] * value

    def _clipped(self, value: Any) -> Any:
        limit = self._layer.attributes.get("clip")
        if limit is None:
            return value
        bound = tirx.const(float(limit), value.ty.dtype if hasattr(value, "ty") else "float32")
        return tirx.max(tirx.min(value, bound), -bound)

    def _written(self, row: Any, place: Any, j: Any, value: Any) -> None:
        hidden = self._layer.hidden
        self._sequence[place * hidden + j] = value
        self._state[row * hidden + j] = self._sequence[place * hidden + j]

    def _rnn(self, row: Any, place: Any, activations: list[Function]) -> None:
        self._sums(row, place, 0, self._layer.hidden)
        with ir.serial(0, self._layer.hidden) as j:
            self._written(row, place, j, activations[0](self._clipped(self._scratch[j])))

    def _lstm(self, row: Any, place: Any, activations: list[Function]) -> None:
        hidden = self._layer.hidden
        gate, candidate, output = activations
        self._sums(row, place, 0, 4 * hidden)
        with ir.serial(0, hidden) as j:
            cell = row * hidden + j
            before = self._cell[cell]

            def summed(part: int, seen: Any, peephole: int | None) -> Any:
                total = self._scratch[j + part * hidden]
                if self._peepholes is not None and peephole is not None:
                    total = total + self._peepholes[j + peephole * hidden] * seen
                return self._clipped(total)

            # In the order input, output, forget, cell; peepholes input, output, forget.
            self._scratch[j] = gate(summed(0, before, 0))
            if self._layer.is_coupled:
                self._scratch[j + 2 * hidden] = tirx.const(1.0, "float32") - self._scratch[j]
            else:
                self._scratch[j + 2 * hidden] = gate(summed(2, before, 2))
            self._scratch[j + 3 * hidden] = candidate(summed(3, before, None))
            self._cell[cell] = (
                self._scratch[j + 2 * hidden] * self._cell[cell]
                + self._scratch[j] * self._scratch[j + 3 * hidden]
            )
            self._scratch[j + hidden] = gate(summed(1, self._cell[cell], 1))
            value = self._scratch[j + hidden] * output(self._cell[cell])
            self._written(row, place, j, value)

    def _gru(self, row: Any, place: Any, activations: list[Function]) -> None:
        hidden = self._layer.hidden
        gate, candidate = activations
        # In the order update, reset, hidden.
        self._sums(row, place, 0, 2 * hidden)
        linear = self._layer.is_linear_before_reset
        with ir.serial(0, 2 * hidden) as n:
            total = self._scratch[n]
            if linear and self._bias is not None:
                total = total + self._bias[n]
            self._scratch[n] = gate(self._clipped(total))
        if linear:
            self._reset_sums(row, place)
        else:
            self._sums(row, place, 2 * hidden, hidden, lambda k: self._scratch[hidden + k])
        with ir.serial(0, hidden) as j:
            new = candidate(self._clipped(self._scratch[j + 2 * hidden]))
            self._scratch[j + 2 * hidden] = new
        with ir.serial(0, hidden) as j:
            update = self._scratch[j]
            one = tirx.const(1.0, "float32")
            value = (one - update) * self._scratch[j + 2 * hidden] + update * self._state[
                row * hidden + j
            ]
            self._written(row, place, j, value)

    def _reset_sums(self, row: Any, place: Any) -> None:
        """The candidate of a GRU that resets the products of the state, not the state."""
        hidden = self._layer.hidden
        with ir.serial(0, hidden) as j:
            gate = j + 2 * hidden
            zero = tirx.const(0.0, "float32")
            self._scratch[gate] = zero if self._bias is None else self._bias[gate]
            with ir.serial(0, hidden) as k:
                self._scratch[gate] = (
                    self._scratch[gate]
                    + self._weights[gate * hidden + k] * self._state[row * hidden + k]
                )
            self._scratch[gate] = (
                self._inputs[place * 3 * hidden + gate]
                + self._scratch[hidden + j] * self._scratch[gate]
            )
