"""Weights of 4 or 2 bits by the DSP extension: two channels share bytes, and one is unsigned.

A byte holds the weight of a channel a above that of a channel b, to which half of its range, o, is
added. So `sxtb16` makes int16 of two bytes, 16 * a + (b + o), and a mask of that leaves b + o. One
multiplication by each gives both sums, as two channels of 8 bits share words of 16 (see `conv2d`):

    t = sum(x * (16 * a + b + o))        b' = sum(x * (b + o))        a' = (t - b') >> 4

o * sum(x) is known before: the sums begin without it. Where weights have 2 bits, a byte has those
of two taps, o is added to a as well, and a mask leaves those of one tap.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from pytest_microtvm.compiler.quantized.kernels import parts
from pytest_microtvm.compiler.quantized.kernels.c_text import Text

_MOST_TAPS = 1 << 15
"""So that sums of inputs times 8 bits, which are shifted by 4, stay within 28 bits."""


def bits_of(weights: npt.NDArray[np.int8]) -> int:
    """Bits in which pairs of channels are stored: 2, 4 or 8."""
    return parts.bits_of(weights) if weights.shape[1] <= _MOST_TAPS else 8


def packed(rows: npt.NDArray[np.int8], pairs: int, bits: int) -> npt.NDArray[np.uint32]:
    """The words of a run of channels.

    Args:
        rows: A row of whole quads of taps for each channel, an even number of them.
        pairs: Pairs of channels that are computed at a time.
        bits: Of a weight: 4 or 2.
    """
    offset = 1 << (bits - 1)
    above = rows[0::2].view(np.uint8) & 15 if bits == 4 else (rows[0::2] + offset).view(np.uint8)
    both = above << 4 | (rows[1::2] + offset).view(np.uint8)
    # (group, pair, word, tap) to (group, word, pair, tap)
    grouped = both.reshape(len(both) // pairs, pairs, -1, 4)
    if bits == 2:
        grouped = np.pad(grouped, ((0, 0), (0, 0), (0, grouped.shape[2] % 2), (0, 0)))
        grouped = grouped[:, :, 0::2] | grouped[:, :, 1::2] << 2
    ordered = np.ascontiguousarray(grouped.transpose(0, 2, 1, 3))
    return ordered.reshape(-1).view("<u4").astype(np.uint32)


def write_starts(text: Text, channel: int, pixels: int, bits: int, initial: str) -> None:
    """Declare the sums of a channel: what they begin with, less what `o` adds to them.

    Args:
        text: Gets the statements, which read `offsets`: -o * sum(x) of each pixel.
        channel: Its number among those that are computed at a time; a has an even one.
        pixels: That are computed at a time.
        bits: Of a weight: 4 or 2.
        initial: An expression for what the sums of both channels begin with.
    """
    factor = 17 if bits == 2 and channel % 2 == 0 else 1
    for p in range(pixels):
        offset = f"offsets[{p}]" if factor == 1 else f"offsets[{p}] * {factor}"
        value = offset
        if initial != "0":
            value = f"(int32_t)((uint32_t){initial} + (uint32_t)({offset}))"
        text.add(f"int32_t sum{channel}_{p} = {value};")


def write_words(text: Text, pair: int, bits: int, quad: int, after: tuple[str, str]) -> None:
    """Declare the words of int16 of a pair of channels for a quad of taps.

    `both` is 16 * a + b + o, `low` is b + o, of taps 0 and 2 and of taps 1 and 3.

    Args:
        text: Gets the statements.
        pair: Which one, of those that are computed at a time; twice its number, and one more, end
            the names of the words.
        bits: Of a weight: 4 or 2.
        quad: Which one of those that are written out; a word of 2 bits serves two of them.
        after: Sums that are computed before the word is loaded.
    """
    word = f"word{pair}"
    if bits == 4 or quad % 2 == 0:
        text.add(f"{word} = microtvm_next_word(&weights, {', '.join(after)});")
    part = word
    if bits == 2:
        shifted = f"({word} >> 2)" if quad % 2 else word
        text.add(f"const uint32_t part{pair} = {shifted} & 0x33333333u;")
        part = f"part{pair}"
    for number, half in ((2 * pair, ""), (2 * pair + 1, "_odd")):
        text.add(f"const uint32_t both{number} = microtvm_sxtb16{half}({part});")
    for number in (2 * pair, 2 * pair + 1):
        text.add(f"const uint32_t low{number} = both{number} & 0x000f000fu;")
