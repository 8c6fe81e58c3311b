"""Convolutions of each channel alone, over int8."""

from __future__ import annotations

from pytest_microtvm.compiler.integer.features import Simd
from pytest_microtvm.compiler.integer.kernels import blocked_depthwise, dsp_depthwise
from pytest_microtvm.compiler.integer.specs import DepthwiseConv2D, KernelSource


def depthwise_conv2d(spec: DepthwiseConv2D, simd: Simd) -> KernelSource:
    """A kernel for `spec` on a CPU with `simd`."""
    if simd is Simd.DSP and dsp_depthwise.fits(spec):
        return dsp_depthwise.depthwise_conv2d(spec)
    return blocked_depthwise.depthwise_conv2d(spec)
