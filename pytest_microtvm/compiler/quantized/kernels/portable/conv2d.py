"""Convolutions in portable C, blocked so that a compiler keeps the sums in registers.

A few pixels meet a few output channels at a time, tap after tap; the weights are laid out in the
order in which they are read. Pixels whose taps do not lie side by side are copied first.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from pytest_microtvm.compiler.quantized.choices import Choice, Tunable, Workload
from pytest_microtvm.compiler.quantized.kernels.accumulators import bounds, folded_bias
from pytest_microtvm.compiler.quantized.kernels.c_text import Text
from pytest_microtvm.compiler.quantized.kernels.overlap import of_pixels
from pytest_microtvm.compiler.quantized.kernels.patch import (
    blocks,
    is_flat,
    starts,
    write_bytes,
)
from pytest_microtvm.compiler.quantized.kernels.scaling import Scaling, plan_scaling
from pytest_microtvm.compiler.quantized.kernels.text import Constants
from pytest_microtvm.compiler.quantized.specs import Conv2D, KernelSource, Role

_UNROLLED_TAPS = (4, 2, 8)
_LAYOUT = (
    "{} output channels at a time (the last may be fewer), tap after tap in the order of height, "
    "width and input channel, the weights of these output channels side by side"
)


@dataclass(frozen=True)
class BlockChoice(Choice):
    """What is computed at once: as many pixels and channels as fit a CPU's registers.

    Args:
        pixels: Patches at a time.
        channels: Output channels at a time.
        unrolled: Taps that are written without a loop.
    """

    pixels: int
    channels: int
    unrolled: int = _UNROLLED_TAPS[0]

    @property
    def instructions(self) -> int:
        """Of one tap: a load for each pixel and channel, and the products."""
        return self.pixels + self.channels + self.pixels * self.channels


_BLOCKS = (BlockChoice(4, 2), BlockChoice(3, 2), BlockChoice(2, 4), BlockChoice(1, 6))
_MORE_BLOCKS = (*_BLOCKS, BlockChoice(2, 2), BlockChoice(2, 3), BlockChoice(3, 3))


def _candidates(workload: Workload) -> tuple[BlockChoice, ...]:
    """The ways to write the convolution of a workload."""
    pixels, channels = math.prod(workload.output_shape[:3]), workload.output_shape[3]
    taps = math.prod(workload.window.shape) * workload.input_shape[3]
    own = _block(pixels, channels)
    blocks = [
        block for block in _MORE_BLOCKS if block.pixels <= pixels and block.channels <= channels
    ]
    return tuple(
        replace(block, unrolled=unrolled)
        for block in dict.fromkeys([own, *blocks])
        for unrolled in _UNROLLED_TAPS
        if unrolled <= max(taps, _UNROLLED_TAPS[0])
    )


CONV2D = Tunable("none.conv2d", _candidates)


def conv2d(spec: Conv2D, block: BlockChoice) -> KernelSource:
    """A convolution of int8 with weights of zero point 0."""
    weights = spec.weights.reshape(len(spec.weights), -1)
    start = folded_bias(weights, spec.bias, spec.input_zero_point)
    scaling = plan_scaling(spec.requantization, start, bounds(weights, start))
    pixels = int(np.prod(spec.output_shape[:3]))
    constants: Constants = [_ordered(weights, block), scaling.parameters(), *scaling.constants]
    text = Text()
    taps = weights.shape[1]
    with blocks(text, spec, block.pixels):
        if is_flat(spec):
            text.add(f"const int8_t *const patch = input0 + start * {taps};")
        else:
            write_bytes(text, spec, block.pixels)
            text.add("const int8_t *const patch = (const int8_t *)workspace;")
        text.add(
            "const int8_t *weights = constant0;",
            "const int32_t *parameters = constant1;",
            f"int8_t *to = output + start * {len(weights)};",
        )
        whole = len(weights) // block.channels * block.channels
        if whole:
            _write_channels(text, block, 0, whole, weights, scaling)
        if whole < len(weights):
            rest = replace(block, channels=len(weights) - whole)
            _write_channels(text, rest, whole, rest.channels, weights, scaling)
    return KernelSource(
        input_dtypes=("int8",),
        constants=tuple(constants),
        output_dtype="int8",
        body=str(text),
        workspace_bytes=0 if is_flat(spec) else taps * block.pixels,
        overlaps=of_pixels(spec, starts(spec, block.pixels), block.pixels),
        macs=pixels * weights.size,
        headers=("tvmgen_integer_scale.h",),
        roles=(Role("weights", _LAYOUT.format(block.channels)), *scaling.roles()),
    )


def _block(pixels: int, channels: int) -> BlockChoice:
    """The block that takes the fewest instructions, what it computes in vain included."""

    def cost(block: BlockChoice) -> int:
        return -(-pixels // block.pixels) * -(-channels // block.channels) * block.instructions

    return min((block for block in _BLOCKS if block.pixels <= pixels), key=cost)


def _ordered(weights: npt.NDArray[np.int8], block: BlockChoice) -> npt.NDArray[np.int8]:
    """The weights of the channels of a block side by side, tap after tap."""
    parts = [
        weights[first : first + block.channels].T.ravel()
        for first in range(0, len(weights), block.channels)
    ]
    return np.concatenate(parts)


def _write_channels(
    text: Text,
    block: BlockChoice,
    first: int,
    count: int,
    weights: npt.NDArray[np.int8],
    scaling: Scaling,
) -> None:
    """The outputs of `count` channels from `first` on."""
    channels, taps = weights.shape
    with text.repeated("channel", count, block.channels):
        for n in range(block.channels):
            initial = scaling.initial(f"parameters[{scaling.stride * n}]")
            sums = ", ".join(
                f"sum{n}_{p} = " + (initial if p == 0 else f"sum{n}_0") for p in range(block.pixels)
            )
            text.add(f"int32_t {sums};")
        text.add("const int8_t *taps = patch;")
        whole = taps // block.unrolled
        if whole:
            with text.repeated("group", whole):
                for n in range(block.unrolled):
                    _write_tap(text, block, taps, n)
                text.add(f"taps += {block.unrolled};")
        for n in range(taps % block.unrolled):
            _write_tap(text, block, taps, n)
        for n in range(block.channels):
            text.add(
                *scaling.declare(
                    str(n), f"parameters[{scaling.stride * n + 1}]", f"{first + n} + channel"
                )
            )
            for p in range(block.pixels):
                total = scaling.total(f"sum{n}_{p}", f"parameters[{scaling.stride * n}]")
                text.add(f"const int32_t total{n}_{p} = {total};")
                value = scaling.output(f"total{n}_{p}", str(n))
                text.add(f"to[{p * channels + n}] = (int8_t)({value});")
        text.add(f"parameters += {scaling.stride * block.channels};", f"to += {block.channels};")


def _write_tap(text: Text, block: BlockChoice, taps: int, offset: int) -> None:
    """One tap of all pixels times its weights for all channels at hand."""
    with text.block():
        for n in range(block.channels):
            text.add(f"const int32_t w{n} = *weights++;")
        for p in range(block.pixels):
            text.add(f"const int32_t x{p} = taps[{p * taps + offset}];")
            for n in range(block.channels):
                text.add(f"sum{n}_{p} += x{p} * w{n};")
