"""Channels whose values are known ahead of time, at each place of the tensor.

Nearly always that is one value at all places. But where a convolution pads a channel that is not
zero, what comes out is another value at the borders, unless both are clamped to the same.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from pytest_microtvm.compiler.quantized.arithmetic import (
    LIMITS,
    apply,
    even_shift,
    requantize,
)
from pytest_microtvm.compiler.quantized.dead.network import Network, Shape, View
from pytest_microtvm.compiler.quantized.dead.relations import Aligned, Mixing, Relation
from pytest_microtvm.compiler.quantized.dead.weighted import (
    Integers,
    MixingSpec,
    bias_of,
    scaled,
    slid,
    weighted,
)
from pytest_microtvm.compiler.quantized.specs import (
    Arithmetic,
    Concatenation,
    DepthwiseConv2D,
    Lookup,
    Mean,
    Operand,
    Pool,
    Requantize,
    Resize,
    Rounding,
    Spec,
)

Images = dict[int, Integers]
"""By channel, its values: one for each index of the axes before the last, flat."""


def known_channels(network: Network, relations: Sequence[Relation]) -> list[Images]:
    """What is known of each tensor.

    Args:
        network: The layers.
        relations: Of each layer.
    """
    known: list[Images] = [{} for _ in network.shapes]
    for layer, relation in zip(network.layers, relations, strict=True):
        given = [known[tensor] for tensor in layer.inputs]
        shape = network.shapes[layer.output]
        if isinstance(relation, Mixing):
            known[layer.output] = _mixed(layer.spec, given[0])
        elif isinstance(relation, Aligned):
            find = _ALIGNED.get(type(layer.spec))
            # A channel without weights is known, whatever it reads.
            if find is not None and (any(given) or isinstance(layer.spec, DepthwiseConv2D)):
                known[layer.output] = find(layer.spec, given, network.input_shapes(layer), shape)
    return known


def is_one_value(image: Integers) -> bool:
    """Whether all elements are the same."""
    return bool((image == image[0]).all())


def _mixed(spec: Any, given: Images) -> Images:
    mixing: MixingSpec = spec
    layer = weighted(mixing)
    needed = layer.used
    needed[:, list(given)] = False
    outputs = np.flatnonzero(~needed.any(axis=1))
    if not outputs.size:
        return {}
    sums = np.broadcast_to(layer.bias[outputs], (*layer.output_shape[:3], len(outputs))).copy()
    used = layer.used[outputs].any(axis=0)
    for channel in np.flatnonzero(used):
        sums += layer.sums(given[int(channel)] - mixing.input_zero_point, int(channel), outputs)
    return _images(scaled(sums, mixing.requantization, outputs), outputs)


def _depthwise(
    spec: DepthwiseConv2D, given: Sequence[Images], inputs: Sequence[Shape], output: Shape
) -> Images:
    found: Images = {}
    channels = spec.input_shape[3]
    multiplier = spec.output_shape[3] // channels
    weights = spec.weights.astype(np.int64) - spec.weights_zero_point
    bias = bias_of(spec.bias, spec.output_shape[3])
    for channel in range(channels):
        outputs = np.arange(channel * multiplier, (channel + 1) * multiplier)
        if channel not in given[0]:
            outputs = outputs[~weights[..., outputs].any(axis=(0, 1))]
        if outputs.size:
            image = given[0].get(channel, np.zeros(1, np.int64) + spec.input_zero_point)
            plane = np.broadcast_to(image, int(np.prod(spec.input_shape[:3])))
            plane = plane.reshape(spec.input_shape[:3]) - spec.input_zero_point
            sums = slid(plane, spec.window, spec.output_shape, weights[..., outputs])
            total = sums + bias[outputs]
            found |= _images(scaled(total, spec.requantization, outputs), outputs)
    return found


def _images(values: Integers | None, channels: Any) -> Images:
    """By channel, the values of an array that has channels last."""
    if values is None:
        return {}
    flat = values.reshape(-1, len(channels))
    return {int(channel): flat[:, number] for number, channel in enumerate(channels)}


def _pool(spec: Pool, given: Sequence[Images], inputs: Sequence[Shape], output: Shape) -> Images:
    size = int(np.prod(output[:-1]))
    return {
        channel: np.full(size, np.clip(image[0], spec.minimum, spec.maximum), np.int64)
        for channel, image in given[0].items()
        if is_one_value(image)
    }


def _resize(
    spec: Resize, given: Sequence[Images], inputs: Sequence[Shape], output: Shape
) -> Images:
    size = int(np.prod(output[:-1]))
    return {
        channel: np.full(size, image[0], np.int64)
        for channel, image in given[0].items()
        if spec.kind == "nearest" and is_one_value(image)
    }


def _mean(spec: Mean, given: Sequence[Images], inputs: Sequence[Shape], output: Shape) -> Images:
    found: Images = {}
    for channel, image in given[0].items():
        centered = image.reshape(spec.input_shape[:-1]) - spec.input_zero_point
        sums = centered.sum(axis=spec.axes).reshape(-1, 1)
        values = scaled(sums, spec.requantization, np.arange(1))
        if values is not None:
            found[channel] = values[:, 0]
    return found


def _lookup(
    spec: Lookup, given: Sequence[Images], inputs: Sequence[Shape], output: Shape
) -> Images:
    return {c: _looked_up(image, spec.table, spec.input_dtype) for c, image in given[0].items()}


def _looked_up(image: Integers, table: Any, dtype: str) -> Integers:
    values: Integers = table[image - LIMITS[dtype][0]].astype(np.int64)
    return values


def _requantize(
    spec: Requantize, given: Sequence[Images], inputs: Sequence[Shape], output: Shape
) -> Images:
    return {
        channel: apply((image - spec.input_zero_point)[:, None], spec.requantization)[:, 0].astype(
            np.int64
        )
        for channel, image in given[0].items()
    }


def _arithmetic(
    spec: Arithmetic, given: Sequence[Images], inputs: Sequence[Shape], output: Shape
) -> Images:
    """Where both sides are known."""
    sides: list[Images] = []
    computed = iter(given)
    for operand in spec.operands:
        images = next(computed) if operand.values is None else _images_of(operand)
        has_channels = bool(operand.shape) and operand.shape[-1] == output[-1]
        if not has_channels:
            images = dict.fromkeys(range(output[-1]), images[0]) if 0 in images else {}
        sides.append({c: _spread(image, operand, output) for c, image in images.items()})
    return {
        channel: _result(spec, left, sides[1][channel])
        for channel, left in sides[0].items()
        if channel in sides[1]
    }


def _images_of(operand: Operand) -> Images:
    """Of a side that is known as a whole."""
    extents = operand.shape or (1,)
    return _images(np.asarray(operand.values, np.int64).reshape(extents), range(extents[-1]))


def _spread(image: Integers, operand: Operand, output: Shape) -> Integers:
    """A channel of a side, broadcast to the places of the output."""
    return np.broadcast_to(image.reshape(operand.shape[:-1]), output[:-1]).reshape(-1)


def _result(spec: Arithmetic, left: Integers, right: Integers) -> Integers:
    values = [
        side - operand.zero_point
        for side, operand in zip((left, right), spec.operands, strict=True)
    ]
    requantization = spec.requantization
    if spec.kind == "multiply":
        sums = values[0] * values[1]
        return apply(sums[:, None], requantization)[:, 0].astype(np.int64)
    sign = -1 if spec.kind == "subtract" else 1
    if requantization.rounding is Rounding.EVEN:
        parts = [
            value * operand.multiplier for value, operand in zip(values, spec.operands, strict=True)
        ]
        sums = even_shift(parts[0] + sign * parts[1], spec.left_shift)
        total = sums + requantization.zero_point
        return np.clip(total, requantization.minimum, requantization.maximum)
    parts = [
        requantize(value << spec.left_shift, operand.multiplier, operand.shift)
        for value, operand in zip(values, spec.operands, strict=True)
    ]
    return apply((parts[0] + sign * parts[1])[:, None], requantization)[:, 0].astype(np.int64)


def _concatenation(
    spec: Concatenation, given: Sequence[Images], inputs: Sequence[Shape], output: Shape
) -> Images:
    found: Images = {}
    if sum(spec.lengths) != output[-1]:
        return found  # not along the channels
    start = 0
    for images, length, table in zip(given, spec.lengths, spec.tables, strict=True):
        for channel, image in images.items():
            values = image if table is None else _looked_up(image, table, spec.dtype)
            found[start + channel] = values
        start += length
    return found


def _view(spec: View, given: Sequence[Images], inputs: Sequence[Shape], output: Shape) -> Images:
    before, after = inputs[0][-1], output[-1]
    found: Images = {}
    if after % before == 0:
        parts = after // before
        for channel, image in given[0].items():
            for part, values in enumerate(image.reshape(-1, parts).T):
                found[part * before + channel] = values
        return found
    for channel in range(after):
        sources = range(channel, before, after)
        if all(source in given[0] for source in sources):
            found[channel] = np.stack([given[0][source] for source in sources], axis=1).reshape(-1)
    return found


_ALIGNED: Mapping[type[Spec], Callable[[Any, Sequence[Images], Sequence[Shape], Shape], Images]] = {
    Arithmetic: _arithmetic,
    Concatenation: _concatenation,
    DepthwiseConv2D: _depthwise,
    Lookup: _lookup,
    Mean: _mean,
    Pool: _pool,
    Requantize: _requantize,
    Resize: _resize,
    View: _view,
}
