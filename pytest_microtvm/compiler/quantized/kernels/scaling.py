"""From accumulators to int8 outputs in C: exactly TFLite's arithmetic, in few instructions.

A sum `s` becomes `clamp(round(s * m * 2**(-31 - e)) + z)`, e >= 1 bits to the right. With
y = floor(2 * s * m / 2**32 + 1/2), the rounded doubling high product:

    double rounding   floor((y - (y < 0) + 2**(e-1)) / 2**e) + z
    single rounding   floor((floor(2 * s * m / 2**32) + 2**(e-1)) / 2**e) + z

The first because rounding to nearest with ties away from zero takes one from negative numbers
before it rounds halves up; y is negative when s is, or is 0 where that one does not matter. The
second, because a floor inside of a floor of a sum of integers changes nothing, as long as there
are no ties, which is checked: they need more factors of 2 than sum and multiplier have.

So the offset `2**(e-1) + z * 2**e == (2 * z + 1) << (e - 1)` goes into the multiplication, and a
shift to the right and a saturation remain. Factors of one half and more (e < 1) and sums of
2**30 and more take the long way, by the functions of `tvmgen_integer.h`.

Where a `line` gives the same outputs, it takes fewer instructions still.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pytest_microtvm.compiler.quantized.arithmetic import factors_of_2
from pytest_microtvm.compiler.quantized.kernels.accumulators import Sums, wrapped
from pytest_microtvm.compiler.quantized.kernels.line import Line, find_line
from pytest_microtvm.compiler.quantized.kernels.text import REQUANTIZATIONS
from pytest_microtvm.compiler.quantized.specs import Requantization, Role, Rounding

_GREATEST_SHIFT = 22  # the offset stays below 2**30
_SUM_LIMIT = 1 << 30
_BITS_ABOVE = 8


@dataclass(frozen=True)
class Scaling:
    """How a kernel scales its accumulators.

    What differs between channels is stored in as few bytes as can be: nothing for one factor,
    the multipliers where all shifts are the same, multipliers with two bits for the shift where
    these are close to each other, or else shifts in an array of their own.

    Args:
        requantization: What is to be computed.
        starts: int32, one for each channel: what sums start with, or are added to in the end.
        multipliers: int32, one for each channel.
        shifts: int8, one for each channel: bits to the right when short, TFLite's else.
        short: Whether the few instructions will do.
        line: The line, where there is one.
    """

    requantization: Requantization
    starts: npt.NDArray[np.int32]
    multipliers: npt.NDArray[np.int32]
    shifts: npt.NDArray[np.int8]
    short: bool
    line: Line | None = None

    @property
    def common_multiplier(self) -> int | None:
        """The multiplier, when all channels have the same factor."""
        if self.common_shift is None or np.any(self.multipliers != self.multipliers[0]):
            return None
        return int(self.multipliers[0])

    @property
    def common_shift(self) -> int | None:
        """The shift, when all channels have the same."""
        return int(self.shifts[0]) if np.all(self.shifts == self.shifts[0]) else None

    @property
    def _is_packed(self) -> bool:
        """Whether multipliers and shifts share words: the upper two bits are known to be 01."""
        spread = int(self.shifts.max()) - int(self.shifts.min())
        is_normal = bool(np.all(self.multipliers >= 1 << 30))
        return self.common_shift is None and spread < 4 and is_normal

    def parameters(self, channels: slice = slice(None), together: int = 1) -> npt.NDArray[np.int32]:
        """What kernels read of each channel, an array for `constant1`.

        Args:
            channels: Which channels.
            together: Channels that share words: their starts are side by side, before what else
                they have. Those of every second one, which are added to sums in the end, are
                doubled as the sums are then.

        Returns:
            int32, `stride` for each channel.
        """
        start: npt.NDArray[np.int32] = self.starts[channels].copy()
        if together == 2 and self.short:
            start[0::2] *= 2
        if self.common_multiplier is not None:
            return start
        words = self.multipliers
        if self._is_packed:
            low = (self.shifts - self.shifts.min()).astype(np.int32)
            words = (self.multipliers - (1 << 30)) * 4 + low
        pair = start.reshape(-1, together), words[channels].reshape(-1, together)
        return np.stack(pair, axis=1).ravel()

    @property
    def stride(self) -> int:
        """Words of a channel in `parameters`."""
        return 1 if self.common_multiplier is not None else 2

    @property
    def constants(self) -> list[npt.NDArray[np.int8]]:
        """What kernels read beside `parameters`, for `constant2`."""
        return [] if self.common_shift is not None or self._is_packed else [self.shifts]

    def roles(self) -> list[Role]:
        """What `parameters` and `constants` are."""
        layout = (
            "of each output channel what its sum starts with (bias, and what the zero point adds)"
        )
        if self.line is not None:
            layout = "of each output channel what its sum, shifted to the left, is added to"
        if self.common_multiplier is None:
            layout += ", then its multiplier"
        if self._is_packed:
            layout += " less 2**30 with two bits of its shift below"
        roles = [Role("parameters", layout)]
        if self.constants:
            roles.append(Role("shifts", "of each output channel"))
        return roles

    def declare(self, name: str, word: str, channel: str) -> list[str]:
        """C: declare what `output` needs of a channel.

        Args:
            name: Ends the names of the variables.
            word: Where the channel's second parameter is.
            channel: The channel's number.
        """
        multiplier, shift = word, f"constant2[{channel}]"
        if self.common_multiplier is not None:
            multiplier = str(self.common_multiplier)
        if self.common_shift is not None:
            shift = str(self.common_shift)
        elif self._is_packed:
            multiplier = f"microtvm_packed_multiplier({word})"
            shift = f"microtvm_packed_shift({word}, {int(self.shifts.min())})"
        lines = [f"const int32_t multiplier{name} = {multiplier};"]
        if self.line is not None:
            return lines
        lines.append(f"const int32_t shift{name} = {shift};")
        if self.short:
            factor = 2 * self.requantization.zero_point + 1
            offset = f"{factor} * (INT32_C(1) << (shift{name} - 1))"
            if self._is_packed:
                least = factor * (1 << (int(self.shifts.min()) - 1))
                offset = f"{least} * (INT32_C(1) << ((uint32_t){word} & 3u))"
            if self.common_shift is None:
                offset = f"microtvm_once({offset})"
            lines.append(f"const int32_t offset{name} = {offset};")
        return lines

    def initial(self, start: str) -> str:
        """C: what a sum starts with, given the channel's first parameter."""
        return start if self.line is None else "0"

    def total(self, of_sum: str, start: str) -> str:
        """C: what `output` wants of a sum that started with `initial`.

        Args:
            of_sum: A variable with the sum.
            start: The channel's first parameter.
        """
        if self.line is not None:
            shifted = f"(uint32_t){of_sum} << {self.line.left}"
            return f"(int32_t)(({shifted}) + (uint32_t){start})"
        return f"{of_sum} * 2" if self.short else of_sum

    def total_above(self, difference: str, start: str, bits: int = 8) -> str:
        """C: the same of a sum that was multiplied by a power of two, and that started with 0.

        Args:
            difference: An expression for it, uint32_t.
            start: The channel's first parameter.
            bits: By which it was shifted: 4 or 8.
        """
        if self.line is not None:
            left = self.line.left - bits
            shifted = f"(({difference}) << {left})" if left else f"({difference})"
            return f"(int32_t)({shifted} + (uint32_t){start})"
        right = bits - 1 if self.short else bits
        return f"(int32_t)((uint32_t)((int32_t)({difference}) >> {right}) + (uint32_t){start})"

    def output(self, total: str, name: str) -> str:
        """C: the output, int32 in the range of int8.

        Args:
            total: A variable with what `total` gives.
            name: As for `declare`.
        """
        requantization = self.requantization
        limits = requantization.minimum, requantization.maximum
        multiplier, shift = f"multiplier{name}", f"shift{name}"
        if self.line is not None:
            value, shift = f"microtvm_high_product({total}, {multiplier})", str(self.line.right)
            if self.line.offset:
                value = f"microtvm_high({total}, {multiplier}, {self.line.offset})"
        elif not self.short:
            function = REQUANTIZATIONS[requantization.rounding]
            value = f"{function}({total}, {multiplier}, {shift}) + {requantization.zero_point}"
            return f"microtvm_clamp({value}, {requantization.minimum}, {requantization.maximum})"
        elif requantization.rounding is Rounding.SINGLE:
            value = f"microtvm_high({total}, {multiplier}, offset{name})"
        else:
            value = f"microtvm_high_rounded({total}, {multiplier}, offset{name}) + ({total} >> 31)"
        result = f"microtvm_saturate8(({value}) >> {shift})"
        if limits != (-128, 127):
            result = f"microtvm_clamp({result}, {requantization.minimum}, {requantization.maximum})"
        return result


