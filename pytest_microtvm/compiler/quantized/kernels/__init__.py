"""From specs to C: `generate` finds the module for a spec.

conv2d, depthwise, dense    convolutions and fully connected layers over int8
general                     the same for what is rare: uint8, int16, groups
elementwise                 arithmetic, lookup tables, requantization
pooling, reduction, resize, softmax, movement
dsp_..., helium_...         some of these for CPUs with vector instructions
text, c_text                pieces of C that several of them need
"""

from __future__ import annotations

from pytest_microtvm.compiler.quantized.features import Simd
from pytest_microtvm.compiler.quantized.kernels import conv2d, dense, depthwise
from pytest_microtvm.compiler.quantized.kernels.helium import elementwise as helium_elementwise
from pytest_microtvm.compiler.quantized.kernels.helium import pooling as helium_pooling
from pytest_microtvm.compiler.quantized.kernels.portable import (
    elementwise,
    general,
    movement,
    pooling,
    reduction,
    resize,
    softmax,
)
from pytest_microtvm.compiler.quantized.specs import (
    Arithmetic,
    Concatenation,
    Conv2D,
    DepthwiseConv2D,
    FullyConnected,
    KernelSource,
    Lookup,
    Mean,
    Pool,
    Quantize,
    Requantize,
    Resize,
    Softmax,
    Spec,
)


def generate(spec: Spec, simd: Simd = Simd.NONE) -> KernelSource:
    """The C of a kernel that does what `spec` says, for a CPU with `simd`."""
    if isinstance(spec, Conv2D):
        if general.is_rare(spec):
            return general.conv2d(spec)
        return conv2d.conv2d(spec, simd)
    if isinstance(spec, DepthwiseConv2D):
        if general.is_rare(spec):
            return general.depthwise_conv2d(spec)
        return depthwise.depthwise_conv2d(spec, simd)
    if isinstance(spec, FullyConnected):
        if general.is_rare(spec):
            return general.fully_connected(spec)
        return dense.fully_connected(spec, simd)
    if simd is Simd.HELIUM:
        if isinstance(spec, Arithmetic) and helium_elementwise.fits(spec):
            return helium_elementwise.arithmetic(spec)
        if isinstance(spec, Pool) and helium_pooling.fits(spec):
            return helium_pooling.pool(spec)
    return _others(spec)


def _others(spec: Spec) -> KernelSource:
    """The kernels that are in plain C for all CPUs."""
    if isinstance(spec, Pool):
        return pooling.pool(spec)
    if isinstance(spec, Mean):
        return reduction.mean(spec)
    if isinstance(spec, Lookup):
        return elementwise.lookup(spec)
    if isinstance(spec, Quantize):
        return elementwise.quantize(spec)
    if isinstance(spec, Requantize):
        return elementwise.requantize(spec)
    if isinstance(spec, Arithmetic):
        return elementwise.arithmetic(spec)
    if isinstance(spec, Concatenation):
        return movement.concatenation(spec)
    if isinstance(spec, Resize):
        return resize.resize(spec)
    if isinstance(spec, Softmax):
        return softmax.softmax(spec)
    raise TypeError(f"no kernel for a {type(spec).__name__}")
