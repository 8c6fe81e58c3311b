"""Where values can lie: the proof that what kernels compute fits the C types that they use."""

from __future__ import annotations

from dataclasses import dataclass

from pytest_microtvm.compiler.quantized.arithmetic import LIMITS


@dataclass(frozen=True)
class Interval:
    """All integers from `low` to `high`."""

    low: int
    high: int

    def __add__(self, other: Interval) -> Interval:
        return Interval(self.low + other.low, self.high + other.high)

    def __sub__(self, other: Interval) -> Interval:
        return Interval(self.low - other.high, self.high - other.low)

    def __mul__(self, other: Interval) -> Interval:
        ends = [a * b for a in (self.low, self.high) for b in (other.low, other.high)]
        return Interval(min(ends), max(ends))

    @property
    def reach(self) -> int:
        """How far from 0 a value can be."""
        return max(abs(self.low), abs(self.high))

    @property
    def fits_int32(self) -> bool:
        """Whether int32_t holds all of them."""
        return self.low >= -(1 << 31) and self.high < 1 << 31

    @property
    def c_type(self) -> str:
        """The C type that holds all of them: int32_t where it does."""
        return "int32_t" if self.fits_int32 else "int64_t"

    def summed(self, count: int) -> Interval:
        """Sums of up to `count` values, the sum of none included."""
        return Interval(min(0, count * self.low), max(0, count * self.high))


def values_of(dtype: str, zero_point: int = 0) -> Interval:
    """What is left of the values of an element type when the zero point is taken from them."""
    low, high = LIMITS[dtype]
    return Interval(low - zero_point, high - zero_point)
