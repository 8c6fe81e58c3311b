"""Convolutions of each channel alone, over int8."""

from __future__ import annotations

from pytest_microtvm.compiler.quantized.features import Simd
from pytest_microtvm.compiler.quantized.kernels.conv2d import conv2d
from pytest_microtvm.compiler.quantized.kernels.dsp import depthwise as dsp_depthwise
from pytest_microtvm.compiler.quantized.kernels.helium import depthwise as helium_depthwise
from pytest_microtvm.compiler.quantized.kernels.portable import depthwise as blocked_depthwise
from pytest_microtvm.compiler.quantized.specs import Conv2D, DepthwiseConv2D, KernelSource


def depthwise_conv2d(spec: DepthwiseConv2D, simd: Simd) -> KernelSource:
    """A kernel for `spec` on a CPU with `simd`."""
    if spec.input_shape[3] == 1:
        return conv2d(_as_convolution(spec), simd)
    if simd is Simd.HELIUM:
        plan = helium_depthwise.plan(spec)
        if plan is not None:
            return helium_depthwise.depthwise_conv2d(plan)
    if simd is not Simd.NONE and dsp_depthwise.fits(spec):
        return dsp_depthwise.depthwise_conv2d(spec)
    return blocked_depthwise.depthwise_conv2d(spec)


def _as_convolution(spec: DepthwiseConv2D) -> Conv2D:
    """The same for an input of one channel: every output channel reads all that there is."""
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
