"""Convolutions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import tflite
from tvm import relax

from pytest_microtvm.compiler.frontends.tflite.call import Call, Operand, dequantized
from pytest_microtvm.compiler.frontends.tflite.graph import Array, Quantization
from pytest_microtvm.compiler.frontends.tflite.operators.tables import one_quantization
from pytest_microtvm.compiler.frontends.tflite.operators.windows import padding_of
from pytest_microtvm.compiler.frontends.tflite.registry import operator
from pytest_microtvm.compiler.quantized.arithmetic import quantize_multipliers
from pytest_microtvm.compiler.quantized.specs import Requantization, Rounding, Window
from pytest_microtvm.compiler.quantized.tflite_specs import TransposedConv2D

_IGNORED = {"QuantizedBiasType": "the bias has an element type of its own"}
_WINDOW = ("Padding", "StrideW", "StrideH", "FusedActivationFunction")
_DILATED = (*_WINDOW, "DilationWFactor", "DilationHFactor")


@operator("CONV_2D", versions=8, options="Conv2DOptions", reads=_DILATED, ignored=_IGNORED)
def conv_2d(call: Call) -> Any:
    """NHWC images; weights [output channels, height, width, input channels of a group]."""
    data, weights = call.input(0), call.input(1)
    _refuse_zero_points(call, weights)
    groups = data.shape[3] // weights.shape[3]
    if groups * weights.shape[3] != data.shape[3]:
        raise call.refusal("its weights do not fit the channels of its input")
    parameters = _window(call, data, weights.shape[1:3])
    image = real_data(data)
    result = relax.op.nn.conv2d(
        image, transposed_weights(data, weights, (1, 2, 3, 0)), groups=groups, **parameters
    )
    return call.finished(biased(call, result, data, weights, 2), call.activation())


@operator(
    "DEPTHWISE_CONV_2D",
    versions=7,
    options="DepthwiseConv2DOptions",
    reads=(*_DILATED, "DepthMultiplier"),
)
def depthwise_conv_2d(call: Call) -> Any:
    """NHWC images; weights [1, height, width, channels * multiplier]."""
    data, weights = call.input(0), call.input(1)
    _refuse_zero_points(call, weights)
    channels = data.shape[3]
    _, height, width, outputs = weights.shape
    # TFLite goes by the shapes: files may say 0 here.
    multiplier = call.options["DepthMultiplier"] or outputs // channels
    if weights.shape[0] != 1 or multiplier * channels != outputs:
        raise call.refusal("its weights do not fit the channels of its input")
    # Of one channel, it is a convolution like any other.
    shape = (height, width, 1, outputs) if channels == 1 else (height, width, outputs, 1)
    parameters = _window(call, data, (height, width))
    parameters["kernel_layout"] = "HWIO" if channels == 1 else "HWOI"
    result = relax.op.nn.conv2d(
        real_data(data),
        _reshaped_weights(data, weights, shape, 3 if channels == 1 else 2),
        groups=channels,
        **parameters,
    )
    return call.finished(biased(call, result, data, weights, 2), call.activation())


def _refuse_zero_points(call: Call, weights: Operand) -> None:
    """TFLite's kernels take those of int8 for 0."""
    known = weights.quantization
    if known is not None and weights.dtype == "int8" and known.zero_points.any():
        raise call.refusal(
            f"its weights of int8 have the zero point {known.zero_point}, not 0",
            "export the model again: TFLite wants weights of int8 without a zero point",
        )


def _window(call: Call, data: Operand, taps: Sequence[int]) -> dict[str, Any]:
    strides = call.options["StrideH"], call.options["StrideW"]
    dilation = call.options["DilationHFactor"], call.options["DilationWFactor"]
    if min(*strides, *dilation) < 1:
        raise call.refusal(f"it has the strides {strides} and the dilation {dilation}")
    spans = [(tap - 1) * gap + 1 for tap, gap in zip(taps, dilation, strict=True)]
    return {
        "strides": list(strides),
        "dilation": list(dilation),
        "padding": padding_of(call, data.shape[1:3], spans, strides),
        "data_layout": "NHWC",
        "kernel_layout": "HWIO",
    }


