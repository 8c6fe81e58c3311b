"""Convolutions over int8."""

from __future__ import annotations

from pytest_microtvm.compiler.integer.features import Simd
from pytest_microtvm.compiler.integer.kernels import blocked_conv2d, dsp_conv2d
from pytest_microtvm.compiler.integer.specs import Conv2D, KernelSource


def conv2d(spec: Conv2D, simd: Simd) -> KernelSource:
    """A kernel for `spec` on a CPU with `simd`."""
    if simd is not Simd.NONE:
        return dsp_conv2d.conv2d(spec)
    return blocked_conv2d.conv2d(spec)
