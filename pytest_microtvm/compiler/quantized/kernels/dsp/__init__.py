"""Kernels for Arm's DSP extension: two 16-bit products an instruction (Cortex-M4, M7, M33)."""

from __future__ import annotations

import math

from pytest_microtvm.compiler.quantized.choices import Choose, Tuned
from pytest_microtvm.compiler.quantized.cpu import CpuExtension
from pytest_microtvm.compiler.quantized.kernels.common import (
    dense_convolution,
    is_common,
    undivided,
)
from pytest_microtvm.compiler.quantized.kernels.dsp import conv2d, depthwise
from pytest_microtvm.compiler.quantized.kernels.floats import FPU_LANES, convolutions
from pytest_microtvm.compiler.quantized.kernels.on_its_side import lying
from pytest_microtvm.compiler.quantized.specs import (
    Conv2D,
    DepthwiseConv2D,
    FullyConnected,
    KernelSource,
)

_LEAST_TAPS = 4  # fewer would be filled up


def _conv2d(spec: Conv2D, choose: Choose) -> KernelSource | None:
    if not is_common(spec) or math.prod(spec.weights.shape[1:]) < _LEAST_TAPS:
        return None
    return conv2d.CONV2D.written(spec, choose, conv2d.conv2d)


def _depthwise(spec: DepthwiseConv2D, choose: Choose) -> KernelSource | None:
    if not is_common(spec):
        return None
    whole = undivided(spec)
    if whole is not None:
        return _conv2d(whole, choose)
    if not depthwise.fits(spec):
        return None
    return depthwise.DEPTHWISE.written(lying(spec), choose, depthwise.depthwise_conv2d)


def _fully_connected(spec: FullyConnected, choose: Choose) -> KernelSource | None:
    return _conv2d(dense_convolution(spec), choose) if is_common(spec) else None


EXTENSION = CpuExtension(
    {
        **convolutions(FPU_LANES),
        Conv2D: Tuned(_conv2d),
        DepthwiseConv2D: Tuned(_depthwise),
        FullyConnected: Tuned(_fully_connected),
    },
    tunables=(conv2d.CONV2D, depthwise.DEPTHWISE),
)
