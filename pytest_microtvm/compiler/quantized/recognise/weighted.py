"""Recognizes convolutions and fully connected layers, and says what their kernels do."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from pytest_microtvm.compiler.quantized.arithmetic import (
    LIMITS,
    quantize_multipliers,
    round_away,
    single_multiplier,
)
from pytest_microtvm.compiler.quantized.recognise.matches import Match, Output, image_of
from pytest_microtvm.compiler.quantized.recognise.values import Values, operator_name, shape_of
from pytest_microtvm.compiler.quantized.specs import (
    Conv2D,
    DepthwiseConv2D,
    FullyConnected,
    Requantization,
    Rounding,
    Spec,
    Window,
)
from pytest_microtvm.compiler.quantized.tensors import Activation, Weights
from pytest_microtvm.compiler.quantized.tflite_specs import TransposedConv2D

ORDERS = {"HWIO": (3, 0, 1, 2), "HWOI": (2, 0, 1, 3), "OIHW": (0, 2, 3, 1)}
"""By the layout of weights, the order of axes that makes them output, height, width, input."""


def match_weighted(values: Values, result: Any, output: Output) -> Match | None:
    """The layer whose float result `result` is, quantized to `output`."""
    bias: Any = None
    value = values.definition(result)
    if operator_name(value) == "reshape":
        # A fully connected layer may keep the rank of its input.
        value = values.definition(value.args[0])
    if operator_name(value) == "add":
        value, bias = values.definition(value.args[0]), value.args[1]
    name = operator_name(value)
    if name not in ("nn.conv2d", "nn.conv2d_transpose", "matmul"):
        return None
    source = values.activation(value.args[0])
    weights = values.weights(value.args[1])
    if source is None or weights is None:
        return None
    if output.is_even:
        weights = weights.centered()
    if name == "matmul":
        return _fully_connected(values, source, weights, bias, output)
    if name == "nn.conv2d_transpose":
        return _transposed_conv2d(values, value, source, weights, bias, output)
    return _conv2d(values, value, source, weights, bias, output)


def _transposed_conv2d(
    values: Values, call: Any, source: Activation, weights: Weights, bias: Any, output: Output
) -> Match | None:
    attributes = call.attrs
    layouts = str(attributes.data_layout), str(attributes.kernel_layout)
    is_plain = int(attributes.groups) == 1 and pair(attributes.dilation) == (1, 1)
    if not output.is_even or layouts != ("NCHW", "IOHW") or not is_plain:
        return None
    by_output = weights.moved(lambda array: np.transpose(array, (1, 2, 3, 0)))
    scales, zero_points = by_channel(by_output)
    if scales is None or zero_points.size != 1 or not _fits(source, weights, output):
        return None
    shape = by_output.values.shape
    accumulator = np.float64(source.quantization.scale) * scales.astype(np.float64)
    known_bias = _bias(values, bias, accumulator, shape[0], output)
    if isinstance(known_bias, bool):
        return None
    reach = _reach(source, by_output, known_bias)
    spec = TransposedConv2D(
        image_of(source.shape, "NCHW"),
        image_of(shape_of(call), "NCHW"),
        Window((shape[1], shape[2]), pair(attributes.strides), (1, 1), pair(attributes.padding)),
        np.ascontiguousarray(by_output.values),
        known_bias,
        source.quantization.zero_point,
        output.even(_reals(source, scales, output), reach),
        source.dtype,
        int(zero_points[0]),
    )
    return Match("conv2d_transpose", spec, (source.expression,), is_channels_last=True)


def _bias(
    values: Values, bias: Any, scales: npt.NDArray[np.float64], channels: int, output: Output
) -> npt.NDArray[Any] | bool | None:
    """The bias in units of the accumulator; False when there is one that is not known.

    Args:
        values: The function.
        bias: An expression, or None.
        scales: Of the accumulator, one for all channels or one each.
        channels: How many there are.
        output: What the layer ends in. TFLite takes a bias to be in units of the accumulator,
            whatever its scale; ONNX and PyTorch do not.
    """
    if bias is None:
        return None
    known = values.weights(bias)
    if known is not None and (not output.is_even or _has_scales(known, scales)):
        return known.values.reshape(-1) if known.values.size == channels else False
    real = values.real(bias)
    if real is None or real.size != channels:
        return False
    steps = round_away(real.reshape(-1).astype(np.float64) / scales)
    if np.abs(steps).max() >= 1 << 31:
        return steps.astype(np.int64) if output.dtype == "int16" else False
    return steps.astype(np.int32)


def _has_scales(bias: Weights, scales: npt.NDArray[np.float64]) -> bool:
    """Whether a bias of integers is in units of the accumulator."""
    if str(bias.values.dtype) not in ("int32", "int64") or bias.zero_points.any():
        return False
    return bool(np.allclose(bias.scales.reshape(-1), scales, rtol=1e-6, atol=0))


def _fully_connected(
    values: Values, source: Activation, weights: Weights, bias: Any, output: Output
) -> Match | None:
    if weights.values.ndim != 2 or source.shape[-1] != weights.values.shape[0]:
        return None
    by_output = weights.moved(np.transpose)
    scales, zero_points = by_channel(by_output)
    if scales is None or zero_points.size != 1 or not _fits(source, weights, output):
        return None
    accumulator = np.float64(source.quantization.scale) * scales.astype(np.float64)
    known_bias = _bias(values, bias, accumulator, by_output.values.shape[0], output)
    if isinstance(known_bias, bool):
        return None
    reach = _reach(source, by_output, known_bias)
    reals = _reals(source, scales, output)
    spec = FullyConnected(
        rows=int(np.prod(source.shape[:-1], dtype=np.int64)),
        weights=np.ascontiguousarray(by_output.values),
        weights_zero_point=int(zero_points[0]),
        bias=known_bias,
        input_zero_point=source.quantization.zero_point,
        requantization=output.even(reals, reach)
        if output.is_even
        else _single(reals, reach, output),
        input_dtype=source.dtype,
    )
    return Match("fully_connected", spec, (source.expression,))


def _fits(source: Activation, weights: Weights, output: Output) -> bool:
    """Whether there are kernels for these element types."""
    found = (source.dtype, str(weights.values.dtype), output.dtype)
    if output.is_even:
        return all(dtype in ("int8", "int16", "uint8") for dtype in found)
    return found in (
        ("int8", "int8", "int8"),
        ("uint8", "uint8", "uint8"),
        ("uint8", "int8", "uint8"),
        ("int16", "int8", "int16"),
    )


def _reach(source: Activation, weights: Weights, bias: npt.NDArray[Any] | None) -> int:
    """How far from 0 a sum can be: every input at the end of its range that adds most."""
    low, high = (limit - source.quantization.zero_point for limit in LIMITS[source.dtype])
    taps = np.abs(weights.values.astype(np.int64) - weights.zero_points)
    by_output = taps.reshape(len(taps), -1).sum(axis=1)
    reach = by_output * max(-low, high)
    if bias is not None:
        reach = reach + np.abs(bias.astype(np.int64))
    return int(reach.max())


def _single(reals: npt.NDArray[np.float64], reach: int, output: Output) -> Requantization:
    """The requantization of fully connected layers: doubles where integers do not do."""
    zero_point = output.quantization.zero_point
    low, high = (limit - zero_point for limit in LIMITS[output.dtype])
    found = []
    if output.dtype != "int16":
        pairs = [single_multiplier(float(real), low, high, reach) for real in reals]
        found = [pair for pair in pairs if pair is not None]
    if len(found) < len(reals):
        return _requantization(*quantize_multipliers(reals), Rounding.REAL, output, reals)
    multipliers, shifts = (np.array(values, np.int32) for values in zip(*found, strict=True))
    return _requantization(multipliers, shifts, Rounding.SINGLE, output, reals)


def _double(
    reals: npt.NDArray[np.float64], bias: npt.NDArray[Any] | None, output: Output
) -> Requantization:
    """The requantization of convolutions."""
    multipliers, shifts = quantize_multipliers(reals)
    is_narrow = bias is not None and str(bias.dtype) == "int32"
    rounding = Rounding.WIDE if output.dtype == "int16" and not is_narrow else Rounding.DOUBLE
    return _requantization(multipliers, shifts, rounding, output, reals)


def _requantization(
    multipliers: npt.NDArray[np.int32],
    shifts: npt.NDArray[np.int32],
    rounding: Rounding,
    output: Output,
    reals: npt.NDArray[np.float64],
) -> Requantization:
    return Requantization(
        multipliers,
        shifts,
        rounding,
        output.quantization.zero_point,
        output.minimum,
        output.maximum,
        output.dtype,
        reals,
    )


def _conv2d(
    values: Values, call: Any, source: Activation, weights: Weights, bias: Any, output: Output
) -> Match | None:
    attributes = call.attrs
    layout = str(attributes.data_layout)
    order = ORDERS.get(str(attributes.kernel_layout))
    if layout not in ("NHWC", "NCHW") or order is None:
        return None
    by_output = weights.moved(lambda array: np.transpose(array, order))
    output_shape = image_of(shape_of(call), layout)
    scales, zero_points = by_channel(by_output)
    if scales is None or zero_points.size != 1 or not _fits(source, weights, output):
        return None
    accumulator = np.float64(source.quantization.scale) * scales.astype(np.float64)
    known_bias = _bias(values, bias, accumulator, output_shape[3], output)
    if isinstance(known_bias, bool):
        return None
    is_first = layout == "NCHW"
    shape = by_output.values.shape
    window = Window(
        shape=(shape[1], shape[2]),
        strides=pair(attributes.strides),
        dilation=pair(attributes.dilation),
        padding=pair(attributes.padding),
    )
    image = source.expression
    if not is_first:
        zero_point = source.quantization.zero_point
        image, window = unpadded(values, image, zero_point, window, output_shape)
    if not window.sees_image(output_shape):
        return None
    reals = _reals(source, scales, output)
    common: dict[str, Any] = {
        "input_shape": image_of(shape_of(image), layout),
        "output_shape": output_shape,
        "window": window,
        "bias": known_bias,
        "input_zero_point": source.quantization.zero_point,
        "requantization": output.even(reals, _reach(source, by_output, known_bias))
        if output.is_even
        else _double(reals, known_bias, output),
        "input_dtype": source.dtype,
        "weights_zero_point": int(zero_points[0]),
    }
    if int(attributes.groups) == common["input_shape"][3] and shape[3] == 1:
        by_tap = np.ascontiguousarray(np.transpose(by_output.values[..., 0], (1, 2, 0)))
        spec: Spec = DepthwiseConv2D(weights=by_tap, **common)
        return Match("depthwise_conv2d", spec, (image,), is_first)
    spec = Conv2D(weights=np.ascontiguousarray(by_output.values), **common)
    return Match("conv2d", spec, (image,), is_first)


def unpadded(
    values: Values,
    image: Any,
    zero_point: float,
    window: Window,
    output_shape: tuple[int, int, int, int],
) -> tuple[Any, Window]:
    """The image before a PAD operator, and the window with the rows and columns it puts in front.

    What it puts behind follows from the shapes: taps there count as zero, too.
    """
    pad = values.call(image, "nn.pad")
    if pad is None or str(pad.attrs.pad_mode) != "constant":
        return image, window
    widths = [int(width) for width in pad.attrs.pad_width]
    is_spatial = not any((*widths[:2], *widths[6:]))
    if not is_spatial or min(widths) < 0 or float(pad.attrs.pad_value) != zero_point:
        return image, window
    padding = window.padding[0] + widths[2], window.padding[1] + widths[4]
    padded = replace(window, padding=padding)
    return (pad.args[0], padded) if padded.sees_image(output_shape) else (image, window)


def by_channel(
    weights: Weights,
) -> tuple[npt.NDArray[np.float32] | None, npt.NDArray[np.int64]]:
    """Scales and zero points by the first axis, one each when all are equal."""
    scales, zero_points = (
        array.reshape(array.shape[0], -1) for array in (weights.scales, weights.zero_points)
    )
    if (scales != scales[:, :1]).any() or (zero_points != zero_points[:, :1]).any():
        return None, weights.zero_points
    return _one_if_equal(scales[:, 0]), _one_if_equal(zero_points[:, 0])


def _one_if_equal(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return values[:1] if (values == values[0]).all() else values


def _reals(
    source: Activation, scales: npt.NDArray[np.float32], output: Output
) -> npt.NDArray[np.float64]:
    """From units of the accumulator to units of the output; in the order TFLite multiplies."""
    factor = np.float64(source.quantization.scale)
    reals: npt.NDArray[np.float64] = (
        factor * scales.astype(np.float64) / np.float64(output.quantization.scale)
    )
    return reals


def pair(extents: Any) -> tuple[int, int]:
    """The first two numbers, or one number twice."""
    numbers = [int(extent) for extent in extents]
    return (numbers[0], numbers[1]) if len(numbers) > 1 else (numbers[0], numbers[0])