@operator(
    "TRANSPOSE_CONV",
    versions=5,
    options="TransposeConvOptions",
    reads=(*_WINDOW, "QuantizedBiasType"),
)
def transpose_conv(call: Call) -> Any:
    """The gradient of a convolution; weights [output channels, height, width, input channels]."""
    data, weights = call.input(2), call.input(1)
    shape = call.output_shape(0)
    strides = call.options["StrideH"], call.options["StrideW"]
    outputs, *taps, channels = weights.shape
    if len(shape) != 4 or shape[3] != outputs or channels != data.shape[3]:
        raise call.refusal("its weights do not fit the channels of its input and output")
    padding = padding_of(call, shape[1:3], taps, strides)
    is_narrow = call.options["QuantizedBiasType"] == tflite.TensorType.INT32
    found = _transposed_of_integers(call, shape, strides, padding, is_narrow)
    if found is not None:
        return found
    # The rows that a convolution of this shape would see, less those that the padding is for.
    full = [(n - 1) * s + k for n, s, k in zip(data.shape[1:3], strides, taps, strict=True)]
    extra = [
        extent + padding[axis] + padding[axis + 2] - reach
        for axis, (extent, reach) in enumerate(zip(shape[1:3], full, strict=True))
    ]
    result = relax.op.nn.conv2d_transpose(
        real_data(data),
        transposed_weights(data, weights, (3, 0, 1, 2)),
        strides=list(strides),
        padding=[
            padding[0],
            padding[1],
            padding[2] - min(0, extra[0]),
            padding[3] - min(0, extra[1]),
        ],
        output_padding=[max(0, extent) for extent in extra],
        data_layout="NHWC",
        kernel_layout="IOHW",
    )
    return call.finished(biased(call, result, data, weights, 3), call.activation())


def _transposed_of_integers(
    call: Call,
    shape: Sequence[int],
    strides: tuple[int, int],
    padding: Sequence[int],
    is_narrow: bool,
) -> Any:
    """By TFLite's factors; where there is no bias, the file says how sums of int16 are scaled."""
    data, weights, bias = call.input(2), call.input(1), call.optional(3)
    source, output = one_quantization(data), one_quantization(call.output)
    known = weights.quantization
    dtypes = data.dtype, weights.dtype, call.output.dtype
    if source is None or output is None or known is None or weights.value is None:
        return None
    if dtypes not in (("int8",) * 3, ("uint8",) * 3, ("int16", "int8", "int16")):
        return None
    if data.value is not None or (bias is not None and bias.value is None):
        return None
    bounds = call.bounds(call.activation())
    reals = np.float64(source.scale) * known.scales.astype(np.float64) / np.float64(output.scale)
    multipliers, shifts = quantize_multipliers(reals)
    values = None if bias is None else bias.value
    is_narrow = is_narrow if values is None else str(values.dtype) == "int32"
    rounding = Rounding.WIDE if data.dtype == "int16" and not is_narrow else Rounding.DOUBLE
    spec = TransposedConv2D(
        _image(data.shape),
        _image(shape),
        Window(weights.shape[1:3], strides, (1, 1), (padding[0], padding[1])),  # type: ignore[arg-type]
        weights.value,
        values,
        source.zero_point,
        Requantization(
            multipliers, shifts, rounding, output.zero_point, *bounds, data.dtype, reals
        ),
        data.dtype,
        int(known.zero_points[0]),
    )
    return call.kernel("transpose_conv", spec, [data.expression], shape)


def _image(shape: Sequence[int]) -> tuple[int, int, int, int]:
    n, height, width, channels = shape
    return n, height, width, channels


def real_data(data: Operand) -> Any:
    """The numbers of an image."""
    return data.real


def transposed_weights(data: Operand, weights: Operand, order: tuple[int, ...]) -> Any:
    """The numbers of weights with their axes in another order."""
    if weights.value is None:
        return relax.op.permute_dims(weights.real, list(order))
    known = weights.quantization
    axis = order.index(known.axis) if known is not None and known.scales.size > 1 else 0
    return weights.moved(np.transpose(weights.value, order), axis)


def _reshaped_weights(data: Operand, weights: Operand, shape: tuple[int, ...], axis: int) -> Any:
    if weights.value is None:
        return relax.op.reshape(weights.real, list(shape))
    return weights.moved(weights.value.reshape(shape), axis)


def biased(call: Call, result: Any, data: Operand, weights: Operand, position: int) -> Any:
    """A layer's result with the operand at `position` added, if there is one."""
    bias = call.optional(position)
    return result if bias is None else relax.op.add(result, _bias(data, weights, bias))


def _bias(data: Operand, weights: Operand, bias: Operand) -> Any:
    known = bias.quantization
    if known is None and bias.dtype in ("int32", "int64") and data.quantization is not None:
        scales: Array = data.quantization.scales * _scales(weights)
        known = Quantization(scales, np.zeros(scales.size, np.int64), 0)
    if known is None:
        return bias.expression
    return dequantized(bias.expression, Quantization(known.scales, known.zero_points, 0))


def _scales(weights: Operand) -> Array:
    known = weights.quantization
    return np.ones(1, np.float32) if known is None else known.scales
