"""Fully connected layers over int8 with weights of zero point 0: convolutions of single pixels."""

from __future__ import annotations

from pytest_microtvm.compiler.quantized.features import Simd
from pytest_microtvm.compiler.quantized.kernels.conv2d import conv2d
from pytest_microtvm.compiler.quantized.specs import Conv2D, FullyConnected, KernelSource, Window


def fully_connected(spec: FullyConnected, simd: Simd) -> KernelSource:
    """A kernel for `spec` on a CPU with `simd`."""
    return conv2d(_as_convolution(spec), simd)


def _as_convolution(spec: FullyConnected) -> Conv2D:
    """The same, with the rows of the input as pixels."""
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
