"""A layer with fewer channels."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from pytest_microtvm.compiler.quantized.dead.network import Shape, View
from pytest_microtvm.compiler.quantized.dead.relations import ELEMENTS, SIDES, Indices
from pytest_microtvm.compiler.quantized.dead.weighted import (
    Integers,
    MixingSpec,
    bias_of,
    of_channels,
)
from pytest_microtvm.compiler.quantized.specs import (
    Concatenation,
    Conv2D,
    DepthwiseConv2D,
    FullyConnected,
    Mean,
    Operand,
    Pool,
    Resize,
    Spec,
)


@dataclass(frozen=True)
class Kept:
    """What is left of a layer.

    Args:
        inputs: By input, the channels that stay.
        output: The channels of the output that stay.
        input_shapes: As they become.
        output_shape: As it becomes.
    """

    inputs: tuple[Indices, ...]
    output: Indices
    input_shapes: tuple[Shape, ...]
    output_shape: Shape


def shrunk(spec: Spec, kept: Kept) -> Spec:
    """The same layer for the channels that stay; of one with weights, see `with_bias`, too."""
    result: Spec = _SHRUNK[type(spec)](spec, kept)
    return result


def with_bias(spec: MixingSpec, added: Integers) -> MixingSpec:
    """The same layer with something added to the sum of each output channel."""
    if not added.any():
        return spec
    known = "int64" if spec.input_dtype == "int16" else "int32"
    dtype = known if spec.bias is None else spec.bias.dtype
    return replace(spec, bias=(bias_of(spec.bias, len(added)) + added).astype(dtype))


def _image(shape: tuple[int, int, int, int], channels: int) -> tuple[int, int, int, int]:
    return (*shape[:3], channels)


def _some(array: npt.NDArray[Any] | None, channels: Indices) -> npt.NDArray[Any] | None:
    return None if array is None else array[channels]


def _conv2d(spec: Conv2D, kept: Kept) -> Conv2D:
    return replace(
        spec,
        input_shape=_image(spec.input_shape, len(kept.inputs[0])),
        output_shape=_image(spec.output_shape, len(kept.output)),
        weights=np.ascontiguousarray(spec.weights[kept.output][..., kept.inputs[0]]),
        bias=_some(spec.bias, kept.output),
        requantization=of_channels(spec.requantization, kept.output),
    )


def _fully_connected(spec: FullyConnected, kept: Kept) -> FullyConnected:
    return replace(
        spec,
        weights=np.ascontiguousarray(spec.weights[kept.output][:, kept.inputs[0]]),
        bias=_some(spec.bias, kept.output),
        requantization=of_channels(spec.requantization, kept.output),
    )


def _depthwise(spec: DepthwiseConv2D, kept: Kept) -> DepthwiseConv2D:
    return replace(
        spec,
        input_shape=_image(spec.input_shape, len(kept.inputs[0])),
        output_shape=_image(spec.output_shape, len(kept.output)),
        weights=np.ascontiguousarray(spec.weights[..., kept.output]),
        bias=_some(spec.bias, kept.output),
        requantization=of_channels(spec.requantization, kept.output),
    )


def _slid(spec: Pool | Resize, kept: Kept) -> Spec:
    channels = len(kept.output)
    return replace(
        spec,
        input_shape=_image(spec.input_shape, channels),
        output_shape=_image(spec.output_shape, channels),
    )


def _mean(spec: Mean, kept: Kept) -> Mean:
    return replace(spec, input_shape=kept.input_shapes[0])


def _element(spec: Any, kept: Kept) -> Any:
    return replace(spec, size=math.prod(kept.output_shape))


def _sides(spec: Any, kept: Kept) -> Any:
    shapes = iter(kept.input_shapes)
    channels = spec.output_shape[-1]

    def of(operand: Operand) -> Operand:
        if operand.values is None:
            return replace(operand, shape=next(shapes))
        if not operand.shape or operand.shape[-1] != channels:
            return operand
        values = operand.values.reshape(operand.shape)[..., kept.output]
        return replace(operand, shape=values.shape, values=np.ascontiguousarray(values))

    operands = tuple(of(operand) for operand in spec.operands)
    return replace(spec, output_shape=kept.output_shape, operands=operands)


def _concatenation(spec: Concatenation, kept: Kept) -> Concatenation:
    lengths = tuple(math.prod(shape) // spec.rows for shape in kept.input_shapes)
    return replace(spec, lengths=lengths)


def _view(spec: View, kept: Kept) -> View:
    return spec


_SHRUNK: Mapping[type, Callable[[Any, Kept], Any]] = {
    Concatenation: _concatenation,
    Conv2D: _conv2d,
    DepthwiseConv2D: _depthwise,
    FullyConnected: _fully_connected,
    Mean: _mean,
    Pool: _slid,
    Resize: _slid,
    View: _view,
    **dict.fromkeys(ELEMENTS, _element),
    **dict.fromkeys(SIDES, _sides),
}


def smaller(shape: Shape, channels: Sequence[int] | Indices) -> Shape:
    """The shape of a tensor that keeps so many channels."""
    return (*shape[:-1], len(channels)) if shape else shape
