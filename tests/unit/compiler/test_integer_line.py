"""Scaling by one multiplication and one shift, in place of what the requantization says."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from pytest_microtvm.compiler.quantized.arithmetic import apply, quantize_multipliers
from pytest_microtvm.compiler.quantized.kernels.accumulators import Sums
from pytest_microtvm.compiler.quantized.kernels.line import Line, find_line
from pytest_microtvm.compiler.quantized.specs import Requantization, Rounding

CHANNELS = 5
BOUNDS = np.array([30, 700, 5000, 20000, 60000], np.int64)


def requantization(
    rng: np.random.Generator, rounding: Rounding, zero_point: int, *, one: bool = False
) -> Requantization:
    """Of sums that reach a few outputs, or many, or are clamped."""
    reals = 2.0 ** rng.uniform(-11, -4, 1 if one else CHANNELS)
    multipliers, shifts = quantize_multipliers(reals)
    return Requantization(multipliers, shifts, rounding, zero_point, zero_point, 127)


def outputs(line: Line, sums: np.ndarray, limits: tuple[int, int]) -> np.ndarray:
    """As the kernels compute them: in 32 bits, the first sum without its start."""
    total = (sums << line.left) + line.starts
    total = total.astype(np.uint64).astype(np.uint32).view(np.int32).astype(np.int64)
    high = (total * line.multipliers >> 32) + line.offset
    return np.clip(high >> line.right, *limits)


def all_sums() -> np.ndarray:
    """Every sum that a channel can have, a column for each."""
    span = np.arange(-BOUNDS.max(), BOUNDS.max() + 1)[:, None]
    return np.clip(span, -BOUNDS, BOUNDS)


@pytest.mark.parametrize("one", [False, True], ids=["by channel", "one factor"])
@pytest.mark.parametrize("zero_point", [-128, -3, 60])
@pytest.mark.parametrize("rounding", [Rounding.DOUBLE, Rounding.SINGLE, Rounding.EVEN])
@pytest.mark.parametrize("most_rounding", [None, 15])
def test_every_sum_gives_the_same_output(
    most_rounding: int | None, rounding: Rounding, zero_point: int, one: bool
):
    rng = np.random.default_rng([zero_point + 128, one])
    for _ in range(3):
        wanted = requantization(rng, rounding, zero_point, one=one)
        start = rng.integers(-(1 << 14), 1 << 14, CHANNELS)
        line = find_line(wanted, Sums(start, BOUNDS), most_rounding)
        assert line is not None
        half = 1 << (line.right - 1)
        if most_rounding is not None:
            assert line.right <= most_rounding
            assert line.offset in (half, (2 * zero_point + 1) * half)
        sums = all_sums()
        expected = apply(sums, wanted)
        assert np.array_equal(outputs(line, sums - start, (zero_point, 127)), expected)
        assert len(set(line.multipliers.tolist())) == (1 if one else CHANNELS)


def test_large_sums_have_the_zero_point_beside_their_start():
    """A channel whose outputs are nearly all the same has a start beyond int32_t else."""
    reals = np.full(CHANNELS, 0.01)
    reals[2] = 1e-5
    multipliers, shifts = quantize_multipliers(reals)
    wanted = Requantization(multipliers, shifts, Rounding.DOUBLE, -128, -128, 127)
    line = find_line(wanted, Sums(np.zeros(CHANNELS, np.int64), BOUNDS))
    assert line is not None
    assert line.offset != 0
    assert np.array_equal(outputs(line, all_sums(), (-128, 127)), apply(all_sums(), wanted))


def test_what_is_rounded_twice_on_both_sides_of_zero_is_no_line():
    wanted = requantization(np.random.default_rng(0), Rounding.DOUBLE, 0)
    start = np.zeros(CHANNELS, np.int64)
    assert find_line(wanted, Sums(start, BOUNDS)) is not None
    assert find_line(replace(wanted, minimum=-128), Sums(start, BOUNDS)) is None


def test_factors_that_are_none_and_sums_that_are_too_large_have_no_line():
    wanted = requantization(np.random.default_rng(0), Rounding.DOUBLE, 0)
    start = np.zeros(CHANNELS, np.int64)
    assert find_line(wanted, Sums(start, BOUNDS << 10)) is None
    nothing = wanted.multipliers.copy()
    nothing[1] = 0
    assert find_line(replace(wanted, multipliers=nothing), Sums(start, BOUNDS)) is None
    grows = wanted.shifts.copy()
    grows[1] = 1
    assert find_line(replace(wanted, shifts=grows), Sums(start, BOUNDS)) is None
    assert find_line(replace(wanted, maximum=0), Sums(start, BOUNDS)) is None
