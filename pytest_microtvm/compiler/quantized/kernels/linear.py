"""Sums of two elements of 8 bits with one rounding in place of TFLite's three.

TFLite rounds each side, then the sum. But all of it is a function of 65,536 pairs of values, so
that each can be compared: where `clamp((a * x + b * y + c) >> shift)` gives the same for all, it is
taken.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pytest_microtvm.compiler.quantized.arithmetic import LIMITS, apply, even_shift, requantize
from pytest_microtvm.compiler.quantized.specs import Arithmetic, Operand, Rounding

_CHANGES = (0.0, *(sign * 2.0**-bits for bits in (30, 27, 25, 23, 21, 19) for sign in (1, -1)))
"""How much a factor may differ, relatively: halves are rounded away from zero by a little more."""

_NEAR = range(-3, 4)
_OFFSETS = sorted(itertools.product(_NEAR, repeat=2), key=lambda pair: sum(map(abs, pair)))
"""How much factors of few bits may differ."""


@dataclass(frozen=True)
class Linear:
    """`(factors[0] * x + factors[1] * y + constant) >> shift`.

    Args:
        factors: int32.
        constant: int64.
        shift: 0 to 62.
        is_narrow: Whether int32_t holds the sum, and the constant.
    """

    factors: tuple[int, int]
    constant: int
    shift: int
    is_narrow: bool = False

    def declarations(self, factors: str) -> str:
        """What comes before the loops, for an array with the factors.

        They are no numbers in the code: of those, compilers make products of 64 by 64 bits.
        """
        return (
            f"const int32_t left_factor = {factors}[0];\n"
            f"const int32_t right_factor = {factors}[1];\n"
        )

    def text(self, left: str, right: str) -> str:
        """The expression for elements given as expressions, of type int32_t."""
        if self.is_narrow:
            first = f"{self.constant} + {left} * left_factor"
            return f"({first} + {right} * right_factor) >> {self.shift}"
        products = f"(int64_t){left} * left_factor + (int64_t){right} * right_factor"
        return f"(int32_t)((INT64_C({self.constant}) + {products}) >> {self.shift})"


@dataclass(frozen=True)
class Sums:
    """What a sum or difference of 8 bits makes of all pairs of values.

    Args:
        values: Those that an element may have.
        sums: Of all pairs, left by rows, clamped to `limits`.
        slopes: How much a sum changes with each side, roughly.
        limits: Least and greatest sum.
    """

    values: npt.NDArray[np.int64]
    sums: npt.NDArray[Any]
    slopes: tuple[float, float]
    limits: tuple[int, int]


def is_even_sum(spec: Arithmetic) -> bool:
    """Whether it is a sum or difference that is rounded to even."""
    return spec.kind != "multiply" and spec.requantization.rounding is Rounding.EVEN


def sums_of(spec: Arithmetic) -> Sums:
    """What a sum or difference over 8 bits makes, as TFLite has it."""
    low, high = LIMITS[spec.dtype]
    values = np.arange(low, high + 1, dtype=np.int64)
    sign = -1 if spec.kind == "subtract" else 1
    requantization = spec.requantization
    limits = requantization.minimum, requantization.maximum
    if is_even_sum(spec):
        left, right = (
            (values - operand.zero_point) * operand.multiplier for operand in spec.operands
        )
        sums = even_shift(left[:, None] + sign * right[None, :], spec.left_shift)
        sums = np.clip(sums + requantization.zero_point, *limits)
        slopes = [math.ldexp(operand.multiplier, -spec.left_shift) for operand in spec.operands]
    else:
        left, right = (
            requantize((values - operand.zero_point) << spec.left_shift, *_factor(operand))
            for operand in spec.operands
        )
        sums = apply((left[:, None] + sign * right[None, :])[..., None], requantization)[..., 0]
        # Each factor is a fraction of 31 bits.
        bits = spec.left_shift - 62 + int(requantization.shifts[0])
        outer = int(requantization.multipliers[0])
        slopes = [
            math.ldexp(operand.multiplier * outer, bits + operand.shift)
            for operand in spec.operands
        ]
    return Sums(values, sums, (slopes[0], sign * slopes[1]), limits)


def _factor(operand: Operand) -> tuple[int, int]:
    return operand.multiplier, operand.shift


def find_linear(sums: Sums) -> Linear | None:
    """A linear form that gives the sums, once it is clamped; None when there is none nearby."""
    values, slopes, limits = sums.values, sums.slopes, sums.limits
    steepest = max(map(abs, slopes))
    # Factors of 31 bits; a sum of 64 bits has room for the products.
    shift = 30 - math.floor(math.log2(steepest)) if steepest else -1
    if not 0 <= shift <= 48:
        return None
    wanted = sums.sums.astype(np.int64)
    narrow = _find_narrow(values, wanted, slopes, limits)
    if narrow is not None:
        return narrow
    changes = sorted(itertools.product(_CHANGES, repeat=2), key=lambda pair: sum(map(abs, pair)))
    for change in changes:
        left, right = (
            round(slope * (1 + part) * 2**shift) for slope, part in zip(slopes, change, strict=True)
        )
        if max(abs(left), abs(right)) < 1 << 31:
            total = left * values[:, None] + right * values[None, :]
            constant = _constant(total, wanted, shift, limits)
            if constant is not None:
                return Linear((left, right), constant, shift)
    return None


def _find_narrow(
    values: npt.NDArray[np.int64],
    wanted: npt.NDArray[np.int64],
    slopes: tuple[float, float],
    limits: tuple[int, int],
) -> Linear | None:
    """A form whose sums fit 32 bits; the arguments are those of `find_linear`."""
    reach = sum(map(abs, slopes)) * float(np.abs(values).max()) + max(map(abs, limits)) + 1
    shift = 30 - math.ceil(math.log2(reach))
    for offset in _OFFSETS if 0 < shift <= 30 else ():
        left, right = (
            round(slope * 2**shift) + part for slope, part in zip(slopes, offset, strict=True)
        )
        total = left * values[:, None] + right * values[None, :]
        constant = _constant(total, wanted, shift, limits)
        if constant is not None and abs(constant) + int(np.abs(total).max()) < 1 << 31:
            return Linear((left, right), constant, shift, is_narrow=True)
    return None


def _constant(
    total: npt.NDArray[np.int64], wanted: npt.NDArray[np.int64], shift: int, limits: tuple[int, int]
) -> int | None:
    """What to add so that the shifted total is what is wanted; None when nothing does."""
    low, high = limits
    scaled = wanted << shift
    above = (scaled - total)[wanted > low]
    below = (scaled + (1 << shift) - 1 - total)[wanted < high]
    if not above.size or not below.size:
        return None
    least, greatest = int(above.max()), int(below.min())
    return (least + greatest) // 2 if least <= greatest else None
