"""Convolutions over int8."""

from __future__ import annotations

import math

from pytest_microtvm.compiler.quantized.features import Simd
from pytest_microtvm.compiler.quantized.kernels.dsp import conv2d as dsp_conv2d
from pytest_microtvm.compiler.quantized.kernels.helium import conv2d as helium_conv2d
from pytest_microtvm.compiler.quantized.kernels.portable import conv2d as blocked_conv2d
from pytest_microtvm.compiler.quantized.specs import Conv2D, KernelSource

_LEAST_TAPS = 4  # fewer would be filled up


def conv2d(spec: Conv2D, simd: Simd) -> KernelSource:
    """A kernel for `spec` on a CPU with `simd`."""
    if simd is Simd.HELIUM:
        plan = helium_conv2d.plan(spec)
        if plan is not None:
            return helium_conv2d.conv2d(plan)
    taps = math.prod(spec.weights.shape[1:])
    if simd is not Simd.NONE and taps >= _LEAST_TAPS:
        return dsp_conv2d.conv2d(spec)
    return blocked_conv2d.conv2d(spec)
