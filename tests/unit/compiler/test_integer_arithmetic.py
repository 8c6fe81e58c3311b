"""TFLite's fixed-point numbers: the header of the kernels against its twins in numpy, and both
against what they stand for."""

from __future__ import annotations

import ctypes
import math
import subprocess
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pytest_microtvm.compiler.naming import KERNEL_INCLUDE
from pytest_microtvm.compiler.quantized.arithmetic import (
    high_multiply,
    quantize_multiplier,
    requantize,
    requantize_even,
    requantize_single,
    requantize_wide,
    round_away,
    rounding_shift,
    single_multiplier,
)
from pytest_microtvm.errors import ModelError
from tests.unit.compiler.native import C99, CXX11

_SOURCE = """
#include "tvmgen_integer.h"
int32_t high_multiply(int32_t a, int32_t b);
int32_t high_multiply(int32_t a, int32_t b) { return microtvm_high_multiply(a, b); }
int32_t rounding_shift(int32_t a, int32_t b);
int32_t rounding_shift(int32_t a, int32_t b) { return microtvm_rounding_shift(a, b); }
int32_t requantize(int32_t a, int32_t b, int32_t c);
int32_t requantize(int32_t a, int32_t b, int32_t c) { return microtvm_requantize(a, b, c); }
int32_t requantize_single(int32_t a, int32_t b, int32_t c);
int32_t requantize_single(int32_t a, int32_t b, int32_t c) {
  return microtvm_requantize_single(a, b, c);
}
int32_t requantize_wide(int64_t a, int32_t b, int32_t c);
int32_t requantize_wide(int64_t a, int32_t b, int32_t c) {
  return microtvm_requantize_wide(a, b, c);
}
int32_t requantize_even(int32_t a, int32_t b, int32_t c);
int32_t requantize_even(int32_t a, int32_t b, int32_t c) {
  return microtvm_requantize_even(a, b, c);
}
int32_t requantize_even_wide(int64_t a, int32_t b, int32_t c);
int32_t requantize_even_wide(int64_t a, int32_t b, int32_t c) {
  return microtvm_requantize_even_wide(a, b, c);
}
int32_t even_mean(int64_t a, int32_t b);
int32_t even_mean(int64_t a, int32_t b) { return microtvm_even_mean(a, b); }
int32_t exponential(int32_t a);
int32_t exponential(int32_t a) { return microtvm_exp(a); }
int32_t reciprocal(int32_t a, int32_t *b);
int32_t reciprocal(int32_t a, int32_t *b) { return microtvm_reciprocal(a, b); }
int32_t quantize(float a, float b);
int32_t quantize(float a, float b) { return microtvm_quantize(a, b, 3, -128, 127); }
"""


