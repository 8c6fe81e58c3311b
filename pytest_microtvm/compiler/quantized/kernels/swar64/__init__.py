"""Kernels for CPUs with registers of 64 bits: two products a multiplication, in plain C."""

from __future__ import annotations

from pytest_microtvm.compiler.quantized.cpu import CpuExtension
from pytest_microtvm.compiler.quantized.kernels.common import (
    dense_convolution,
    is_common,
    undivided,
)
from pytest_microtvm.compiler.quantized.kernels.swar64 import conv2d
from pytest_microtvm.compiler.quantized.specs import (
    Conv2D,
    DepthwiseConv2D,
    FullyConnected,
    KernelSource,
)


def _conv2d(spec: Conv2D) -> KernelSource | None:
    return conv2d.conv2d(spec) if is_common(spec) and conv2d.fits(spec) else None


def _depthwise(spec: DepthwiseConv2D) -> KernelSource | None:
    whole = undivided(spec) if is_common(spec) else None
    return None if whole is None else _conv2d(whole)


def _fully_connected(spec: FullyConnected) -> KernelSource | None:
    return _conv2d(dense_convolution(spec)) if is_common(spec) else None


EXTENSION = CpuExtension(
    {Conv2D: _conv2d, DepthwiseConv2D: _depthwise, FullyConnected: _fully_connected}
)
