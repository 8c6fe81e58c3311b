"""Recognizes convolutions and fully connected layers, and says what their kernels do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pytest_microtvm.compiler.integer.arithmetic import (
    LIMITS,
    quantize_multipliers,
    single_multiplier,
)
from pytest_microtvm.compiler.integer.specs import (
    Conv2D,
    DepthwiseConv2D,
    FullyConnected,
    Requantization,
    Rounding,
    Spec,
    Window,
)
from pytest_microtvm.compiler.integer.values import (
    Activation,
    Quantization,
    Values,
    Weights,
    operator_name,
    shape_of,
)


@dataclass(frozen=True)
class Output:
    """What a group of operators ends in.

    Args:
        quantization: Of the result.
        dtype: Of the result.
        minimum: Least value of the result; fused activations are in it.
        maximum: Greatest value of the result.
    """

    quantization: Quantization
    dtype: str
    minimum: int
    maximum: int


@dataclass(frozen=True)
class Match:
    """A group of operators that one kernel can do.

    Args:
        name: The operator, for the names of kernels.
        spec: What the kernel does.
        inputs: The tensors that it reads.
    """

    name: str
    spec: Spec
    inputs: tuple[Any, ...]


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
    if name not in ("nn.conv2d", "matmul"):
        return None
    source = values.activation(value.args[0])
    weights = values.weights(value.args[1])
    if source is None or weights is None:
        return None
    if name == "matmul":
        return _fully_connected(values, source, weights, bias, output)
    return _conv2d(values, value, source, weights, bias, output)


def _bias(values: Values, bias: Any, channels: int) -> npt.NDArray[Any] | bool | None:
    """The bias in units of the accumulator; False when there is one that is not known."""
    if bias is None:
        return None
    known = values.weights(bias)
    if known is None or known.values.size != channels:
        return False
    return known.values.reshape(-1)


def _fully_connected(
    values: Values, source: Activation, weights: Weights, bias: Any, output: Output
) -> Match | None:
    if weights.values.ndim != 2 or source.shape[-1] != weights.values.shape[0]:
        return None
    by_output = weights.moved(np.transpose)
    known_bias = _bias(values, bias, by_output.values.shape[0])
    scales, zero_points = _by_channel(by_output)
    if isinstance(known_bias, bool) or scales is None or zero_points.size != 1:
        return None
    if source.dtype != "int8" or output.dtype != "int8":
        return None
    reals = _reals(source, scales, output)
    low, high = LIMITS[output.dtype]
    zero_point = output.quantization.zero_point
    try:
        pairs = [single_multiplier(float(r), low - zero_point, high - zero_point) for r in reals]
    except ValueError:
        return None
    requantization = Requantization(
        np.array([multiplier for multiplier, _ in pairs], np.int32),
        np.array([shift for _, shift in pairs], np.int32),
        Rounding.SINGLE,
        zero_point,
        output.minimum,
        output.maximum,
        output.dtype,
    )
    spec = FullyConnected(
        rows=int(np.prod(source.shape[:-1], dtype=np.int64)),
        weights=np.ascontiguousarray(by_output.values),
        weights_zero_point=int(zero_points[0]),
        bias=known_bias,
        input_zero_point=source.quantization.zero_point,
        requantization=requantization,
    )
    return Match("fully_connected", spec, (source.expression,))


def _conv2d(
    values: Values, call: Any, source: Activation, weights: Weights, bias: Any, output: Output
) -> Match | None:
    attributes = call.attrs
    if str(attributes.data_layout) != "NHWC" or source.dtype != "int8" or output.dtype != "int8":
        return None
    groups = int(attributes.groups)
    input_shape, output_shape = shape_of(call.args[0]), shape_of(call)
    channels, output_channels = input_shape[3], output_shape[3]
    layout = str(attributes.kernel_layout)
    if layout not in ("HWIO", "HWOI"):
        return None
    # Output channels first, then height, width, input channels.
    order = (3, 0, 1, 2) if layout == "HWIO" else (2, 0, 1, 3)
    by_output = weights.moved(lambda array: np.transpose(array, order))
    known_bias = _bias(values, bias, output_channels)
    scales, zero_points = _by_channel(by_output)
    if isinstance(known_bias, bool) or scales is None or zero_points.any():
        return None
    multipliers, shifts = quantize_multipliers(_reals(source, scales, output))
    requantization = Requantization(
        multipliers,
        shifts,
        Rounding.DOUBLE,
        output.quantization.zero_point,
        output.minimum,
        output.maximum,
        output.dtype,
    )
    shape = by_output.values.shape
    window = Window(
        shape=(shape[1], shape[2]),
        strides=_pair(attributes.strides),
        dilation=_pair(attributes.dilation),
        padding=_pair(attributes.padding),
    )
    common: dict[str, Any] = {
        "input_shape": input_shape,
        "output_shape": output_shape,
        "window": window,
        "bias": known_bias,
        "input_zero_point": source.quantization.zero_point,
        "requantization": requantization,
        "input_dtype": source.dtype,
    }
    if groups == channels and shape[3] == 1 and (channels > 1 or layout == "HWOI"):
        by_tap = np.ascontiguousarray(np.transpose(by_output.values[..., 0], (1, 2, 0)))
        spec: Spec = DepthwiseConv2D(weights=by_tap, **common)
        return Match("depthwise_conv2d", spec, (source.expression,))
    if groups != 1:
        return None
    spec = Conv2D(weights=np.ascontiguousarray(by_output.values), **common)
    return Match("conv2d", spec, (source.expression,))


def _by_channel(
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


def _pair(extents: Any) -> tuple[int, int]:
    """The first two numbers, or one number twice."""
    numbers = [int(extent) for extent in extents]
    return (numbers[0], numbers[1]) if len(numbers) > 1 else (numbers[0], numbers[0])
