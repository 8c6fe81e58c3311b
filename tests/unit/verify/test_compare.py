import sys
from functools import partial

import numpy as np
import pytest

from pytest_microtvm.errors import ConfigError, OutputMismatch
from pytest_microtvm.verify.compare import Tolerance, compare_outputs

TOLERANCE = Tolerance()

int8 = partial(np.array, dtype="int8")
uint8 = partial(np.array, dtype="uint8")
int16 = partial(np.array, dtype="int16")
int64 = partial(np.array, dtype="int64")
float32 = partial(np.array, dtype="float32")


def compare_one(device, reference, tolerance=TOLERANCE):
    device, reference = np.asarray(device), np.asarray(reference)
    return compare_outputs({"out": device}, {"out": reference}, tolerance)


def test_equal_integers_match():
    comparison = compare_one(np.arange(6, dtype="int8"), np.arange(6, dtype="int8"))
    assert (comparison.elements, comparison.mismatched, comparison.max_abs_diff) == (6, 0, 0.0)
    comparison.raise_on_mismatch()


def test_integers_are_exact_whatever_the_tolerance():
    reference = np.zeros((2, 3), "int8")
    device = reference.copy()
    device[1, 2] = 1
    comparison = compare_one(device, reference, Tolerance(rtol=10, atol=10))
    assert comparison.mismatched == 1


def test_the_report_names_position_values_count_and_distance():
    reference = np.zeros((2, 3), "int8")
    device = reference.copy()
    device[0, 1], device[1, 2] = -7, 127
    with pytest.raises(OutputMismatch) as caught:
        compare_one(device, reference).raise_on_mismatch()
    report = str(caught.value)
    assert "2 of 6" in report
    assert "largest difference 127" in report
    assert "[0, 1] device -7, reference 0" in report
    assert "[1, 2] device 127, reference 0" in report


def test_the_report_stays_short():
    comparison = compare_one(np.ones(1000, "int8"), np.zeros(1000, "int8"))
    assert "and 995 more" in comparison.report()
    assert len(comparison.report().splitlines()) < 12


def test_integer_differences_do_not_wrap():
    assert compare_one(int8([127]), int8([-128])).max_abs_diff == 255
    assert compare_one(uint8([0]), uint8([255])).max_abs_diff == 255
    wide = compare_one(int64([2**63 - 1]), int64([-(2**63)]))
    assert wide.max_abs_diff == pytest.approx(2.0**64)


@pytest.mark.parametrize(
    ("device", "mismatched"), [(1.000009, 0), (1.00002, 1), (0.999991, 0), (0.99998, 1)]
)
def test_floats_have_a_relative_tolerance(device, mismatched):
    assert compare_one(float32([device]), float32([1.0])).mismatched == mismatched


@pytest.mark.parametrize(("device", "mismatched"), [(0.9e-6, 0), (1.2e-6, 1)])
def test_floats_have_an_absolute_tolerance(device, mismatched):
    assert compare_one(float32([device]), float32([0.0])).mismatched == mismatched


def test_nan_and_infinity_match_only_themselves():
    special = float32([np.nan, np.inf, -np.inf])
    assert compare_one(special, special, Tolerance(equal_nan=True)).mismatched == 0
    comparison = compare_one(float32([0.0, 1.0, np.inf]), special)
    assert comparison.mismatched == 3
    assert comparison.max_abs_diff == np.inf
    assert compare_one(float32([np.nan]), float32([1.0])).mismatched == 1


def test_two_nans_are_equal_only_when_that_is_asked_for():
    both = float32([np.nan, 1.0, np.nan])
    comparison = compare_one(both, float32([np.nan, 1.0, 2.0]))
    assert (comparison.mismatched, comparison.nan_mismatches) == (2, 1)
    assert "NaN: 2 of the device's elements, 1 of the reference's" in comparison.report()
    assert "microtvm_equal_nan" in comparison.report()
    assert compare_one(both, both, Tolerance(equal_nan=True)).mismatched == 0
    one_sided = compare_one(float32([np.nan]), float32([0.0]), Tolerance(equal_nan=True))
    assert (one_sided.mismatched, one_sided.nan_mismatches) == (1, 0)


@pytest.mark.parametrize("device", [np.inf, -np.inf, np.nan])
def test_no_tolerance_lets_an_infinity_pass(device):
    loose = Tolerance(rtol=sys.float_info.max, atol=sys.float_info.max)
    assert compare_one(float32([device]), float32([5.0]), loose).mismatched == 1


def test_booleans_are_compared():
    assert compare_one(np.array([True, False]), np.array([True, True])).mismatched == 1


def test_an_empty_output_matches():
    assert compare_one(np.zeros((0, 3), "float32"), np.zeros((0, 3), "float32")).elements == 0


def test_several_outputs_add_up():
    device = {"a": int8([1, 2]), "b": float32([0.5])}
    reference = {"a": int8([1, 3]), "b": float32([0.5])}
    comparison = compare_outputs(device, reference, TOLERANCE)
    assert (comparison.elements, comparison.mismatched) == (3, 1)
    assert "output 'a'" in comparison.report()
    assert "output 'b'" not in comparison.report()


@pytest.mark.parametrize(
    "device",
    [
        {"other": int8([1])},
        {"out": int8([[1]])},
        {"out": int16([1])},
        {},
    ],
)
def test_outputs_that_cannot_be_compared_are_a_mismatch(device):
    with pytest.raises(OutputMismatch):
        compare_outputs(device, {"out": int8([1])}, TOLERANCE)


@pytest.mark.parametrize(
    "value",
    [
        *(-1.0, np.inf, -np.inf, np.nan, np.float32("inf"), np.array(np.inf), 10**400),
        *("inf", "1", "x", b"1", None, True, [1.0, 2.0], 1j),
    ],
)
@pytest.mark.parametrize("name", ["rtol", "atol"])
def test_a_tolerance_is_a_finite_number_of_0_or_more(name, value):
    with pytest.raises(ConfigError, match=f"{name} is .*finite number"):
        Tolerance(**{name: value})


def test_whether_nans_are_equal_is_said_by_a_boolean():
    with pytest.raises(ConfigError, match="equal_nan is 'no'"):
        Tolerance(equal_nan="no")  # type: ignore[arg-type]
