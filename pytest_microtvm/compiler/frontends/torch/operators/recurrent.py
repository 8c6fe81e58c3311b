"""LSTM, GRU and RNN layers: for each, what walks the steps of an ONNX layer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from tvm import relax

from pytest_microtvm.compiler.frontends.recurrent.layers import recurrent
from pytest_microtvm.compiler.frontends.torch.call import Call, Refusal, constant, known, shape_of
from pytest_microtvm.compiler.frontends.torch.registry import operator

_GATES = {"LSTM": (0, 3, 1, 2), "GRU": (1, 0, 2), "RNN": (0,)}
"""For each kind, PyTorch's gates in ONNX's order."""


@operator("lstm")
def lstm(
    call: Call,
    input: Any,  # noqa: A002
    hx: Sequence[Any],
    params: Sequence[Any],
    has_biases: bool,
    num_layers: int,
    dropout: float,
    train: bool,
    bidirectional: bool,
    batch_first: bool,
) -> Any:
    """Long short-term memory: the sequence, the last hidden states and the last cells."""
    _check(dropout, train)
    return _layers(call, "LSTM", input, hx, params, has_biases, bidirectional, batch_first)


@operator("gru", "rnn_tanh", "rnn_relu")
def gru(
    call: Call,
    input: Any,  # noqa: A002
    hx: Any,
    params: Sequence[Any],
    has_biases: bool,
    num_layers: int,
    dropout: float,
    train: bool,
    bidirectional: bool,
    batch_first: bool,
) -> Any:
    """Gated or plain recurrent layers: the sequence and the last hidden states."""
    _check(dropout, train)
    kind = "GRU" if call.name == "aten::gru" else "RNN"
    return _layers(call, kind, input, [hx], params, has_biases, bidirectional, batch_first)


def _check(dropout: float, train: bool) -> None:
    if dropout and train:
        raise Refusal("it drops random elements", "export the model in evaluation mode: .eval()")


def _layers(
    call: Call,
    kind: str,
    source: Any,
    states: Sequence[Any],
    parameters: Sequence[Any],
    has_biases: bool,
    is_bidirectional: bool,
    batch_first: bool,
) -> list[Any]:
    is_single = len(shape_of(source)) == 2
    if is_single:
        source = call.reshaped(source, [shape_of(source)[0], 1, shape_of(source)[1]])
        states = [call.reshaped(s, [shape_of(s)[0], 1, shape_of(s)[1]]) for s in states]
    elif batch_first:
        source = call.permuted(source, [1, 0, 2])
    directions = 2 if is_bidirectional else 1
    # The weights of a direction by rows of arrays: of inputs, of states, biases, a projection.
    each = 4 if has_biases else 2
    count = shape_of(states[0])[0] // directions
    if len(parameters) != count * directions * each:
        raise Refusal("it projects its hidden states", "use an LSTM without proj_size")
    lasts: list[list[Any]] = [[] for _ in states]
    for layer in range(count):
        rows = [
            parameters[(layer * directions + i) * each : (layer * directions + i + 1) * each]
            for i in range(directions)
        ]
        first = layer * directions
        begins = [call.part(state, 0, first, first + directions) for state in states]
        attributes: dict[str, Any] = {
            "direction": "bidirectional" if is_bidirectional else "forward",
            "linear_before_reset": int(kind == "GRU"),
        }
        if call.name == "aten::rnn_relu":
            attributes["activations"] = ["Relu"] * directions
        arguments = [source, *_arrays(kind, rows, has_biases), None, *begins]
        made = recurrent(kind)(call.builder, arguments, attributes)
        sequence, *ends = (call.emit(field) for field in made.fields)
        # (steps, directions, batch, hidden) to (steps, batch, directions * hidden)
        steps, _, batch, hidden = shape_of(sequence)
        moved = call.permuted(sequence, [0, 2, 1, 3]) if is_bidirectional else sequence
        source = call.reshaped(moved, [steps, batch, directions * hidden])
        for found, end in zip(lasts, ends, strict=True):
            found.append(end)
    results = [call.emit(relax.op.concat(rows, 0)) if count > 1 else rows[0] for rows in lasts]
    if batch_first and not is_single:
        source = call.permuted(source, [1, 0, 2])
    return [
        call.reshaped(result, shape)
        for result, (shape, _) in zip([source, *results], call.outputs, strict=True)
    ]


def _arrays(kind: str, rows: Sequence[Sequence[Any]], has_biases: bool) -> list[Any]:
    """Weights of inputs and of states, and both biases, as ONNX has them: a row a direction."""
    found = []
    for row in rows:
        ordered: list[Any] = []
        for parameter in row:
            array = known(parameter)
            if array is None:
                raise Refusal("its weights are computed at run time")
            gates = np.split(array, len(_GATES[kind]))
            ordered.append(np.concatenate([gates[i] for i in _GATES[kind]]))
        biases = [np.concatenate(ordered[2:])] if has_biases else []
        found.append([*ordered[:2], *biases])
    stacked = [constant(np.stack(arrays)) for arrays in zip(*found, strict=True)]
    return stacked if has_biases else [*stacked, None]
