"""Kernels over float32, of which the tables of the CPUs take what suits them.

text                pieces of C that they have in common
image               which taps of an output pixel are inside of the image
lanes               how channels are computed beside each other
windows             the order in which convolutions compute their outputs
conv2d, depthwise   convolutions, those of each channel alone, and fully connected layers
pooling             pools, and reductions along axes
elementwise         functions of each element alone
softmax             softmax

Each sum is added up in the order of the taps. In plain C multiplications and additions are not
fused, and the results are the same bits on every CPU. By Helium they are, and a twin in plain C
gives those bits.
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
from pytest_microtvm.compiler.quantized.kernels.floats.lanes import HeliumLanes, Lanes

IN_C: Mapping[type, Generator] = {
    FloatElementwise: elementwise.elementwise,
    FloatPool: pooling.pool,
    FloatReduction: pooling.reduction,
    FloatSoftmax: softmax.softmax,
}
"""Kernels that are the same for all CPUs, by class of spec."""


def convolutions(lanes: Lanes) -> Mapping[type, Generator]:
    """Kernels of convolutions, by class of spec.

    Args:
        lanes: How channels are computed beside each other.
    """
    return {
        FloatConv2D: partial(conv2d.conv2d, lanes=lanes),
        FloatDepthwiseConv2D: partial(depthwise.depthwise_conv2d, lanes=lanes),
    }


PORTABLE_LANES = Lanes(8)
"""As many as SSE has. A CPU without an FPU has its sums on the stack anyway: little code is worth
more, and it takes as many instructions with 12."""
FPU_LANES = Lanes(28)
"""Arm's FPUs have 32 registers, of which C compilers do not manage to use all for sums."""
HELIUM_LANES = HeliumLanes(8)
