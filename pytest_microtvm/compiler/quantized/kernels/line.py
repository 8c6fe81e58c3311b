"""Scaling by one multiplication and one shift, the same for all channels.

What a requantization makes of a sum is a staircase: of each output there is a least sum that gives
it. Rounding moves the steps a little, but where the sums that are rounded otherwise than the rest
are clamped (the negative ones, by a fused ReLU), or where all are rounded alike, a straight line
goes between all steps and the sums before them:

    output = ((((sum << left) + start) * multiplier >> 32) + offset) >> right

`left` gives the start of the line more bits than the sum has. So the line's start may take in bias,
zero points and rounding (or an offset the zero point, where the start would be too large), and its
multiplier the shift that each channel has of its own. Whether a
line gives the same outputs is decided by all steps of a channel that its sums can reach: two
staircases are the same when their steps are.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pytest_microtvm.compiler.quantized.kernels.accumulators import Sums
from pytest_microtvm.compiler.quantized.specs import Requantization, Rounding

Int64Array = npt.NDArray[np.int64]

_MOST_LEFT = 12
_LEAST_LEFT = 8  # what sums of two channels that share words are shifted by anyway
_MOST_RIGHT = 22  # outputs times 2**(32 + right) fit 63 bits
_COARSE = 3
_NEAR = 3
_SLOPES = (0, *(sign * step for step in range(1, 41) for sign in (1, -1)))
"""Multipliers that are tried beside the nearest one, in steps of 2**-28 of it."""


@dataclass(frozen=True)
class Line:
    """How sums become outputs.

    Args:
        starts: int32 of each channel, what its sum starts with included.
        multipliers: int32 of each channel.
        left: Bits that sums are shifted by to the left.
        right: Bits that the upper half of the product is shifted by to the right.
        offset: What is added to that half before.
    """

    starts: npt.NDArray[np.int32]
    multipliers: npt.NDArray[np.int32]
    left: int
    right: int
    offset: int


@dataclass(frozen=True)
class _Shape:
    """What is the same for all channels of a line; see `Line`."""

    left: int
    right: int
    offset: int

    @property
    def level(self) -> int:
        """What the product grows by from an output to the next."""
        return 1 << (32 + self.right)


@dataclass(frozen=True)
class _Steps:
    """The staircases of some channels.

    Args:
        outputs: All that are greater than the least one, in order; shape (1, outputs).
        sums: The least sum that gives each of them or more; shape (channels, outputs).
        bounds: The greatest magnitude of a channel's sums; shape (channels, 1).
    """

    outputs: Int64Array
    sums: Int64Array
    bounds: Int64Array

    def of(self, channels: npt.NDArray[np.intp]) -> _Steps:
        return _Steps(self.outputs, self.sums[channels], self.bounds[channels])

    def starts(self, multipliers: Int64Array, shape: _Shape) -> tuple[Int64Array, Int64Array]:
        """The least and the greatest start of a line that takes all steps, by channel.

        Where there is none, the least one is the greater.
        """
        level = shape.level * self.outputs - (shape.offset << 32)
        needed = -(-level // multipliers[:, None])
        # At a step the line has reached the output, and at the sum before it, it has not.
        last = np.clip(self.sums, -self.bounds, None) << shape.left
        before = np.clip(self.sums - 1, None, self.bounds) << shape.left
        at_least = np.where(self.sums <= self.bounds, needed - last, -(1 << 62))
        at_most = np.where(self.sums > -self.bounds, needed - before - 1, 1 << 62)
        return at_least.max(axis=1), at_most.min(axis=1)


def find_line(
    requantization: Requantization, sums: Sums, most_rounding: int | None = None
) -> Line | None:
    """A line that gives the same outputs; None where none was found.

    Args:
        requantization: To 8 bits.
        sums: What is scaled.
        most_rounding: For instructions that round to nearest where they shift, the most bits that
            they do. The offset has that half of an output then, and `left` and `right` may be any
            numbers from 1 on.
    """
    bounds = sums.bounds
    channels = len(bounds)
    multipliers = np.broadcast_to(requantization.multipliers, channels).astype(np.int64)
    shifts = np.broadcast_to(requantization.shifts, channels).astype(np.int64)
    if not _may_have(requantization, multipliers, shifts):
        return None
    reals = np.ldexp(multipliers.astype(np.float64), shifts - 31)
    steps = _steps(requantization, multipliers, shifts, reals, bounds)
    if steps is None:
        return None
    zero_point = requantization.zero_point
    for shape in _shapes(reals, bounds, zero_point, most_rounding):
        found = _fitted(steps, reals, shape, zero_point)
        if found is None:
            continue
        # The sums without their start wrap around; with it, nothing does.
        starts = (found[0] + (sums.start << shape.left)).astype(np.uint64).astype(np.uint32)
        steepness = found[1].astype(np.int32)
        return Line(starts.view(np.int32), steepness, shape.left, shape.right, shape.offset)
    return None


def _shapes(
    reals: npt.NDArray[np.float64],
    bounds: Int64Array,
    zero_point: int,
    most_rounding: int | None,
) -> Iterator[_Shape]:
    """What a line may look like, the best first; the arguments are those of `find_line`."""
    further = math.floor(-1 - math.log2(reals.max() * 1.001))  # `right` less `left`
    # With the zero point in its start, a line has to hold what is between an output of 0 and that.
    for reach, has_offset in ((bounds + 260 / reals, False), (bounds + 4 / reals, True)):
        left = min(_MOST_LEFT, 30 - int(reach.max()).bit_length())
        if most_rounding is None:
            # Layers whose shifts are the same may share their code.
            left -= left % 2
            right, least_left = min(_MOST_RIGHT, left + further), _LEAST_LEFT
            right -= right % _COARSE
        else:
            left = min(left, most_rounding - further)
            right, least_left = left + further, 1
        if left < least_left or right < 1:
            continue
        offset = 0 if most_rounding is None else 1 << (right - 1)
        if has_offset:
            offset = (2 * zero_point + 1) * (1 << (right - 1))
        yield _Shape(left, right, offset)


def _may_have(requantization: Requantization, multipliers: Int64Array, shifts: Int64Array) -> bool:
    rounding = requantization.rounding
    # Rounded twice, negative sums are a part of a step lower than the line.
    is_clamped = requantization.minimum >= requantization.zero_point
    is_alike = rounding in (Rounding.SINGLE, Rounding.EVEN)
    is_normal = bool((multipliers > 0).all() and (shifts <= -1).all() and (shifts >= -30).all())
    return is_normal and (is_alike or (rounding is Rounding.DOUBLE and is_clamped))


def _steps(
    requantization: Requantization,
    multipliers: Int64Array,
    shifts: Int64Array,
    reals: npt.NDArray[np.float64],
    bounds: Int64Array,
) -> _Steps | None:
    """The staircases; None where they are not where they are looked for."""
    low, high = requantization.minimum, requantization.maximum
    if low >= high:
        return None
    outputs = np.arange(low + 1, high + 1, dtype=np.int64)[None, :]
    middle = np.floor((outputs - requantization.zero_point - 0.5) / reals[:, None])
    around = middle.astype(np.int64)[..., None] + np.arange(-_NEAR, _NEAR + 1)
    limits = bounds[:, None, None] + 1
    around = np.clip(around, -limits, limits)
    values = _scaled(
        requantization.rounding, around, multipliers[:, None, None], shifts[:, None, None]
    )
    reached = values + requantization.zero_point >= outputs[..., None]
    first = reached.argmax(axis=2)[..., None]
    sums = np.take_along_axis(around, first, axis=2)[..., 0]
    is_reached = np.take_along_axis(reached, first, axis=2)[..., 0]
    beyond = bounds[:, None]
    # Beyond what sums can be, it does not matter where a step is.
    is_found = (is_reached & (first[..., 0] > 0)) | (is_reached & (sums <= -beyond))
    is_found |= ~is_reached & (around[..., -1] > beyond)
    if not is_found.all():
        return None
    return _Steps(outputs, np.where(is_reached, sums, beyond + 1), beyond)


def _scaled(
    rounding: Rounding, sums: Int64Array, multipliers: Int64Array, shifts: Int64Array
) -> Int64Array:
    """Sums as outputs without their zero point, as `arithmetic` has it, for shifts below 0."""
    result: Int64Array
    if rounding is Rounding.DOUBLE:
        high = (sums * multipliers + (1 << 30)) >> 31
        mask = (np.int64(1) << -shifts) - 1
        result = (high >> -shifts) + ((high & mask) > (mask >> 1) + (high < 0))
        return result
    half = np.int64(1) << (30 - shifts)
    product = sums * multipliers
    if rounding is Rounding.SINGLE:
        result = (product + half - (sums < 0)) >> (31 - shifts)
        return result
    raised = product + half
    rounded = raised >> (31 - shifts)
    is_tie = (raised & (2 * half - 1)) == 0
    result = rounded - (is_tie & (rounded & 1 == 1))
    return result


def _fitted(
    steps: _Steps, reals: npt.NDArray[np.float64], shape: _Shape, zero_point: int
) -> tuple[Int64Array, Int64Array] | None:
    """Starts and multipliers; None where a channel has none."""
    nearest = np.rint(np.ldexp(reals, 32 + shape.right - shape.left)).astype(np.int64)
    is_common = bool((nearest == nearest[0]).all())
    channels = len(nearest)
    starts, multipliers = np.zeros(channels, np.int64), nearest.copy()
    missing = np.arange(channels)
    middle = shape.level * zero_point + shape.level // 2 - (shape.offset << 32)
    for slope in _SLOPES:
        tried = nearest[missing] + (nearest[missing] * slope >> 28)
        least, greatest = steps.of(missing).starts(tried, shape)
        chosen = np.clip(middle // tried, least, greatest)
        ends = np.abs(chosen) + (steps.bounds[missing, 0] << shape.left)
        fits = (least <= greatest) & (ends < 1 << 31) & (tried < 1 << 31)
        if is_common:
            # One multiplier for all channels is stored nowhere.
            fits[:] = fits.all()
        starts[missing[fits]] = chosen[fits]
        multipliers[missing[fits]] = tried[fits]
        missing = missing[~fits]
        if not missing.size:
            return starts, multipliers
    return None
