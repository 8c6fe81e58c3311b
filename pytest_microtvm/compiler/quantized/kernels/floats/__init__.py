"""Kernels over float32, of which the tables of the CPUs take what suits them.

text                pieces of C that they have in common
image               which taps of an output pixel are inside of the image
windows             the order in which convolutions compute their outputs
conv2d, depthwise   convolutions, those of each channel alone, and fully connected layers
pooling             pools, and reductions along axes
elementwise         functions of each element alone
softmax             softmax

Multiplications and additions are not fused, and each sum is added up in the order of the taps: the
results are the same bits on every CPU.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from pytest_microtvm.compiler.quantized.cpu import Generator
from pytest_microtvm.compiler.quantized.float_specs import (
    FloatConv2D,
    FloatDepthwiseConv2D,
    FloatElementwise,
    FloatPool,
    FloatReduction,
    FloatSoftmax,
)
from pytest_microtvm.compiler.quantized.kernels.floats import (
    conv2d,
    depthwise,
    elementwise,
    pooling,
    softmax,
)

FEW_REGISTERS = 12
"""What CPUs without an FPU do well with, too: their sums are on the stack anyway."""
MANY_REGISTERS = 28
"""Of the 32 that Arm's FPUs have: C compilers do not manage to use all of them for sums."""


def kernels_for(registers: int) -> Mapping[type, Generator]:
    """Kernels in plain C, by class of spec.

    Args:
        registers: How many floats the CPU keeps at hand.
    """
    return {
        FloatConv2D: partial(conv2d.conv2d, registers=registers),
        FloatDepthwiseConv2D: partial(depthwise.depthwise_conv2d, registers=registers),
        FloatElementwise: elementwise.elementwise,
        FloatPool: pooling.pool,
        FloatReduction: pooling.reduction,
        FloatSoftmax: softmax.softmax,
    }
