"""Convolutions by RISC-V's vector extension: a tap of a pixel times its weights of all channels.

A vector holds the weights of one tap for as many output channels as there is room for, widened to
16 bits; it meets the taps of a few pixels, and the sums stay in registers. The taps of these pixels
are woven: of each tap one pixel's after the other's, so that one pointer leads to all of them.
"""

from __future__ import annotations

import math

import numpy as np

from pytest_microtvm.compiler.quantized.kernels.accumulators import Sums
from pytest_microtvm.compiler.quantized.kernels.c_text import Text
from pytest_microtvm.compiler.quantized.kernels.overlap import of_pixels
from pytest_microtvm.compiler.quantized.kernels.patch import blocks, is_flat, starts, write_woven
from pytest_microtvm.compiler.quantized.kernels.rvv.scaling import plan_rvv_scaling
from pytest_microtvm.compiler.quantized.specs import Conv2D, KernelSource, Role

_LEAST_VECTOR = 16
"""Sums of 32 bits in four registers of 128 bits: six pixels have room for them."""


def conv2d(spec: Conv2D) -> KernelSource | None:
    """A convolution of int8 with weights of zero point 0; None where its sums scale otherwise."""
    weights = spec.weights.reshape(len(spec.weights), -1)
    sums = Sums.of(weights, spec.bias, spec.input_zero_point)
    scaling = plan_rvv_scaling(spec.requantization, sums)
    if scaling is None:
        return None
    channels, taps = weights.shape
    pixel_count = math.prod(spec.output_shape[:3])
    pixels = _pixels(pixel_count, channels)
    is_direct = is_flat(spec) and pixels == 1
    text = Text()
    scaling.declare(text)
    with blocks(text, spec, pixels):
        if is_direct:
            text.add(f"const int8_t *const patch = input0 + start * {taps};")
        else:
            write_woven(text, spec, pixels)
            text.add("const int8_t *const patch = (const int8_t *)workspace;")
        text.add(
            f"microtvm_convolve{pixels}(output + start * {channels}, patch, {taps}, &layer, &how);"
        )
    return KernelSource(
        input_dtypes=("int8",),
        constants=(np.ascontiguousarray(weights.T), *scaling.constants),
        output_dtype="int8",
        body=str(text),
        workspace_bytes=0 if is_direct else taps * pixels,
        overlaps=of_pixels(spec, starts(spec, pixels), pixels),
        macs=pixel_count * weights.size,
        headers=("tvmgen_integer_rvv.h",),
        roles=(
            Role(
                "weights",
                "tap after tap in the order of height, width and input channel, those of all "
                "output channels side by side",
            ),
            *scaling.roles(),
        ),
    )


def _pixels(count: int, channels: int) -> int:
    """Pixels at a time: those whose sums fit registers, and that are there."""
    if channels <= _LEAST_VECTOR and count >= 6:
        return 6
    return min(count, 3)
