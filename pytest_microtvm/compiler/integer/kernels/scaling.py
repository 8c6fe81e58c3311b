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
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pytest_microtvm.compiler.integer.specs import Requantization, Rounding

_GREATEST_SHIFT = 22  # the offset stays below 2**30
_SUM_LIMIT = 1 << 30


@dataclass(frozen=True)
class Scaling:
    """How a kernel scales its accumulators.

    Args:
        requantization: What is to be computed.
        multipliers: int32, one for each channel.
        shifts: int8, one for each channel: bits to the right when short, TFLite's else.
        short: Whether the few instructions will do.
    """

    requantization: Requantization
    multipliers: npt.NDArray[np.int32]
    shifts: npt.NDArray[np.int8]
    short: bool

    @property
    def common_shift(self) -> int | None:
        """The shift, when all channels have the same."""
        return int(self.shifts[0]) if np.all(self.shifts == self.shifts[0]) else None

    def shift(self, channel: str) -> str:
        """C: the shift of a channel, read from an array `shifts` unless all are the same."""
        return f"shifts[{channel}]" if self.common_shift is None else str(self.common_shift)

    def offset(self, shift: str) -> str:
        """C: what goes into the multiplication when `short`, by a shift in C."""
        factor = 2 * self.requantization.zero_point + 1
        if self.common_shift is not None:
            return str(factor * (1 << (self.common_shift - 1)))
        return f"{factor} * (1 << ({shift} - 1))"

    def output(self, total: str, multiplier: str, shift: str, offset: str) -> str:
        """C: the output, int32 in the range of int8.

        Args:
            total: A variable with twice the sum when `short`, else with the sum.
            multiplier: The channel's.
            shift: The channel's, from `shift`.
            offset: The channel's, from `offset`.
        """
        requantization = self.requantization
        single = requantization.rounding is Rounding.SINGLE
        if not self.short:
            name = "microtvm_requantize_single" if single else "microtvm_requantize"
            value = f"{name}({total}, {multiplier}, {shift}) + {requantization.zero_point}"
            return f"microtvm_clamp({value}, {requantization.minimum}, {requantization.maximum})"
        if single:
            value = f"microtvm_high({total}, {multiplier}, {offset})"
        else:
            value = f"microtvm_high_rounded({total}, {multiplier}, {offset}) + ({total} >> 31)"
        result = f"microtvm_saturate8(({value}) >> {shift})"
        if (requantization.minimum, requantization.maximum) != (-128, 127):
            result = f"microtvm_clamp({result}, {requantization.minimum}, {requantization.maximum})"
        return result


def plan_scaling(requantization: Requantization, bounds: npt.NDArray[np.int64]) -> Scaling:
    """Choose how to scale.

    Args:
        requantization: To int8.
        bounds: By channel, the greatest magnitude that the accumulator can have.
    """
    channels = len(bounds)
    multipliers = np.broadcast_to(requantization.multipliers, channels)
    right = -np.broadcast_to(requantization.shifts, channels)
    right = np.where(multipliers == 0, 1, right)  # 0 however it is shifted
    short = bool(
        np.all(right >= 1) and np.all(right <= _GREATEST_SHIFT) and np.all(bounds < _SUM_LIMIT)
    )
    if short and requantization.rounding is Rounding.SINGLE:
        factors_of_2 = [
            _factors_of_2(int(multiplier)) + int(bound).bit_length()
            for multiplier, bound in zip(multipliers, bounds, strict=True)
        ]
        short = bool(np.all(np.array(factors_of_2) < 30 + right))
    shifts = right if short else np.broadcast_to(requantization.shifts, channels)
    return Scaling(
        requantization, np.array(multipliers, np.int32), np.array(shifts, np.int8), short
    )


def _factors_of_2(number: int) -> int:
    return (number & -number).bit_length() - 1 if number else 0
