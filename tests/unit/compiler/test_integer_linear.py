"""Sums with one rounding in place of three."""

from __future__ import annotations

import numpy as np
import pytest

from pytest_microtvm.compiler.quantized.kernels.linear import Sums, find_linear

VALUES = np.arange(-128, 128, dtype=np.int64)
LEFT, RIGHT = VALUES[:, None], VALUES[None, :]
LIMITS = (-128, 127)


def evaluated(form, limits=LIMITS):
    total = form.factors[0] * LEFT + form.factors[1] * RIGHT + form.constant
    return np.clip(total >> form.shift, *limits)


@pytest.mark.parametrize("slopes", [(0.5, 0.5), (0.375, -0.75), (1.0, 1.0), (2.5, 0.015625)])
def test_halves_away_from_zero_are_met(slopes):
    real = slopes[0] * LEFT + slopes[1] * RIGHT
    sums = np.clip(np.trunc(real + np.copysign(0.5, real)), *LIMITS)
    form = find_linear(Sums(VALUES, sums, slopes, LIMITS))
    assert form is not None
    assert np.array_equal(evaluated(form), sums)


def test_what_is_not_linear_has_no_form():
    sums = np.clip(np.round(0.5 * LEFT + 0.5 * RIGHT), *LIMITS)
    sums[7, 9] += 1
    assert find_linear(Sums(VALUES, sums, (0.5, 0.5), LIMITS)) is None


def test_a_sum_that_never_changes_has_no_form():
    assert find_linear(Sums(VALUES, np.zeros((256, 256)), (0.0, 0.0), LIMITS)) is None
