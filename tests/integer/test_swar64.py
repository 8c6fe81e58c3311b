"""What only kernels with two sums in a word do: long sums, and channels left over from eights."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from pytest_microtvm.compiler.quantized.kernels import generate
from pytest_microtvm.compiler.quantized.specs import FullyConnected, Requantization, Rounding
from tests.integer.cases import expected
from tests.integer.programs import Check, wrong_bytes_on_host

SANITIZED = ("gcc", "-std=c99", "-fsanitize=undefined", "-fno-sanitize-recover=all")
HEADER = "tvmgen_integer_swar.h"
MOST_TAPS = (1 << 31) // (128 * 127 + 128 * 255)
"""What a sum begins with and all products, each as far from 0 as can be, fill the lower half."""


def layer(taps: int, channels: int, rows: int = 1) -> FullyConnected:
    """Sums as large as can be, those of two channels beside each other of different signs."""
    weights = np.zeros((channels, taps), np.int8)
    weights[0::2], weights[1::2] = -128, 127
    shift = -int(taps).bit_length()
    return FullyConnected(
        rows=rows,
        weights=weights,
        weights_zero_point=0,
        bias=np.arange(channels, dtype=np.int32) * 1000,
        input_zero_point=3,
        requantization=Requantization(
            np.array([1 << 30], np.int32), np.array([shift - 7]), Rounding.DOUBLE, 7, -128, 127
        ),
    )


def test_sums_do_not_reach_into_each_other(tmp_path: Path):
    layers = [layer(9, channels, rows=4) for channels in (1, 2, 3, 4, 7, 8, 14, 21)]
    checks = []
    for spec in [layer(MOST_TAPS, 3), *layers]:
        for value in (-128, 127):
            values = np.full((spec.rows, spec.weights.shape[1]), value, np.int8)
            kernel = generate(spec, "swar64")
            assert HEADER in kernel.headers
            checks.append(Check(kernel, values, expected(spec, values)))
    assert wrong_bytes_on_host(checks, tmp_path, SANITIZED) == [0] * len(checks)


def test_sums_that_could_do_so_are_left_to_the_plain_kernels():
    assert HEADER not in generate(layer(MOST_TAPS + 1, 2), "swar64").headers
