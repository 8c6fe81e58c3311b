"""onnxruntime's DynamicQuantizeLSTM: what its dynamic quantization makes of LSTM layers.

Inputs are quantized all at once, hidden states at each step, by what they are at run time. Steps
are unrolled, as each has a scale of its own. Of several sequences onnxruntime quantizes the hidden
states together or one by one, as its threads allow: there is one sequence here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from onnx import TensorProto

from pytest_microtvm.compiler.frontends.onnx.graph import Array, Builder

_MOST_STEPS = 256
_DEFAULTS = ["Sigmoid", "Tanh", "Tanh"]
_HARMLESS = ("layout", "input_forget")
"""Attributes that are 0 where they say nothing."""


@dataclass(frozen=True)
class _Weights:
    """The weights of a direction for the inputs or for the hidden state.

    Args:
        values: (inputs, 4 * hidden), without their zero points.
        scales: One, or one for each column.
    """

    values: Array
    scales: Array


def dynamic_lstm(builder: Builder) -> bool:
    """Replace the node; False for what is not known: lengths, peepholes, a clip, batches."""
    shape = builder.graph.shape(builder.node.input[0])
    matrices, recurrents = _weights(builder, 1, 8), _weights(builder, 2, 10)
    if shape is None or matrices is None or recurrents is None or not _is_plain(builder):
        return False
    bias = _known(builder, 3)
    if shape[0] > _MOST_STEPS or shape[1] != 1 or (bias is None and builder.input(3) is not None):
        return False
    names = {1: [builder.attribute("direction", "forward")], 2: ["forward", "reverse"]}
    directions = names[len(matrices)]
    flat = builder.reshape(builder.node.input[0], (shape[0] * shape[1], shape[2]))
    given = _quantized(builder, flat)
    made: list[tuple[list[str], str, str]] = []
    for number, direction in enumerate(directions):
        units = recurrents[number].values.shape[0]
        gates = _product(builder, given, matrices[number])
        added = np.zeros(4 * units, np.float32)
        if bias is not None:
            added = (bias[number, : 4 * units] + bias[number, 4 * units :]).astype(np.float32)
        states = [_state(builder, place, number, (shape[1], units)) for place in (5, 6)]
        made.append(
            _steps(
                builder,
                builder.reshape(gates, (*shape[:2], 4 * units)),
                recurrents[number],
                builder.constant(added),
                (states[0], states[1]),
                list(range(shape[0]))[:: -1 if direction == "reverse" else 1],
            )
        )
    sequences = [builder.unsqueeze(_concat(builder, each[0], 0), [1]) for each in made]
    builder.result(_concat(builder, sequences, 1), 0)
    for output, last in ((1, [each[1] for each in made]), (2, [each[2] for each in made])):
        rows = [builder.unsqueeze(each, [0]) for each in last]
        builder.result(_concat(builder, rows, 0), output)
    return True


def _is_plain(builder: Builder) -> bool:
    """Whether nothing is there but layers with the usual activations."""
    activations = list(builder.attribute("activations", []))
    names = [name.decode() if isinstance(name, bytes) else name for name in activations]
    count = 2 if builder.attribute("direction", "forward") == "bidirectional" else 1
    return (
        names in ([], _DEFAULTS * count)
        and builder.attribute("clip") is None
        and not any(int(builder.attribute(name, 0)) for name in _HARMLESS)
        and builder.input(4) is None
        and builder.input(7) is None
    )


def _known(builder: Builder, position: int) -> Array | None:
    return builder.graph.constants.get(builder.input(position) or "")


def _weights(builder: Builder, position: int, scale_position: int) -> list[_Weights] | None:
    """Those of each direction; None when they are not constants."""
    values, scales = _known(builder, position), _known(builder, scale_position)
    zero_points = _known(builder, scale_position + 1)
    if values is None or scales is None:
        return None
    rows = [scales.reshape(len(values), -1), np.zeros((len(values), 1), np.int32)]
    if zero_points is not None:
        rows[1] = zero_points.astype(np.int32).reshape(len(values), -1)
    wide = values.astype(np.int32) - rows[1][:, None, :]
    return [_Weights(*each) for each in zip(wide, rows[0], strict=True)]


def _state(builder: Builder, position: int, number: int, shape: tuple[int, int]) -> str:
    """The first state of a direction."""
    name = builder.input(position)
    if name is None:
        return builder.constant(np.zeros(shape, np.float32))
    return builder.reshape(builder.slice(name, 0, number, number + 1), shape)


def _quantized(builder: Builder, source: str) -> tuple[str, str]:
    """A float tensor as int32 without a zero point, and its scale."""
    values, scale, zero_point = builder.emit("DynamicQuantizeLinear", [source], outputs=3)
    wide, offset = (builder.cast(name, TensorProto.INT32) for name in (values, zero_point))
    return builder.op("Sub", wide, offset), scale


def _product(builder: Builder, given: tuple[str, str], weights: _Weights) -> str:
    """A quantized tensor times weights, as floats."""
    values, scale = given
    total = builder.op("MatMul", values, builder.constant(weights.values))
    factor = builder.op("Mul", scale, builder.constant(weights.scales.astype(np.float32)))
    return builder.op("Mul", builder.cast(total, TensorProto.FLOAT), factor)


def _steps(
    builder: Builder,
    gates: str,
    recurrent: _Weights,
    bias: str,
    states: tuple[str, str],
    order: list[int],
) -> tuple[list[str], str, str]:
    """The hidden states by step, (1, batch, hidden) each, and the last states."""
    hidden, cell = states
    units = recurrent.values.shape[0]
    found = {}
    for step in order:
        of_step = builder.squeeze(builder.slice(gates, 0, step, step + 1), [0])
        of_state = _product(builder, _quantized(builder, hidden), recurrent)
        total = builder.op("Add", builder.op("Add", of_step, of_state), bias)
        into, out, forget, new = (
            builder.slice(total, 1, start, start + units) for start in range(0, 4 * units, units)
        )
        kept = builder.op("Mul", builder.op("Sigmoid", forget), cell)
        added = builder.op("Mul", builder.op("Sigmoid", into), builder.op("Tanh", new))
        cell = builder.op("Add", kept, added)
        hidden = builder.op("Mul", builder.op("Sigmoid", out), builder.op("Tanh", cell))
        found[step] = builder.unsqueeze(hidden, [0])
    return [found[step] for step in sorted(found)], hidden, cell


def _concat(builder: Builder, parts: Sequence[str], axis: int) -> str:
    return parts[0] if len(parts) == 1 else builder.op("Concat", *parts, axis=axis)
