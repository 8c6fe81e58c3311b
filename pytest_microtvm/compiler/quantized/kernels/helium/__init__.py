"""Kernels for Helium, Arm's M-profile vector extension: 16 int8 products an instruction (M55)."""

from __future__ import annotations

from pytest_microtvm.compiler.quantized.cpu import CpuExtension
from pytest_microtvm.compiler.quantized.kernels.common import (
    dense_convolution,
    is_common,
    undivided,
)
from pytest_microtvm.compiler.quantized.kernels.floats import HELIUM_LANES, convolutions
from pytest_microtvm.compiler.quantized.kernels.helium import (
    conv2d,
    depthwise,
    depthwise_plan,
    elementwise,
    pooling,
)
from pytest_microtvm.compiler.quantized.specs import (
    Arithmetic,
    Conv2D,
    DepthwiseConv2D,
    FullyConnected,
    KernelSource,
    Pool,
)


def _conv2d(spec: Conv2D) -> KernelSource | None:
    plan = conv2d.plan(spec) if is_common(spec) else None
    return None if plan is None else conv2d.conv2d(plan)


def _depthwise(spec: DepthwiseConv2D) -> KernelSource | None:
    if not is_common(spec):
        return None
    whole = undivided(spec)
    if whole is not None:
        return _conv2d(whole)
    plan = depthwise_plan.plan(spec)
    return None if plan is None else depthwise.depthwise_conv2d(plan)


def _fully_connected(spec: FullyConnected) -> KernelSource | None:
    return _conv2d(dense_convolution(spec)) if is_common(spec) else None


def _arithmetic(spec: Arithmetic) -> KernelSource | None:
    return elementwise.arithmetic(spec) if elementwise.fits(spec) else None


def _pool(spec: Pool) -> KernelSource | None:
    return pooling.pool(spec) if pooling.fits(spec) else None


EXTENSION = CpuExtension(
    {
        **convolutions(HELIUM_LANES),
        Arithmetic: _arithmetic,
        Conv2D: _conv2d,
        DepthwiseConv2D: _depthwise,
        FullyConnected: _fully_connected,
        Pool: _pool,
    },
    includes=("dsp",),
)
