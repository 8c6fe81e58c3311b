"""Kernels for RISC-V's vector extension 1.0: vectors of output channels, of any length."""

from __future__ import annotations

from pytest_microtvm.compiler.quantized.cpu import CpuExtension
from pytest_microtvm.compiler.quantized.kernels.common import (
    dense_convolution,
    is_common,
    undivided,
)
from pytest_microtvm.compiler.quantized.kernels.rvv import conv2d, depthwise, elementwise
from pytest_microtvm.compiler.quantized.specs import (
    Arithmetic,
    Conv2D,
    DepthwiseConv2D,
    FullyConnected,
    KernelSource,
)


def _conv2d(spec: Conv2D) -> KernelSource | None:
    return conv2d.conv2d(spec) if is_common(spec) else None


def _depthwise(spec: DepthwiseConv2D) -> KernelSource | None:
    if not is_common(spec):
        return None
    whole = undivided(spec)
    return depthwise.depthwise_conv2d(spec) if whole is None else _conv2d(whole)


def _fully_connected(spec: FullyConnected) -> KernelSource | None:
    return _conv2d(dense_convolution(spec)) if is_common(spec) else None


def _arithmetic(spec: Arithmetic) -> KernelSource | None:
    return elementwise.arithmetic(spec) if elementwise.fits(spec) else None


EXTENSION = CpuExtension(
    {
        Arithmetic: _arithmetic,
        Conv2D: _conv2d,
        DepthwiseConv2D: _depthwise,
        FullyConnected: _fully_connected,
    }
)
