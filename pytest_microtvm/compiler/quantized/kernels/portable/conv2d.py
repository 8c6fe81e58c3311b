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
from pytest_microtvm.compiler.quantized.kernels import parts
from pytest_microtvm.compiler.quantized.kernels.accumulators import Sums
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

    def instructions(self, bits: int) -> float:
        """Of one tap: a load for each pixel and channel, and the products.

        Args:
            bits: Of a weight; those of less than 8 share loads, and are taken apart.
        """
        loads = self.channels if bits == 8 else self.channels * (1 + bits / 32)
        return self.pixels + loads + self.pixels * self.channels


_BLOCKS = (BlockChoice(4, 2), BlockChoice(3, 2), BlockChoice(2, 4), BlockChoice(1, 6))
_MORE_BLOCKS = (*_BLOCKS, BlockChoice(2, 2), BlockChoice(2, 3), BlockChoice(3, 3))
_SMALL_BLOCKS = _BLOCKS[1:]
"""Of weights that are taken apart: the word that has them needs a register, too."""


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
    sums = Sums.of(weights, spec.bias, spec.input_zero_point)
    scaling = plan_scaling(spec.requantization, sums)
    pixels = int(np.prod(spec.output_shape[:3]))
    bits = parts.bits_of(weights)
    if bits < 8:
        block = _small_block(pixels, len(weights), bits)
    constants: Constants = [
        _ordered(weights, block, bits),
        scaling.parameters(),
        *scaling.constants,
    ]
    text = Text()
    taps = weights.shape[1]
    with blocks(text, spec, block.pixels):
        if is_flat(spec):
            text.add(f"const int8_t *const patch = input0 + start * {taps};")
        else:
            write_bytes(text, spec, block.pixels)
            text.add("const int8_t *const patch = (const int8_t *)workspace;")
        text.add(
            f"const {'int8_t' if bits == 8 else 'int32_t'} *weights = constant0;",
            "const int32_t *parameters = constant1;",
            f"int8_t *to = output + start * {len(weights)};",
        )
        whole = len(weights) // block.channels * block.channels
        if whole:
            _write_channels(text, block, 0, whole, weights, scaling, bits)
        if whole < len(weights):
            rest = replace(block, channels=len(weights) - whole)
            if bits < 8:
                rest = _whole_words(rest, bits)
            _write_channels(text, rest, whole, rest.channels, weights, scaling, bits)
    return KernelSource(
        input_dtypes=("int8",),
        constants=tuple(constants),
        output_dtype="int8",
        body=str(text),
        workspace_bytes=0 if is_flat(spec) else taps * block.pixels,
        overlaps=of_pixels(spec, starts(spec, block.pixels), block.pixels),
        macs=pixels * weights.size,
        headers=("tvmgen_integer_scale.h", *([parts.HEADER] if bits < 8 else [])),
        roles=(
            Role("weights", _LAYOUT.format(block.channels) + parts.layout(bits)),
            *scaling.roles(),
        ),
    )


def _block(pixels: int, channels: int, bits: int = 8) -> BlockChoice:
    """The block that takes the fewest instructions, what it computes in vain included."""

    def cost(block: BlockChoice) -> float:
        steps = -(-pixels // block.pixels) * -(-channels // block.channels)
        return steps * block.instructions(bits)

    blocks = _BLOCKS if bits == 8 else _SMALL_BLOCKS
    return min((block for block in blocks if block.pixels <= pixels), key=cost)


def _small_block(pixels: int, channels: int, bits: int) -> BlockChoice:
    """The same for weights that are taken apart; tuning logs know nothing of them."""
    return _whole_words(_block(pixels, channels, bits), bits)


def _whole_words(block: BlockChoice, bits: int) -> BlockChoice:
    """A block with as many taps written out as have whole words of weights."""
    together = block.channels * bits
    return replace(block, unrolled=max(_UNROLLED_TAPS[0], math.lcm(32, together) // together))


def _ordered(
    weights: npt.NDArray[np.int8], block: BlockChoice, bits: int
) -> npt.NDArray[np.int8 | np.int32]:
    """The weights of the channels of a block side by side, tap after tap."""
    rows = [
        weights[first : first + block.channels].T.ravel()
        for first in range(0, len(weights), block.channels)
    ]
    if bits < 8:
        return np.concatenate([parts.packed_words(row, bits) for row in rows])
    return np.concatenate(rows)


def _write_channels(
    text: Text,
    block: BlockChoice,
    first: int,
    count: int,
    weights: npt.NDArray[np.int8],
    scaling: Scaling,
    bits: int,
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
                    _write_tap(text, block, taps, n, bits)
                text.add(f"taps += {block.unrolled};")
                _advance(text, block.unrolled * block.channels, bits)
        for n in range(taps % block.unrolled):
            _write_tap(text, block, taps, n, bits)
        _advance(text, taps % block.unrolled * block.channels, bits)
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


def _advance(text: Text, count: int, bits: int) -> None:
    """Go on behind so many weights, if they share words: others move on one by one."""
    if bits < 8 and count:
        text.add(f"weights += {-(-count * bits // 32)};")


def _write_tap(text: Text, block: BlockChoice, taps: int, offset: int, bits: int) -> None:
    """One tap of all pixels times its weights for all channels at hand."""
    with text.block():
        for n in range(block.channels):
            weight = "*weights++"
            if bits < 8:
                weight = parts.element("weights", offset * block.channels + n, bits, unit=32)
            text.add(f"const int32_t w{n} = {weight};")
        for p in range(block.pixels):
            text.add(f"const int32_t x{p} = taps[{p * taps + offset}];")
            for n in range(block.channels):
                text.add(f"sum{n}_{p} += x{p} * w{n};")
