"""Convolutions by the DSP extension: two products of 16 bits an instruction.

The patches of a few pixels are copied once as words of two int16 (see `patch`) and then met by the
weights of all output channels, which stay bytes in flash. Two channels share the words of their
weights: 256 * a + b is an int16, so one multiplication by it and one by b alone give both sums,

    t = sum(x * (256 * a + b))        b' = sum(x * b)        a' = (t - b') >> 8

modulo 2**32, which is exact while the sum of `a` fits 24 bits; what that sum starts with is added
afterwards, because it may be large. That saves half of the instructions that would widen the
weights. A channel that is left over, and all channels of weights that do not
allow it, are widened by two instructions for four. Pairs of channels whose weights have 4 or 2 bits
are in `small_weights`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pytest_microtvm.compiler.quantized.choices import Choice, Tunable, Workload
from pytest_microtvm.compiler.quantized.kernels.accumulators import Sums
from pytest_microtvm.compiler.quantized.kernels.c_text import Text
from pytest_microtvm.compiler.quantized.kernels.dsp import small_weights
from pytest_microtvm.compiler.quantized.kernels.overlap import of_pixels
from pytest_microtvm.compiler.quantized.kernels.patch import WordPatches, blocks, starts
from pytest_microtvm.compiler.quantized.kernels.scaling import Scaling, plan_scaling
from pytest_microtvm.compiler.quantized.kernels.text import Constants
from pytest_microtvm.compiler.quantized.specs import Conv2D, KernelSource, Role

_SHARED_LIMIT = 1 << 23
_UNROLLED_QUADS = (8, 4, 12, 16)
_LAYOUT = (
    "four taps at a time in the order of height, width and input channel, for a few output "
    "channels; two channels a and b share words of two int16, 256 * a + b, where the sums allow "
    "it, taps 0 and 2 in the first word, 1 and 3 in the second"
)
_SMALL_LAYOUT = (
    "four taps at a time in the order of height, width and input channel, for a few output "
    "channels; two channels a and b share bytes, {}"
)
_SMALL_LAYOUTS = {
    4: "a in the upper half, b + 8 in the lower one",
    2: "a + 2 in the upper half, b + 2 in the lower one, of the next four taps two bits above",
}
_CHANNELS_OF_ONE_PIXEL = 6  # as many sums as three pixels and two channels have

_BLOCKS = ((3, 2), (2, 2), (1, 6))
"""Pixels and channels at a time: what there are registers for."""

Int8Array = npt.NDArray[np.int8]
UInt32Array = npt.NDArray[np.uint32]


@dataclass(frozen=True)
class _Section:
    """A run of output channels that one loop computes, `width` channels at a time.

    Their weights are read four taps at a time for all `width` channels: pairs of channels share
    words when the section is `shared`, or bytes, if they have less than 8 bits.
    """

    channels: int
    width: int
    shared: bool
    bits: int = 8

    @property
    def pairs(self) -> int:
        """Pairs of channels that are computed at a time."""
        return self.width // 2 if self.shared else 0

    @property
    def shift(self) -> int:
        """By how many bits the first channel of a pair is above the other one."""
        return 8 if self.bits == 8 else 4


@dataclass(frozen=True)
class ConvolutionChoice(Choice):
    """How a convolution is blocked.

    Args:
        pixels: Patches at a time.
        channels: Output channels at a time, where channels share words; an even number.
        unrolled: Groups of four taps that are written without a loop, at most.
    """

    pixels: int
    channels: int
    unrolled: int


def _candidates(workload: Workload) -> tuple[ConvolutionChoice, ...]:
    """The ways to write the convolution of a workload."""
    pixel_count = math.prod(workload.output_shape[:3])
    quads = -(-math.prod(workload.window.shape) * workload.input_shape[3] // 4)
    own = _pixels(pixel_count)
    own_block = own, _CHANNELS_OF_ONE_PIXEL if own == 1 else 2
    blocks = [
        (pixels, channels)
        for pixels, channels in _BLOCKS
        if pixels <= pixel_count and (channels == 2 or channels <= workload.output_shape[3])
    ]
    # Only those that differ in what they come to for so many groups.
    unrolled: dict[int, int] = {}
    for most in _UNROLLED_QUADS:
        unrolled.setdefault(_unrolled(quads, most), most)
    return tuple(
        ConvolutionChoice(pixels, channels, most)
        for pixels, channels in dict.fromkeys([own_block, *blocks])
        for most in unrolled.values()
    )


CONV2D = Tunable("dsp.conv2d", _candidates)


def conv2d(spec: Conv2D, choice: ConvolutionChoice) -> KernelSource:
    """A convolution of int8 with weights of zero point 0."""
    weights = spec.weights.reshape(len(spec.weights), -1)
    sums = Sums.of(weights, spec.bias, spec.input_zero_point)
    scaling = plan_scaling(spec.requantization, sums)
    pixel_count = int(np.prod(spec.output_shape[:3]))
    pixels = choice.pixels
    sections = _sections(weights, choice.channels)
    bits = sections[0].bits
    patches = WordPatches(spec, pixels, factor=-(1 << (bits - 1)) if bits < 8 else 0)
    constants: Constants = [
        _packed_weights(weights, sections, patches.quads),
        _parameters(scaling, sections),
        *scaling.constants,
    ]
    text = Text()
    patches.declare(text)
    with blocks(text, spec, pixels):
        patches.write(text)
        text.add(
            "const uint32_t *weights = constant0;",
            "const int32_t *parameters = constant1;",
            f"int8_t *to = output + start * {len(weights)};",
        )
        channel = 0
        for section in sections:
            _write_section(text, section, channel, patches, scaling, len(weights), choice.unrolled)
            channel += section.channels
    return KernelSource(
        input_dtypes=("int8",),
        constants=tuple(constants),
        output_dtype="int8",
        body=str(text),
        workspace_bytes=patches.workspace_bytes,
        overlaps=of_pixels(spec, starts(spec, pixels), pixels),
        macs=pixel_count * weights.size,
        headers=("tvmgen_integer_dsp.h", "tvmgen_integer_scale.h"),
        roles=(Role("weights", _layout(sections)), *scaling.roles()),
    )


def _layout(sections: list[_Section]) -> str:
    bits = sections[0].bits
    return _LAYOUT if bits == 8 else _SMALL_LAYOUT.format(_SMALL_LAYOUTS[bits])


def _pixels(count: int) -> int:
    """Pixels at a time: three take the fewest instructions, but not to compute some in vain."""
    instructions = {1: 9, 2: 13, 3: 18}
    return min(
        (1, 2, 3),
        key=lambda n: (-(-count // n) * instructions[n], n) if n <= count else (1 << 40, n),
    )


def _sections(weights: Int8Array, width: int) -> list[_Section]:
    channels = len(weights)
    even = channels - channels % 2
    first, second = weights[0:even:2].astype(np.int64), weights[1:even:2]
    bounds = Sums.of(weights, None, 0).bounds[0:even:2]
    bits = small_weights.bits_of(weights)
    is_narrow = np.all(first * 256 + second >= -32768) and np.all(bounds < _SHARED_LIMIT)
    if bits == 8 and not is_narrow:
        even = 0
    sections = []
    if bits == 2:
        width = min(width, 4)  # each pair keeps a word from one quad to the next
    if even >= width:
        sections.append(_Section(even // width * width, width, True, bits))
    if even % width:
        sections.append(_Section(even % width, even % width, True, bits))
    if channels > even:
        sections.append(_Section(channels - even, 1, shared=False))
    return sections


def _packed_weights(weights: Int8Array, sections: list[_Section], quads: int) -> UInt32Array:
    filled = np.zeros((len(weights), quads * 4), np.int8)
    filled[:, : weights.shape[1]] = weights
    parts = []
    channel = 0
    for section in sections:
        rows = filled[channel : channel + section.channels]
        channel += section.channels
        if not section.shared:
            parts.append(np.ascontiguousarray(rows).view("<u4").ravel())
            continue
        if section.bits < 8:
            parts.append(small_weights.packed(rows, section.width // 2, section.bits))
            continue
        both = (rows[0::2].astype(np.int32) * 256 + rows[1::2]).astype(np.int16)
        # (group, pair of channels, quad, tap) to (group, quad, pair, tap), taps 0 and 2 first.
        grouped = both.reshape(-1, section.width // 2, quads, 4).transpose(0, 2, 1, 3)
        ordered = np.ascontiguousarray(grouped[..., [0, 2, 1, 3]].astype("<i2"))
        parts.append(ordered.view("<u4").ravel())
    return np.concatenate(parts).astype(np.uint32)


def _parameters(scaling: Scaling, sections: list[_Section]) -> npt.NDArray[np.int32]:
    """Of two channels that share words, both starts first."""
    parts = []
    channel = 0
    for section in sections:
        channels = slice(channel, channel + section.channels)
        channel += section.channels
        parts.append(scaling.parameters(channels, together=2 if section.shared else 1))
    return np.concatenate(parts)


def _write_section(
    text: Text,
    section: _Section,
    channel: int,
    patches: WordPatches,
    scaling: Scaling,
    channels: int,
    most_unrolled: int,
) -> None:
    pixels, quads = patches.pixels, patches.quads
    pairs, width = section.pairs, section.width
    with text.repeated("channel", section.channels, width):
        text.add("const uint32_t *taps = (const uint32_t *)(const void *)workspace;")
        for n in range(width):
            index = _parameter_index(section, scaling, n | 1 if section.shared else n)
            initial = scaling.initial(f"parameters[{index}]")
            if section.bits < 8:
                small_weights.write_starts(text, n, pixels, section.bits, initial)
                continue
            sums = ", ".join(
                f"sum{n}_{p} = " + (initial if p == 0 else f"sum{n}_0") for p in range(pixels)
            )
            text.add(f"int32_t {sums};")
        if section.bits < 8:
            text.add(f"uint32_t {', '.join(f'word{pair}' for pair in range(pairs))};")
        unrolled = _unrolled(quads, most_unrolled, section.bits)
        if unrolled == quads:
            _write_quads(text, pixels, section, quads)
            # Without a loop, compilers would begin with what follows before there is room for it.
            text.add(f"microtvm_after(&parameters, {', '.join(_last_sums(pixels, pairs))});")
        else:
            with text.block(f"for (int32_t quad = 0; quad < {quads // unrolled}; ++quad)"):
                _write_quads(text, pixels, section, unrolled)
            _write_quads(text, pixels, section, quads % unrolled)
        for n in range(width):
            word = f"parameters[{_parameter_index(section, scaling, n, 1)}]"
            text.add(*scaling.declare(str(n), word, f"{channel + n} + channel"))
            is_above = section.shared and n % 2 == 0
            if is_above or scaling.line is not None:
                index = _parameter_index(section, scaling, n)
                text.add(f"const int32_t start{n} = parameters[{index}];")
            for p in range(pixels):
                _write_output(text, section, scaling, n, p, channels)
        text.add(f"parameters += {scaling.stride * width};", f"to += {width};")


def _parameter_index(section: _Section, scaling: Scaling, n: int, which: int = 0) -> int:
    """Where the start (0) or the factor (1) of the section's channel `n` is."""
    if section.shared:
        return scaling.stride * (n - n % 2) + 2 * which + n % 2
    return scaling.stride * n + which


