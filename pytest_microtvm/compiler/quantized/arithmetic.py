"""TFLite's fixed-point numbers, as the kernels compute them (see `include/tvmgen_integer.h`)."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from pytest_microtvm.compiler.quantized.specs import Requantization, Rounding
from pytest_microtvm.errors import ModelError

Int32Array = npt.NDArray[np.int32]
Int64Array = npt.NDArray[np.int64]

LIMITS = {"int8": (-128, 127), "uint8": (0, 255), "int16": (-32768, 32767)}
"""Least and greatest value of the element types of quantized tensors."""

EVEN_SHIFT = 14
"""The greatest shift of `Rounding.EVEN` for sums that int32_t does not hold."""


def quantize_multiplier(real: float, greatest_shift: int = 30) -> tuple[int, int]:
    """A real factor as `multiplier * 2**(shift - 31)`.

    Args:
        real: Not negative.
        greatest_shift: That the kernel can do.

    Returns:
        The multiplier, 0 or in [2**30, 2**31), and the shift; positive is to the left.

    Raises:
        ModelError: It is too large for 32 bits to be shifted by: TFLite leaves open what comes out.
    """
    if real == 0.0:
        return 0, 0
    fraction, shift = math.frexp(real)
    multiplier = math.floor(fraction * (1 << 31) + 0.5)
    if multiplier == 1 << 31:
        multiplier //= 2
        shift += 1
    if shift > greatest_shift:
        raise ModelError(
            f"the scales of an operator's tensors are a factor of {real:g} apart, and TensorFlow "
            f"Lite defines products below 2**{greatest_shift} alone",
            cure="export the model again, with scales that fit its values",
        )
    # All bits would be shifted out.
    return (0, 0) if shift < -31 else (multiplier, shift)


def is_scale_of_16_bits(scale: float, fixed: float) -> bool:
    """Whether TFLite's kernels take a scale for the one that they fix for outputs of 16 bits.

    Converters write 1 / 32767 or 1 / 65535 where the kernels have 1 / 32768 or 1 / 65536; a
    thousandth is accepted by TensorFlow Lite Micro and LiteRT.
    """
    return abs(scale - fixed) <= 0.001 * fixed


def quantize_multipliers(reals: npt.NDArray[np.float64]) -> tuple[Int32Array, Int32Array]:
    """`quantize_multiplier` of every element: the multipliers and the shifts."""
    pairs = [quantize_multiplier(float(real)) for real in reals]
    return (
        np.array([multiplier for multiplier, _ in pairs], np.int32),
        np.array([shift for _, shift in pairs], np.int32),
    )


def round_away(values: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """Rounded to the nearest integer, ties away from zero."""
    truncated = np.trunc(values)
    away = np.where(np.abs(values - truncated) >= 0.5, np.sign(values), 0.0)
    rounded: npt.NDArray[np.float64] = truncated + away
    return rounded


def high_multiply(a: Int64Array, b: int) -> Int64Array:
    """`a * b / 2**31`, rounded to nearest, ties up; `a` holds values of int32."""
    result: Int64Array = (a * b + (1 << 30)) >> 31
    return result


def rounding_shift(values: Int64Array, exponent: int) -> Int64Array:
    """`values / 2**exponent`, rounded to nearest, ties away from zero."""
    mask = (1 << exponent) - 1
    threshold = (mask >> 1) + (values < 0)
    result: Int64Array = (values >> exponent) + ((values & mask) > threshold)
    return result


def requantize(sums: Int64Array, multiplier: int, shift: int) -> Int64Array:
    """`sums * multiplier * 2**(shift - 31)`, rounded twice (`Rounding.DOUBLE`)."""
    if shift > 0:
        return high_multiply(wrap(sums << shift), multiplier)
    return rounding_shift(high_multiply(sums, multiplier), -shift)


def requantize_single(sums: Int64Array, multiplier: int, shift: int) -> Int64Array:
    """`sums * multiplier * 2**(shift - 31)`, rounded once, ties away from zero."""
    total = 31 - shift
    result: Int64Array = (sums * multiplier + (1 << (total - 1)) - (sums < 0)) >> total
    return result


def requantize_wide(sums: Int64Array, multiplier: int, shift: int) -> Int64Array:
    """The same for sums of 48 bits with a multiplier of 16 bits, ties up (`Rounding.WIDE`)."""
    reduced = (multiplier + (1 << 15)) >> 16 if multiplier < 0x7FFF0000 else 0x7FFF
    total = 15 - shift
    result: Int64Array = (sums * reduced + (1 << (total - 1))) >> total
    return result


def even_shift(values: Int64Array, exponent: int, is_more: Any = False) -> Int64Array:
    """`values / 2**exponent`, rounded to nearest, ties to even, held in 31 bits.

    Args:
        values: Of up to 63 bits.
        exponent: 1 and more.
        is_more: Where a fraction was cut off, so that there is no tie.
    """
    raised = values + (1 << (exponent - 1))
    shifted = raised >> exponent
    is_tie = ((raised & ((1 << exponent) - 1)) == 0) & ~np.asarray(is_more)
    result: Int64Array = np.clip(
        shifted - (is_tie & (shifted & 1 == 1)), 1 - (1 << 30), (1 << 30) - 1
    )
    return result


def requantize_even(sums: Int64Array, multiplier: int, shift: int) -> Int64Array:
    """`sums * multiplier * 2**(shift - 31)`, rounded once, ties to even (`Rounding.EVEN`).

    Args:
        sums: Of up to 48 bits; of 32 where `shift` is above `EVEN_SHIFT`.
        multiplier: Of 31 bits.
        shift: At most 30.
    """
    if shift > EVEN_SHIFT:
        return even_shift(sums * multiplier, 31 - shift)
    low = (sums & 0xFFFF) * multiplier
    high = (sums >> 16) * multiplier + (low >> 16)
    return even_shift(high, 15 - shift, (low & 0xFFFF) != 0)


def factors_of_2(number: int) -> int:
    """How often 2 divides a number; 0 for 0."""
    return (number & -number).bit_length() - 1 if number else 0


def wrap(values: npt.NDArray[Any]) -> Int64Array:
    """What int32 holds of `values`."""
    return values.astype(np.int64).astype(np.int32).astype(np.int64)


def apply(sums: Int64Array, requantization: Requantization) -> npt.NDArray[Any]:
    """Accumulators, channels last, as outputs.

    Args:
        sums: Shape (..., channels).
        requantization: For one or for all channels.
    """
    channels = sums.shape[-1]
    multipliers = np.broadcast_to(requantization.multipliers, (channels,))
    shifts = np.broadcast_to(requantization.shifts, (channels,))
    scaled = np.empty_like(sums)
    for channel in range(channels):
        column = sums[..., channel]
        if requantization.rounding is Rounding.REAL:
            scales = np.broadcast_to(_reals(requantization), (channels,))
            scaled[..., channel] = round_away(column * scales[channel]).astype(np.int64)
            continue
        function = {
            Rounding.DOUBLE: requantize,
            Rounding.SINGLE: requantize_single,
            Rounding.WIDE: requantize_wide,
            Rounding.EVEN: requantize_even,
        }[requantization.rounding]
        scaled[..., channel] = function(column, int(multipliers[channel]), int(shifts[channel]))
    clamped = np.clip(
        scaled + requantization.zero_point, requantization.minimum, requantization.maximum
    )
    return clamped.astype(requantization.dtype)


def _reals(requantization: Requantization) -> npt.NDArray[np.float64]:
    if requantization.reals is None:
        raise AssertionError("real factors are missing")
    return requantization.reals


def single_multiplier(
    real: float, minimum: int, maximum: int, reach: int
) -> tuple[int, int] | None:
    """The factor for `Rounding.SINGLE` that agrees with rounding the product of doubles.

    TFLite rounds `double(sum) * real` for fully connected layers. A multiplier of 31 bits gives the
    same, but for sums whose product is next to halfway between two integers. So the sums at which
    the output steps are compared, and the multiplier moved until all agree.

    Args:
        real: The factor.
        minimum: Least output that is not clamped, the zero point subtracted.
        maximum: Greatest such output.
        reach: No sum is further from 0.

    Returns:
        Multiplier and shift, or None when no multiplier agrees.
    """
    multiplier, shift = quantize_multiplier(real)
    if multiplier == 0:
        return 0, 0
    steps = _steps(real, minimum, maximum)
    steps = steps[np.abs(steps) <= reach]
    for offset in (0, *(sign * step for step in range(1, 9) for sign in (1, -1))):
        candidate = multiplier + offset
        if not 0 < candidate < 1 << 31:
            continue
        at = requantize_single(steps, candidate, shift)
        before = requantize_single(steps - 1, candidate, shift)
        expected = round_away(np.float64(real) * steps).astype(np.int64)
        expected_before = round_away(np.float64(real) * (steps - 1)).astype(np.int64)
        if np.array_equal(at, expected) and np.array_equal(before, expected_before):
            return candidate, shift
    return None


def _steps(real: float, minimum: int, maximum: int) -> Int64Array:
    """For each output but the least, the first sum that gives it."""
    outputs = np.arange(minimum + 1, maximum + 1, dtype=np.int64)
    guesses = np.floor((outputs - 0.5) / real).astype(np.float64)
    around = guesses[:, None] + np.arange(-2, 4)
    reached = round_away(around * real) >= outputs[:, None]
    found = reached.any(axis=1)
    steps = np.take_along_axis(around, reached.argmax(axis=1)[:, None], axis=1)[found, 0]
    return steps.astype(np.int64)
