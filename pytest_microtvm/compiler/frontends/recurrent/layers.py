"""LSTM, GRU and RNN: a matrix product for all steps at once, then a loop over the steps.

For each direction the inputs of all steps are multiplied by their weights; one kernel then walks
the steps (see `loops`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from tvm import relax, te

from pytest_microtvm.compiler.frontends.recurrent.activations import activations_of, text_of
from pytest_microtvm.compiler.frontends.recurrent.loops import (
    Buffers,
    Function,
    Layer,
    loops,
)
from pytest_microtvm.compiler.frontends.stacking import stacked


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
    layer = Layer(kind, steps, batch, hidden, attributes)
    names = {1: [text_of(attributes.get("direction", "forward"))], 2: ["forward", "reverse"]}
    results = []
    for number, direction in enumerate(names[directions]):

        def part(tensor: Any, number: int = number) -> Any:
            return None if tensor is None else _part(builder, tensor, number)

        parts = map(part, (weights, recurrent_weights, bias, state, cell, peepholes))
        is_reverse = direction == "reverse"
        activations = activations_of(layer, number)
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


def _products(builder: Any, layer: Layer, source: Any, given: _Given) -> tuple[Any, Any]:
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
    layer: Layer,
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
            buffers = Buffers(
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
            return loops(layer, activations, is_reverse, buffers, start)

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