def _unrolled(quads: int, most: int, bits: int = 8) -> int:
    if quads <= most:
        return quads
    step = 2 if bits == 2 else 1  # a word of 2 bits serves two quads
    return max(range(step, most + 1, step), key=lambda n: (quads % n == 0, n))


def _last_sums(pixels: int, pairs: int) -> tuple[str, str]:
    """Two of the sums that are computed last."""
    return f"sum{max(0, 2 * pairs - 2)}_{pixels - 1}", f"sum{max(1, 2 * pairs) - 1}_{pixels - 1}"


def _write_quads(text: Text, pixels: int, section: _Section, quads: int) -> None:
    """Some quads of taps, one after the other."""
    for quad in range(quads):
        _write_quad(text, pixels, section, quad)


def _write_quad(text: Text, pixels: int, section: _Section, quad: int) -> None:
    """Four taps of all pixels times those of all channels at hand.

    Each load waits for the sums before it, so that few words are in registers at a time.
    """
    pairs = section.pairs
    last = _last_sums(pixels, pairs)

    def load(first: str, second: str, address: str, *after: str) -> str:
        return f"microtvm_load_pair(&{first}, &{second}, &{address}, {', '.join(after)});"

    with text.block():
        text.add("uint32_t x0, x1;" if section.bits < 8 else "uint32_t x0, x1, w0, w1;")
        if pairs == 0:
            text.add("w0 = microtvm_sxtb16(*weights);", "w1 = microtvm_sxtb16_odd(*weights++);")
            for p in range(pixels):
                text.add(
                    load("x0", "x1", "taps", *last),
                    f"sum0_{p} = microtvm_smlad(x0, w0, sum0_{p});",
                    f"sum0_{p} = microtvm_smlad(x1, w1, sum0_{p});",
                )
                last = f"sum0_{p}", f"sum0_{p}"
            return
        if pixels == 1:
            text.add(load("x0", "x1", "taps", *last))
        for pair in range(pairs):
            a, b = 2 * pair, 2 * pair + 1
            both = "w0", "w1"
            if section.bits < 8:
                both = f"both{a}", f"both{b}"
                small_weights.write_words(text, pair, section.bits, quad, last)
            else:
                text.add(
                    load("w0", "w1", "weights", *last),
                    f"const uint32_t low{a} = microtvm_sxtb16(w0);",
                    f"const uint32_t low{b} = microtvm_sxtb16(w1);",
                )
            for p in range(pixels):
                if pixels > 1:
                    text.add(load("x0", "x1", "taps", *last))
                text.add(
                    f"sum{a}_{p} = microtvm_smlad(x0, {both[0]}, sum{a}_{p});",
                    f"sum{b}_{p} = microtvm_smlad(x0, low{a}, sum{b}_{p});",
                    f"sum{a}_{p} = microtvm_smlad(x1, {both[1]}, sum{a}_{p});",
                    f"sum{b}_{p} = microtvm_smlad(x1, low{b}, sum{b}_{p});",
                )
                last = f"sum{a}_{p}", f"sum{b}_{p}"


def _write_output(
    text: Text,
    section: _Section,
    scaling: Scaling,
    n: int,
    p: int,
    channels: int,
) -> None:
    total = f"total{n}_{p}"
    if section.shared and n % 2 == 0:
        difference = f"(uint32_t)sum{n}_{p} - (uint32_t)sum{n + 1}_{p}"
        value = scaling.total_above(difference, f"start{n}", section.shift)
        text.add(f"const int32_t {total} = {value};")
    else:
        text.add(f"const int32_t {total} = {scaling.total(f'sum{n}_{p}', f'start{n}')};")
    text.add(f"to[{p * channels + n}] = (int8_t)({scaling.output(total, str(n))});")