def plan_scaling(requantization: Requantization, sums: Sums) -> Scaling:
    """Choose how to scale.

    Args:
        requantization: To int8.
        sums: What is scaled.
    """
    line = find_line(requantization, sums)
    if line is not None:
        common = np.full(len(sums.start), line.right, np.int8)
        return Scaling(requantization, line.starts, line.multipliers, common, False, line)
    multipliers, shifts, short = _short(requantization, sums.bounds)
    return Scaling(requantization, wrapped(sums.start), multipliers, shifts, short)


def is_short(requantization: Requantization, sums: Sums) -> bool:
    """Whether the few instructions will do; the arguments are those of `plan_scaling`."""
    return _short(requantization, sums.bounds)[2]


def _short(
    requantization: Requantization, bounds: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int8], bool]:
    """Multipliers and shifts of all channels, and whether the few instructions will do."""
    channels = len(bounds)
    multipliers = np.broadcast_to(requantization.multipliers, channels)
    right = -np.broadcast_to(requantization.shifts, channels)
    right = np.where(multipliers == 0, 1, right)  # 0 however it is shifted
    short = bool(
        requantization.rounding is not Rounding.EVEN
        and np.all(right >= 1)
        and np.all(right <= _GREATEST_SHIFT)
        and np.all(bounds < _SUM_LIMIT)
    )
    if short and requantization.rounding is Rounding.SINGLE:
        factors = [
            factors_of_2(int(multiplier)) + int(bound).bit_length()
            for multiplier, bound in zip(multipliers, bounds, strict=True)
        ]
        short = bool(np.all(np.array(factors) < 30 + right))
    shifts = right if short else np.broadcast_to(requantization.shifts, channels)
    return np.array(multipliers, np.int32), np.array(shifts, np.int8), short
