"""Which specs the fast kernels are for, and which kernels are equal."""

from __future__ import annotations

from pytest_microtvm.compiler.quantized.specs import (
    Conv2D,
    Convolution,
    DepthwiseConv2D,
    FullyConnected,
    Rounding,
    Window,
)


def is_common(spec: Convolution | FullyConnected) -> bool:
    """Whether all is int8, the weights' zero point is 0, and there is one group."""
    requantization = spec.requantization
    if isinstance(spec, Conv2D) and spec.weights.shape[3] != spec.input_shape[3]:
        return False
    return (
        {spec.input_dtype, str(spec.weights.dtype), requantization.dtype} == {"int8"}
        and spec.weights_zero_point == 0
        and requantization.rounding in (Rounding.DOUBLE, Rounding.SINGLE, Rounding.EVEN)
    )


def dense_convolution(spec: FullyConnected) -> Conv2D:
    """A fully connected layer as a convolution, with the rows of the input as pixels."""
    outputs, inputs = spec.weights.shape
    return Conv2D(
        input_shape=(1, spec.rows, 1, inputs),
        output_shape=(1, spec.rows, 1, outputs),
        window=Window((1, 1)),
        weights=spec.weights.reshape(outputs, 1, 1, inputs),
        bias=spec.bias,
        input_zero_point=spec.input_zero_point,
        requantization=spec.requantization,
        input_dtype=spec.input_dtype,
    )


def undivided(spec: DepthwiseConv2D) -> Conv2D | None:
    """A depthwise convolution of one channel as a whole one; None where there are more channels.

    Every output channel reads all that there is.
    """
    if spec.input_shape[3] != 1:
        return None
    return Conv2D(
        input_shape=spec.input_shape,
        output_shape=spec.output_shape,
        window=spec.window,
        weights=spec.weights.transpose(2, 0, 1)[..., None],
        bias=spec.bias,
        input_zero_point=spec.input_zero_point,
        requantization=spec.requantization,
        input_dtype=spec.input_dtype,
    )
