"""Recognizes operators over float32, each with the bias and the activation behind it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from pytest_microtvm.compiler.quantized.float_specs import (
    UNBOUNDED,
    FloatConv2D,
    FloatDepthwiseConv2D,
    FloatPool,
    FloatReduction,
    FloatSoftmax,
    FloatWeights,
    Range,
)
from pytest_microtvm.compiler.quantized.recognise.matches import Match, image_of
from pytest_microtvm.compiler.quantized.recognise.values import (
    Values,
    dtype_of,
    is_static_tensor,
    operator_name,
    shape_of,
)
from pytest_microtvm.compiler.quantized.recognise.weighted import ORDERS, by_channel, pair, unpadded
from pytest_microtvm.compiler.quantized.specs import Spec, Window


@dataclass(frozen=True)
class Layer:
    """An operator and what follows it, of which nothing else reads anything in between.

    Args:
        call: The call of the operator.
        bias: An expression that is added, or None.
        bounds: Of the results.
    """

    call: Any
    bias: Any = None
    bounds: Range = UNBOUNDED


FloatRecognizer = Callable[[Values, Layer], Match | None]
"""Says what the kernel of a layer has to do, or declines by None."""


def layer_of(values: Values, variable: Any) -> Layer | None:
    """The layer that ends in `variable`; None where the value is not one of fixed shape."""
    value = values.definition(variable)
    bounds = UNBOUNDED
    if not is_static_tensor(variable) or dtype_of(variable) != "float32":
        return None
    name = operator_name(value)
    if name in ("nn.relu", "clip") and values.is_read_once(value.args[0]):
        bounds, value = range_of(values, value), values.definition(value.args[0])
    if operator_name(value) == "reshape" and values.is_read_once(value.args[0]):
        # A fully connected layer may keep the rank of its input.
        inner, bias = _with_bias(values, values.definition(value.args[0]))
        if operator_name(inner) == "matmul":
            return Layer(inner, bias, bounds)
    return Layer(*_with_bias(values, value), bounds)


def _with_bias(values: Values, value: Any) -> tuple[Any, Any]:
    """The call before a bias is added, and the bias; the call itself and None without one."""
    if operator_name(value) == "add":
        for source, bias in (value.args, tuple(value.args)[::-1]):
            inner = values.definition(source)
            is_known = values.real(bias) is not None
            if operator_name(inner) in WEIGHTED and values.is_read_once(source) and is_known:
                return inner, bias
    return value, None


def range_of(values: Values, call: Any) -> Range:
    """The bounds that a call of `nn.relu` or `clip` puts on its argument."""
    if operator_name(call) == "nn.relu":
        return Range(0.0)
    low, high = (values.number(argument) for argument in call.args[1:3])
    return Range(
        low if low > -np.finfo(np.float32).max else None,
        high if high < np.finfo(np.float32).max else None,
    )


def match_conv2d(values: Values, layer: Layer) -> Match | None:
    """A convolution with known weights, and one group."""
    call = layer.call
    attributes = call.attrs
    layout, order = str(attributes.data_layout), ORDERS.get(str(attributes.kernel_layout))
    weights = None if order is None else _weights(values, call.args[1], order)
    if layout not in ("NHWC", "NCHW") or weights is None:
        return None
    output_shape = image_of(shape_of(call), layout)
    bias = _bias(values, layer, output_shape[3], 3 if layout == "NHWC" else 1)
    if isinstance(bias, bool):
        return None
    shape = weights.values.shape
    window = Window(
        (shape[1], shape[2]),
        pair(attributes.strides),
        pair(attributes.dilation),
        pair(attributes.padding),
    )
    image = call.args[0]
    if layout == "NHWC":
        image, window = unpadded(values, image, 0.0, window, output_shape)
    input_shape = image_of(shape_of(image), layout)
    if not window.sees_image(output_shape):
        return None
    shapes = input_shape, output_shape, window
    groups, is_first = int(attributes.groups), layout == "NCHW"
    spec: Spec
    if groups == 1:
        spec = FloatConv2D(*shapes, weights, bias, layer.bounds)
        return Match("conv2d", spec, (image,), is_first)
    if groups == input_shape[3] and shape[3] == 1:
        spec = FloatDepthwiseConv2D(*shapes, weights, bias, layer.bounds)
        return Match("depthwise_conv2d", spec, (image,), is_first)
    return None


def match_matmul(values: Values, layer: Layer) -> Match | None:
    """A fully connected layer with known weights."""
    source = layer.call.args[0]
    if len(shape_of(layer.call.args[1])) != 2 or values.real(source) is not None:
        return None
    weights = _weights(values, layer.call.args[1], (1, 0))
    if weights is None:
        return None
    outputs, inputs = weights.values.shape
    bias = _bias(values, layer, outputs, len(shape_of(layer.call)) - 1)
    if isinstance(bias, bool):
        return None
    rows = int(np.prod(shape_of(source)[:-1], dtype=np.int64))
    spec = FloatConv2D(
        (1, 1, rows, inputs),
        (1, 1, rows, outputs),
        Window((1, 1)),
        replace(weights, values=weights.values.reshape(outputs, 1, 1, inputs)),
        bias,
        layer.bounds,
    )
    return Match("fully_connected", spec, (source,))


def match_pool(values: Values, layer: Layer) -> Match | None:
    """Means or maxima of windows."""
    call = layer.call
    attributes, layout = call.attrs, str(call.attrs.layout)
    if layout not in ("NHWC", "NCHW"):
        return None
    image = call.args[0]
    input_shape, output_shape = (image_of(shape_of(each), layout) for each in (image, call))
    window = Window(
        pair(attributes.pool_size),
        pair(attributes.strides),
        pair(attributes.dilation),
        pair(attributes.padding),
    )
    is_mean = operator_name(call) == "nn.avg_pool2d"
    is_inside = window.is_inside(input_shape, output_shape)
    counts_padding = is_mean and bool(attributes.count_include_pad) and not is_inside
    if counts_padding and bool(attributes.ceil_mode):
        return None
    spec = FloatPool(
        "average" if is_mean else "max",
        input_shape,
        output_shape,
        window,
        counts_padding,
        layer.bounds,
    )
    return Match(f"{spec.kind}_pool2d", spec, (image,), layout == "NCHW")


def match_whole_pool(values: Values, layer: Layer) -> Match | None:
    """The means of whole images."""
    call = layer.call
    layout = str(call.attrs.layout)
    if layout not in ("NHWC", "NCHW"):
        return None
    image = call.args[0]
    input_shape, output_shape = (image_of(shape_of(each), layout) for each in (image, call))
    if output_shape[1:3] != (1, 1):
        return None
    spec = FloatPool(
        "average", input_shape, output_shape, Window(input_shape[1:3]), bounds=layer.bounds
    )
    return Match("average_pool2d", spec, (image,), layout == "NCHW")


def match_reduction(values: Values, layer: Layer) -> Match | None:
    """A reduction along axes that lie side by side."""
    call = layer.call
    source = call.args[0]
    shape = shape_of(source)
    axes = call.attrs.axis
    axes = range(len(shape)) if axes is None else sorted(int(axis) % len(shape) for axis in axes)
    real = [axis for axis in axes if shape[axis] > 1]
    first, end = (real[0], real[-1] + 1) if real else (0, 0)
    if any(shape[axis] > 1 and axis not in axes for axis in range(first, end)):
        return None
    rows, extent, columns = (
        math.prod(part) for part in (shape[:first], shape[first:end], shape[end:])
    )
    kind = operator_name(call)
    return Match(kind, FloatReduction(kind, rows, extent, columns, layer.bounds), (source,))


def match_softmax(values: Values, layer: Layer) -> Match | None:
    """A softmax over the last axis."""
    shape = shape_of(layer.call)
    axis = int(layer.call.attrs.axis)
    if layer.bounds != UNBOUNDED or not shape or axis not in (-1, len(shape) - 1):
        return None
    spec = FloatSoftmax(int(np.prod(shape[:-1], dtype=np.int64)), shape[-1])
    return Match("softmax", spec, (layer.call.args[0],))


def _weights(values: Values, expression: Any, order: tuple[int, ...]) -> FloatWeights | None:
    """Known weights with their axes in another order, as small as they can be without a change.

    Args:
        values: The function.
        expression: The weights.
        order: Of the axes, so that the output channels come first.
    """
    known = values.weights(expression)
    if known is None:
        found = values.constant(expression)
        if found is None or str(found.dtype) != "float32":
            return None
        return FloatWeights(_smallest(np.ascontiguousarray(np.transpose(found, order))))
    known = known.moved(lambda array: np.transpose(array, order))
    scales, zero_points = by_channel(known)
    if scales is None or zero_points.any() or str(known.values.dtype) != "int8":
        real = (known.values.astype(np.int64) - known.zero_points).astype(np.float32)
        return FloatWeights(np.ascontiguousarray(real * known.scales))
    return FloatWeights(np.ascontiguousarray(known.values), scales)


def _smallest(found: npt.NDArray[np.float32]) -> npt.NDArray[Any]:
    """Numbers that all are float16 as well, as such."""
    with np.errstate(over="ignore"):
        halves = found.astype(np.float16)
    is_equal = np.isfinite(halves).all() and (halves.astype(np.float32) == found).all()
    return halves if is_equal else found


def _bias(
    values: Values, layer: Layer, channels: int, axis: int
) -> npt.NDArray[np.float32] | bool | None:
    """The bias by output channel; False where it is none of these.

    Args:
        values: The function.
        layer: What it is added to.
        channels: How many there are.
        axis: Of the channels in the result.
    """
    if layer.bias is None:
        return None
    found = values.real(layer.bias)
    if found is None:
        return False
    rank = len(shape_of(layer.call))
    shape = (1,) * (rank - found.ndim) + found.shape
    if len(shape) != rank or any(n != 1 for at, n in enumerate(shape) if at != axis):
        return False
    spread = np.broadcast_to(found.reshape(-1).astype(np.float32), (channels,))
    return np.ascontiguousarray(spread)


WEIGHTED = ("matmul", "nn.conv2d")
"""Operators that a bias is added to."""

FLOATS: Mapping[str, FloatRecognizer] = {
    "matmul": match_matmul,
    "max": match_reduction,
    "mean": match_reduction,
    "min": match_reduction,
    "nn.adaptive_avg_pool2d": match_whole_pool,
    "nn.avg_pool2d": match_pool,
    "nn.conv2d": match_conv2d,
    "nn.max_pool2d": match_pool,
    "nn.softmax": match_softmax,
    "sum": match_reduction,
}
"""By the Relax operator, what recognizes it."""
