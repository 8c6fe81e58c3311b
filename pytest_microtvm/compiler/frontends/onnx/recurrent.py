"""LSTM, GRU and RNN: a matrix product for all steps at once, then a loop over the steps.

For each direction the inputs of all steps are multiplied by their weights; one kernel then walks
the steps. It writes the sequence of hidden states, and the last hidden and cell states.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from tvm import relax, te, tirx
from tvm.script.ir_builder import IRBuilder
from tvm.script.ir_builder import tirx as ir

from pytest_microtvm.compiler.frontends.stacking import stacked
from pytest_microtvm.errors import ModelError

Function = Callable[[Any], Any]
"""Of a TIR expression."""


@dataclass(frozen=True)
class _Layer:
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
        return bool(self.attributes.get("linear_before_reset", 0))


@dataclass(frozen=True)
class _Given:
    """The tensors of a direction; None where there is none.

    Args:
        weights: (gates * hidden, inputs).
        recurrent: (gates * hidden, hidden).
        bias: (2 * gates * hidden).
        state: (batch, hidden): what the hidden state begins as.
        cell: (batch, hidden): likewise the cell state.
        peepholes: (3 * hidden).
    """

    weights: Any
    recurrent: Any
    bias: Any
    state: Any
    cell: Any
    peepholes: Any


@dataclass(frozen=True)
class _Buffers:
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


def recurrent(kind: str) -> Callable[[Any, list[Any], dict[str, Any]], Any]:
    """The converter of "LSTM", "GRU" or "RNN"."""

    def convert(builder: Any, inputs: list[Any], attributes: dict[str, Any]) -> Any:
        return _converted(kind, builder, inputs, attributes)

    return convert


def _converted(kind: str, builder: Any, inputs: list[Any], attributes: dict[str, Any]) -> Any:
    given = [*inputs, *[None] * (8 - len(inputs))]
    if kind != "LSTM":
        given = [*given[:6], None, None]
    source, weights, recurrent_weights, bias, lengths, state, cell, peepholes = given
    batch_first = bool(attributes.get("layout", 0))
    emit = builder.emit
    if batch_first:
        source = emit(relax.op.permute_dims(source, [1, 0, 2]))
        state, cell = (
            None if tensor is None else emit(relax.op.permute_dims(tensor, [1, 0, 2]))
            for tensor in (state, cell)
        )
    steps, batch, _ = _shape(source)
    directions, _, hidden = _shape(recurrent_weights)
    layer = _Layer(kind, steps, batch, hidden, attributes)
    names = {1: [_text(attributes.get("direction", "forward"))], 2: ["forward", "reverse"]}
    results = []
    for number, direction in enumerate(names[directions]):

        def part(tensor: Any, number: int = number) -> Any:
            return None if tensor is None else _part(builder, tensor, number)

        parts = map(part, (weights, recurrent_weights, bias, state, cell, peepholes))
        is_reverse = direction == "reverse"
        activations = _activations(layer, number)
        results.append(
            _direction(builder, layer, activations, is_reverse, source, lengths, _Given(*parts))
        )
    sequences, states, cells = ([row[i] for row in results] for i in range(3))
    sequence_axis, state_axis = (2, 1) if batch_first else (1, 0)
    if batch_first:
        sequences = [emit(relax.op.permute_dims(tensor, [1, 0, 2])) for tensor in sequences]
    made = [
        emit(stacked(sequences, sequence_axis)),
        emit(stacked(states, state_axis)),
    ]
    if kind == "LSTM":
        made.append(emit(stacked(cells, state_axis)))
    return relax.Tuple(made)


def _shape(tensor: Any) -> list[int]:
    return [int(extent.value) for extent in tensor.ty.shape]


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _part(builder: Any, tensor: Any, number: int) -> Any:
    """Of a tensor with a row for each direction, one row."""
    if type(tensor).__name__ == "GenericConst":
        array = tensor.value.numpy()
        return relax.const(np.ascontiguousarray(array[number]), str(array.dtype))
    shape = _shape(tensor)
    row = tensor
    if shape[0] > 1:
        row = builder.emit(relax.op.strided_slice(tensor, [0], [number], [number + 1]))
    return builder.emit(relax.op.reshape(row, shape[1:]))


def _products(builder: Any, layer: _Layer, source: Any, given: _Given) -> tuple[Any, Any]:
    """What the inputs of all steps add to the gates, and the part of the bias that is not in it."""
    emit = builder.emit
    product = emit(relax.op.matmul(source, emit(relax.op.permute_dims(given.weights, [1, 0]))))
    if given.bias is None:
        return product, None
    width = layer.gates * layer.hidden
    halves = [
        emit(relax.op.strided_slice(given.bias, [0], [start], [start + width]))
        for start in (0, width)
    ]
    separate = halves.pop() if layer.is_linear_before_reset else None
    for half in halves:
        product = emit(relax.op.add(product, half))
    return product, separate


def _direction(
    builder: Any,
    layer: _Layer,
    activations: list[Function],
    is_reverse: bool,
    source: Any,
    lengths: Any,
    given: _Given,
) -> tuple[Any, Any, Any]:
    """One direction: the sequence, the last hidden state and the last cell state."""
    dtype = str(source.ty.dtype.dtype)
    width = layer.gates * layer.hidden
    product, separate = _products(builder, layer, source, given)
    shape = (layer.batch, layer.hidden)
    zero = relax.const(np.zeros(shape), dtype)
    cell0 = given.cell if given.cell is not None else zero
    optional = {
        "state0": given.state if given.state is not None else zero,
        "cell0": cell0 if layer.kind == "LSTM" else None,
        "bias": separate,
        "peepholes": given.peepholes,
        "lengths": lengths,
    }
    names = [name for name, tensor in optional.items() if tensor is not None]

    def compute(*tensors: Any) -> list[Any]:
        shapes = [(layer.steps, *shape), shape]
        shapes += [shape] if layer.kind == "LSTM" else []
        shapes.append((width,))

        def body(ins: Any, outs: Any) -> Any:
            known = dict(zip(names, ins[2:], strict=True))
            buffers = _Buffers(
                inputs=ins[0],
                weights=ins[1],
                bias=known.get("bias"),
                peepholes=known.get("peepholes"),
                lengths=known.get("lengths"),
                sequence=outs[0],
                state=outs[1],
                cell=outs[2] if layer.kind == "LSTM" else None,
                scratch=outs[-1],
            )
            start = (known["state0"], known.get("cell0"))
            return _loops(layer, activations, is_reverse, buffers, start)

        dtypes = [dtype] * len(shapes)
        name = layer.kind.lower()
        made: list[Any] = te.extern(shapes, list(tensors), body, dtype=dtypes, name=name)
        return made

    call = builder.emit_te(
        compute,
        product,
        given.recurrent,
        *(optional[name] for name in names),
        primfunc_name_hint=layer.kind.lower(),
    )
    sequence, state = (builder.emit(relax.TupleGetItem(call, i)) for i in range(2))
    cell = builder.emit(relax.TupleGetItem(call, 2)) if layer.kind == "LSTM" else state
    return sequence, state, cell


def _loops(
    layer: _Layer,
    activations: list[Function],
    is_reverse: bool,
    buffers: _Buffers,
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

    def __init__(self, layer: _Layer, buffers: _Buffers, start: tuple[Any, Any]) -> None:
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


def _activations(layer: _Layer, number: int) -> list[Function]:
    """The functions of a direction: of the gates, of the candidate and of the output."""
    default = {"LSTM": ["Sigmoid", "Tanh", "Tanh"], "GRU": ["Sigmoid", "Tanh"], "RNN": ["Tanh"]}
    count = len(default[layer.kind])
    given = [_text(name) for name in layer.attributes.get("activations", ())]
    names = given[number * count : (number + 1) * count] or default[layer.kind]
    # Parameters are given one after the other, for the functions that have them.
    before = given[: number * count]
    alphas = list(layer.attributes.get("activation_alpha", ()))
    betas = list(layer.attributes.get("activation_beta", ()))

    def taken(values: list[float], which: int, name: str) -> float | None:
        first, second = _PARAMETERS.get(name, (None, None))
        default_value = first if values is alphas else second
        if default_value is None:
            return None
        position = sum(
            _PARAMETERS.get(earlier, (None, None))[0 if values is alphas else 1] is not None
            for earlier in [*before, *names[:which]]
        )
        return float(values[position]) if position < len(values) else default_value

    functions = []
    for which, name in enumerate(names):
        if name not in _FUNCTIONS:
            raise ModelError(
                f"the activation {name!r} of {layer.kind} is not known",
                cure=f"use one of {', '.join(sorted(_FUNCTIONS))}",
            )
        alpha, beta = taken(alphas, which, name), taken(betas, which, name)
        functions.append(_FUNCTIONS[name](alpha, beta))
    return functions


_PARAMETERS: dict[str, tuple[float | None, float | None]] = {
    "Affine": (1.0, 0.0),
    "Elu": (1.0, None),
    "HardSigmoid": (0.2, 0.5),
    "LeakyRelu": (0.01, None),
    "ScaledTanh": (1.0, 1.0),
    "ThresholdedRelu": (1.0, None),
}
"""Defaults of alpha and beta; None where a function has none."""


def _number(value: float | None) -> Any:
    return tirx.const(float(value or 0.0), "float32")


def _one() -> Any:
    return tirx.const(1.0, "float32")


_FUNCTIONS: dict[str, Callable[[float | None, float | None], Function]] = {
    "Affine": lambda a, b: lambda x: _number(a) * x + _number(b),
    "Elu": lambda a, b: (
        lambda x: tirx.Select(x >= _number(0), x, _number(a) * (tirx.exp(x) - _one()))
    ),
    "HardSigmoid": lambda a, b: (
        lambda x: tirx.max(tirx.min(_number(a) * x + _number(b), _one()), _number(0))
    ),
    "LeakyRelu": lambda a, b: lambda x: tirx.Select(x >= _number(0), x, _number(a) * x),
    "Relu": lambda a, b: lambda x: tirx.max(x, _number(0)),
    "ScaledTanh": lambda a, b: lambda x: _number(a) * tirx.tanh(_number(b) * x),
    "Sigmoid": lambda a, b: lambda x: _one() / (_one() + tirx.exp(_number(0) - x)),
    "Softplus": lambda a, b: lambda x: tirx.log(_one() + tirx.exp(x)),
    "Softsign": lambda a, b: lambda x: x / (_one() + tirx.abs(x)),
    "Tanh": lambda a, b: lambda x: tirx.tanh(x),
    "ThresholdedRelu": lambda a, b: lambda x: tirx.Select(x > _number(a), x, _number(0)),
}
"""By name, what makes the function of alpha and beta."""
