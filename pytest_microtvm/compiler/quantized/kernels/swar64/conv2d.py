"""Convolutions by multiplications of 64 bits: SIMD within a register, two products at once.

An input x times a word b * 2**32 + a is x * b * 2**32 + x * a, and so are sums of such products: as
long as the sum of the x * a fits int32, both sums can be told apart (`tvmgen_integer_swar.h`).

Weights stay bytes. Eight of them are read at once; a shift and a mask make words of two, whose
bytes have no sign, so they are stored as w + 128. The sum of x * (w + 128) is too large by 128
times the sum of a pixel's taps, which is the same for all output channels: sums begin with it,
negative.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pytest_microtvm.compiler.quantized.intervals import Interval, values_of
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

_BYTES = 8
_PAIRS = _BYTES // 2
_RAISED = 128
_UNROLLED = 4
_MOST_PIXELS = 3  # with more, the sums of eight channels do not fit registers
_LAYOUT = (
    "w + 128, eight in a word: of 8, 4 or 2 output channels at a time, for one, two or four taps "
    "in the order of height, width and input channel; bytes n and n + 4 are of two channels beside "
    "each other"
)

Int8Array = npt.NDArray[np.int8]


@dataclass(frozen=True)
class _Section:
    """A run of output channels that one loop computes, `width` channels at a time.

    Of the last two, the second may be there to fill the width: it is computed, but written nowhere.
    """

    first: int
    channels: int
    width: int

    @property
    def taps(self) -> int:
        """Taps whose weights share a word."""
        return _BYTES // self.width

    @property
    def pairs(self) -> int:
        """Pairs of channels."""
        return self.width // 2


def fits(spec: Conv2D) -> bool:
    """Whether the sum in the lower half of a word fits it, its start and every part included."""
    taps = math.prod(spec.weights.shape[1:])
    values = values_of("int8")
    begin = (values * Interval(-_RAISED, -_RAISED)).summed(taps)
    return (begin + (values * values_of("uint8")).summed(taps)).fits_int32


def conv2d(spec: Conv2D) -> KernelSource:
    """A convolution of int8 with weights of zero point 0, which `fits`."""
    weights = spec.weights.reshape(len(spec.weights), -1)
    sums = Sums.of(weights, spec.bias, spec.input_zero_point)
    scaling = plan_scaling(spec.requantization, sums)
    pixel_count = math.prod(spec.output_shape[:3])
    sections = _sections(len(weights))
    pixels = _pixels(pixel_count, sections)
    constants: Constants = [
        np.concatenate([_words(weights, section) for section in sections]),
        scaling.parameters(),
        *scaling.constants,
    ]
    text = Text()
    taps = weights.shape[1]
    with blocks(text, spec, pixels):
        if is_flat(spec):
            text.add(f"const int8_t *const patch = input0 + start * {taps};")
        else:
            write_bytes(text, spec, pixels)
            text.add("const int8_t *const patch = (const int8_t *)workspace;")
        _write_begin(text, pixels, taps)
        text.add(
            "const uint64_t *weights = constant0;",
            "const int32_t *parameters = constant1;",
            f"int8_t *to = output + start * {len(weights)};",
        )
        for section in sections:
            _write_section(text, section, pixels, weights.shape, scaling)
    return KernelSource(
        input_dtypes=("int8",),
        constants=tuple(constants),
        output_dtype="int8",
        body=str(text),
        workspace_bytes=0 if is_flat(spec) else taps * pixels,
        overlaps=of_pixels(spec, starts(spec, pixels), pixels),
        macs=pixel_count * weights.size,
        headers=("tvmgen_integer_scale.h", "tvmgen_integer_swar.h"),
        roles=(Role("weights", _LAYOUT), *scaling.roles()),
    )


def _sections(channels: int) -> list[_Section]:
    """Eight channels at a time, then four, then two; the last of an odd number is one of two."""
    found = []
    first = 0
    for width in (8, 4, 2):
        count = (channels - first) // width * width
        if count:
            found.append(_Section(first, count, width))
            first += count
    return [*found, _Section(first, 1, 2)] if first < channels else found


def _pixels(count: int, sections: list[_Section]) -> int:
    """Pixels at a time: those that take the fewest instructions, all computed in vain included."""

    def cost(pixels: int) -> int:
        words = sum(-(-section.channels // section.width) * section.width for section in sections)
        # To make words of two, and of each pixel products, sums, and loads.
        return -(-count // pixels) * words * (11 + 9 * pixels)

    return min(range(1, min(count, _MOST_PIXELS) + 1), key=cost)


def _words(weights: Int8Array, section: _Section) -> npt.NDArray[np.uint64]:
    """The weights of a section, tap after tap of as many channels as its width."""
    groups = -(-section.channels // section.width)
    steps = -(-weights.shape[1] // section.taps)
    filled = np.zeros((groups * section.width, steps * section.taps), np.uint8)
    rows = weights[section.first : section.first + section.channels]
    raised = (rows.astype(np.int16) + _RAISED).astype(np.uint8)
    filled[: len(rows), : weights.shape[1]] = raised
    # (group, pair, channel of it, step, tap) to (group, step, channel of the pair, tap, pair).
    split = filled.reshape(groups, section.pairs, 2, steps, section.taps)
    ordered = np.ascontiguousarray(split.transpose(0, 3, 2, 4, 1))
    return ordered.reshape(-1, _BYTES).view("<u8").ravel().astype(np.uint64)


def _write_begin(text: Text, pixels: int, taps: int) -> None:
    """What the sums of each pixel begin with."""
    text.add(f"int64_t {', '.join(f'begin{p} = 0' for p in range(pixels))};")
    text.add("const int8_t *tap = patch;")
    groups = taps // _UNROLLED
    for count, unrolled in ((groups, _UNROLLED), (1, taps % _UNROLLED)):
        if not count * unrolled:
            continue
        with text.repeated("group", count):
            for p in range(pixels):
                values = " + ".join(f"tap[{p * taps + n}]" for n in range(unrolled))
                text.add(f"begin{p} += {values};")
            text.add(f"tap += {unrolled};")
    for p in range(pixels):
        text.add(f"begin{p} = microtvm_twice(-{_RAISED} * begin{p});")


def _write_section(
    text: Text, section: _Section, pixels: int, shape: tuple[int, ...], scaling: Scaling
) -> None:
    channels, taps = shape
    stride = scaling.stride
    with text.repeated("channel", section.channels, section.width):
        for n in range(section.pairs):
            text.add(f"int64_t {', '.join(f'pair{n}_{p} = begin{p}' for p in range(pixels))};")
        text.add("const int8_t *taps = patch;")
        whole = taps // section.taps
        if whole:
            with text.repeated("word", whole):
                _write_word(text, section, pixels, taps, section.taps)
        if taps % section.taps:
            _write_word(text, section, pixels, taps, taps % section.taps)
        for n in range(min(section.width, section.channels)):
            start = f"parameters[{stride * n}]"
            text.add(
                *scaling.declare(
                    str(n), f"parameters[{stride * n + 1}]", f"{section.first + n} + channel"
                )
            )
            half = "microtvm_above_low" if n % 2 else "microtvm_low"
            for p in range(pixels):
                value = f"{half}(pair{n // 2}_{p})"
                if scaling.line is None:
                    value = f"(int32_t)((uint32_t){value} + (uint32_t){start})"
                text.add(f"const int32_t sum{n}_{p} = {value};")
                text.add(f"const int32_t total{n}_{p} = {scaling.total(f'sum{n}_{p}', start)};")
                value = scaling.output(f"total{n}_{p}", str(n))
                text.add(f"to[{p * channels + n}] = (int8_t)({value});")
        text.add(f"parameters += {stride * section.width};", f"to += {section.width};")


def _write_word(text: Text, section: _Section, pixels: int, row: int, taps: int) -> None:
    """A few taps of all pixels times their weights for all channels at hand."""
    with text.block():
        text.add("const uint64_t bytes = *weights++;")
        for tap in range(taps):
            for p in range(pixels):
                text.add(f"const int64_t x{tap}_{p} = taps[{p * row + tap}];")
        for tap in range(taps):
            for n in range(section.pairs):
                with text.block():
                    text.add(f"const int64_t w = microtvm_pair(bytes, {tap * section.pairs + n});")
                    for p in range(pixels):
                        text.add(f"pair{n}_{p} += x{tap}_{p} * w;")
        text.add(f"taps += {taps};")
