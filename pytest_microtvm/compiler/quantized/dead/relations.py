"""How the channels of a layer's inputs and those of its output belong together."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pytest_microtvm.compiler.quantized.dead.network import Shape, View
from pytest_microtvm.compiler.quantized.specs import (
    Arithmetic,
    Concatenation,
    Conv2D,
    DepthwiseConv2D,
    FullyConnected,
    Lookup,
    Mean,
    Pool,
    Quantize,
    Requantize,
    Resize,
    Spec,
)
from pytest_microtvm.compiler.quantized.tflite_specs import (
    Comparison,
    Interpolation,
    PowerOfTwoSum,
    Prelu,
    Quotient,
    Sigmoid,
    SquaredDifference,
    TwoSlopes,
)

Indices = npt.NDArray[np.intp]


@dataclass(frozen=True)
class Mixing:
    """Each output channel has weights of its own for every input channel."""


@dataclass(frozen=True)
class Aligned:
    """Each output channel is made of the input channels that belong to it, and of no others.

    Args:
        maps: By input, the output channels of each of its channels; shape (channels, any). An input
            without a row for each of its channels is read as a whole.
    """

    maps: tuple[Indices | None, ...]


Relation = Mixing | Aligned | None
"""None where nothing is known: all channels are needed."""

ELEMENTS = (Lookup, Requantize, Quantize, TwoSlopes, Sigmoid, Interpolation)
"""Functions of each element alone, with a field `size`."""

SIDES = (Arithmetic, SquaredDifference, Quotient, Prelu, Comparison, PowerOfTwoSum)
"""Functions of elements of two tensors, with the fields `operands` and `output_shape`."""


def relation(spec: Spec, inputs: Sequence[Shape], output: Shape) -> Relation:
    """How the channels of a layer belong together.

    Args:
        spec: What the layer does.
        inputs: The shapes of its inputs.
        output: The shape of its output.
    """
    find = _RELATIONS.get(type(spec))
    return None if find is None or not output else find(spec, inputs, output)


def _same(channels: int) -> Indices:
    return np.arange(channels)[:, None]


def _conv2d(spec: Conv2D, inputs: Sequence[Shape], output: Shape) -> Relation:
    has_groups = spec.weights.shape[3] != spec.input_shape[3]
    if has_groups or not _are_shapes(spec, inputs, output):
        return None
    return Mixing()


def _fully_connected(spec: FullyConnected, inputs: Sequence[Shape], output: Shape) -> Relation:
    outputs, depth = spec.weights.shape
    expected = ((spec.rows, depth), (spec.rows, outputs))
    found = tuple((math.prod(shape[:-1]), shape[-1]) for shape in (inputs[0], output))
    return Mixing() if found == expected else None


def _depthwise(spec: DepthwiseConv2D, inputs: Sequence[Shape], output: Shape) -> Relation:
    if not _are_shapes(spec, inputs, output):
        return None
    channels = spec.input_shape[3]
    if channels == 1:
        return Mixing()
    return Aligned((np.arange(spec.output_shape[3]).reshape(channels, -1),))


def _image(spec: Pool | Resize, inputs: Sequence[Shape], output: Shape) -> Relation:
    return Aligned((_same(output[-1]),)) if _are_shapes(spec, inputs, output) else None


def _are_shapes(spec: Any, inputs: Sequence[Shape], output: Shape) -> bool:
    return (inputs[0], output) == (spec.input_shape, spec.output_shape)


def _mean(spec: Mean, inputs: Sequence[Shape], output: Shape) -> Relation:
    is_spatial = len(spec.input_shape) - 1 not in spec.axes
    if not is_spatial or inputs[0] != spec.input_shape or output[-1] != inputs[0][-1]:
        return None
    return Aligned((_same(output[-1]),))


def _element(spec: Spec, inputs: Sequence[Shape], output: Shape) -> Relation:
    return Aligned((_same(output[-1]),)) if inputs[0] == output else None


def _sides(spec: Any, inputs: Sequence[Shape], output: Shape) -> Relation:
    given = tuple(operand.shape for operand in spec.operands if operand.values is None)
    if given != tuple(inputs) or output != spec.output_shape:
        return None
    channels = output[-1]
    maps = [_same(channels) if shape and shape[-1] == channels else None for shape in inputs]
    return Aligned(tuple(maps))


def _concatenation(spec: Concatenation, inputs: Sequence[Shape], output: Shape) -> Relation:
    total = sum(spec.lengths)
    if spec.rows * total != math.prod(output) or len({len(shape) for shape in inputs}) > 1:
        return None
    if total == output[-1]:
        starts = np.cumsum((0, *spec.lengths))
        maps = [_same(n) + start for n, start in zip(spec.lengths, starts, strict=False)]
        return Aligned(tuple(maps))
    if any(shape[-1] != output[-1] for shape in inputs):
        return None
    return Aligned(tuple(_same(output[-1]) for _ in inputs))


def _view(spec: View, inputs: Sequence[Shape], output: Shape) -> Relation:
    if not inputs[0]:
        return None
    before, after = inputs[0][-1], output[-1]
    if after % before == 0:
        return Aligned((np.arange(after).reshape(-1, before).T,))
    if before % after == 0:
        return Aligned((np.arange(before)[:, None] % after,))
    return None


_RELATIONS: Mapping[type, Callable[[Any, Sequence[Shape], Shape], Relation]] = {
    Concatenation: _concatenation,
    Conv2D: _conv2d,
    DepthwiseConv2D: _depthwise,
    FullyConnected: _fully_connected,
    Mean: _mean,
    Pool: _image,
    Resize: _image,
    View: _view,
    **dict.fromkeys(ELEMENTS, _element),
    **dict.fromkeys(SIDES, _sides),
}