@pytest.fixture(scope="module")
def header(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    """The header's functions, built for this machine with undefined behavior caught."""
    folder = tmp_path_factory.mktemp("header")
    (folder / "functions.c").write_text(_SOURCE)
    built = folder / "functions.so"
    flags = ["-O1", "-fsanitize=undefined", "-fno-sanitize-recover", "-static-libubsan"]
    command = [*C99, *flags, f"-I{KERNEL_INCLUDE}", "-fPIC", "-shared"]
    _compile([*command, str(folder / "functions.c"), "-lm", "-o", str(built)])
    return ctypes.CDLL(str(built))


def _compile(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr


def test_the_headers_are_cxx(tmp_path: Path):
    for path in KERNEL_INCLUDE.glob("*.h"):
        source = tmp_path / "source.cc"
        source.write_text(f'#include "{path.name}"\n')
        _compile([*CXX11, f"-I{KERNEL_INCLUDE}", "-c", str(source), "-o", str(tmp_path / "o")])


def draw(rng: np.random.Generator, bits: int, count: int = 2000) -> Any:
    """Integers of all sizes up to `bits`, and the least and greatest."""
    sizes = 2.0 ** rng.uniform(0, bits, count)
    values = (rng.uniform(-1, 1, count) * sizes).astype(np.int64)
    values[:4] = [0, -1, -(2**bits), 2**bits - 1]
    return values


def multipliers(rng: np.random.Generator, count: int = 40) -> list[tuple[int, int]]:
    reals = 2.0 ** rng.uniform(-28, 0, count)
    reals[:8] = [1.0, 0.5, 0.25, 2.0**-10, 2.0**-31, 0.75, 1 - 2.0**-31, 0.0]
    return [quantize_multiplier(float(real)) for real in reals]


def test_the_twins_compute_what_the_header_does(header: ctypes.CDLL):
    rng = np.random.default_rng(0)
    for multiplier, shift in multipliers(rng):
        sums = draw(rng, 31)
        if shift > 0:
            # Elsewhere the product with 2**shift leaves int32, which C does not define.
            sums >>= shift
        for name, twin in (("requantize", requantize), ("requantize_single", requantize_single)):
            function = getattr(header, name)
            got = [function(int(value), multiplier, shift) for value in sums]
            np.testing.assert_array_equal(got, twin(sums, multiplier, shift), err_msg=name)
    for exponent in range(32):
        values = draw(rng, 31, 200)
        got = [header.rounding_shift(int(value), exponent) for value in values]
        np.testing.assert_array_equal(got, rounding_shift(values, exponent))
    factors = draw(rng, 31, 200)
    for factor in (1 << 30, (1 << 31) - 1, -(1 << 30), 12345):
        got = [header.high_multiply(int(value), factor) for value in factors]
        np.testing.assert_array_equal(got, high_multiply(factors, factor))


def test_wide_sums_agree_with_their_twin(header: ctypes.CDLL):
    header.requantize_wide.argtypes = [ctypes.c_int64, ctypes.c_int32, ctypes.c_int32]
    rng = np.random.default_rng(1)
    for multiplier, shift in multipliers(rng):
        sums = draw(rng, 40) >> max(0, 10 + shift)
        got = [header.requantize_wide(int(value), multiplier, shift) for value in sums]
        np.testing.assert_array_equal(got, requantize_wide(sums, multiplier, shift))


@pytest.mark.parametrize(("name", "bits"), [("", 31), ("_wide", 46)])
def test_sums_are_rounded_to_the_nearest_with_ties_to_even(
    header: ctypes.CDLL, name: str, bits: int
):
    function = getattr(header, f"requantize_even{name}")
    function.argtypes = [ctypes.c_int64 if name else ctypes.c_int32, ctypes.c_int32, ctypes.c_int32]
    rng = np.random.default_rng(2)
    limit = (1 << 30) - 1
    for multiplier, shift in multipliers(rng):
        sums = draw(rng, bits, 500)
        got = [function(int(value), multiplier, shift) for value in sums]
        factor = Fraction(multiplier, 1) * Fraction(2) ** (shift - 31)
        # Python rounds fractions to even.
        wanted = [max(-limit, min(limit, round(factor * int(value)))) for value in sums]
        assert got == wanted
        np.testing.assert_array_equal(requantize_even(sums, multiplier, shift), wanted)


def test_means_are_rounded_to_the_nearest_with_ties_to_even(header: ctypes.CDLL):
    header.even_mean.argtypes = [ctypes.c_int64, ctypes.c_int32]
    for count in (1, 2, 3, 4, 6, 9, 90_000):
        for total in (*range(-40, 41), -(1 << 31) * count, (1 << 30) * count + 1):
            wanted = round(Fraction(total, count))
            assert header.even_mean(total, count) == wanted


def test_exponentials_and_reciprocals_are_close_to_the_real_ones(header: ctypes.CDLL):
    for value in range(-(16 << 26), 1, 7_654_321):
        exact = math.exp(value / 2**26) * 2**31
        assert header.exponential(value) == pytest.approx(exact, abs=2**9)
    exponent = ctypes.c_int32()
    for value in (1 << 19, (1 << 19) + 1, 3 << 19, 123_456_789, (1 << 31) - 1):
        result = header.reciprocal(value, ctypes.byref(exponent))
        real = result / 2**31 / 2.0**exponent.value
        assert real == pytest.approx(2**19 / value, rel=1e-6)


def test_floats_beyond_the_range_end_at_its_ends(header: ctypes.CDLL):
    header.quantize.argtypes = [ctypes.c_float, ctypes.c_float]
    found = [header.quantize(value, 0.5) for value in (1e30, -1e30, math.inf, -math.inf)]
    assert found == [127, -128, 127, -128]
    assert [header.quantize(value, 0.5) for value in (0.25, -0.25, 0.24, 62.0)] == [4, 2, 3, 127]
    assert -128 <= header.quantize(math.nan, 0.5) <= 127


@pytest.mark.parametrize("real", [0.3, 1.0, 1.7, 2.0**-20, 1e-9, 1 - 2.0**-40])
def test_a_multiplier_stands_for_its_number(real: float):
    multiplier, shift = quantize_multiplier(real)
    assert 1 << 30 <= multiplier < 1 << 31
    stored = Fraction(multiplier) * Fraction(2) ** (shift - 31)
    assert abs(stored / Fraction(real) - 1) <= Fraction(1, 2**31)


def test_the_smallest_multipliers_are_zero():
    assert quantize_multiplier(0.0) == quantize_multiplier(2.0**-33) == (0, 0)


def test_single_rounding_equals_the_rounded_product_of_doubles_at_every_sum():
    rng = np.random.default_rng(2)
    for _ in range(300):
        real = float(2.0 ** rng.uniform(-16, -4))
        if rng.random() < 0.3:
            real = 2.0 ** round(math.log2(real))
        reach = int(200 / real)
        found = single_multiplier(real, -255, 255, reach)
        assert found is not None
        halves = np.arange(-255, 255) + 0.5
        near = np.concatenate([np.floor(halves / real) + offset for offset in (-1, 0, 1)])
        sums = near[np.abs(near) <= reach].astype(np.int64)
        expected = round_away(sums * real)
        np.testing.assert_array_equal(requantize_single(sums, *found), expected)


def test_a_number_no_multiplier_stands_for_is_said_to_be_one():
    # The product is 2e-8 below a half for one sum, and above it for another.
    assert single_multiplier(2.1128260505125675e-05, -241, 14, 11_000_000) is None
    assert single_multiplier(2.1128260505125675e-05, -241, 14, 2_300_000) is not None


def test_a_factor_that_is_shifted_out_of_32_bits_is_refused():
    assert quantize_multiplier(2.0**30 - 1)[1] == 30
    for factor in (2.0**30, 1e30):
        with pytest.raises(ModelError, match=r"are a factor of .* apart"):
            quantize_multiplier(factor)
