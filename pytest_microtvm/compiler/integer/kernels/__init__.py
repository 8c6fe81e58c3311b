"""From specs to C: `generate` finds the module for a spec.

conv2d, depthwise, dense    convolutions and fully connected layers over int8
general                     the same for what is rare: uint8, int16, groups
pooling, softmax, ...       everything else
text                        pieces of C that several of them need
"""

from __future__ import annotations

from pytest_microtvm.compiler.integer.features import Simd
from pytest_microtvm.compiler.integer.kernels import conv2d, dense, depthwise, pooling, softmax
from pytest_microtvm.compiler.integer.specs import (
    AveragePool,
    Conv2D,
    DepthwiseConv2D,
    FullyConnected,
    KernelSource,
    Softmax,
    Spec,
)


def generate(spec: Spec, simd: Simd = Simd.NONE) -> KernelSource:
    """The C of a kernel that does what `spec` says, for a CPU with `simd`."""
    if isinstance(spec, Conv2D):
        return conv2d.conv2d(spec, simd)
    if isinstance(spec, DepthwiseConv2D):
        return depthwise.depthwise_conv2d(spec, simd)
    if isinstance(spec, FullyConnected):
        return dense.fully_connected(spec, simd)
    if isinstance(spec, AveragePool):
        return pooling.average_pool(spec)
    if isinstance(spec, Softmax):
        return softmax.softmax(spec)
    raise TypeError(f"no kernel for a {type(spec).__name__}")
