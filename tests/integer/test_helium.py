"""What only Helium's kernels do: vectors that are full, sums apart, starts that are wide."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pytest_microtvm.boards import load_boards
from pytest_microtvm.compiler.program import Overlap
from pytest_microtvm.compiler.quantized.arithmetic import apply, quantize_multiplier, requantize
from pytest_microtvm.compiler.quantized.kernels import generate
from pytest_microtvm.compiler.quantized.specs import (
    Arithmetic,
    Conv2D,
    DepthwiseConv2D,
    KernelSource,
    Operand,
    Pool,
    Requantization,
    Rounding,
    Window,
)
from tests.contract.running import need_tools
from tests.integer.cases import Case, Int8Array, expected, random_input
from tests.integer.programs import Check, wrong_bytes_on_board, wrong_bytes_on_host

HEADER = "tvmgen_integer_helium.h"
SANITIZED = ("gcc", "-std=c99", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")

CONVOLUTIONS = [
    # (height, width, channels), (kernel height, width), strides, padding, output channels
    ((5, 5, 64), (1, 1), (1, 1), (0, 0), 64),
    ((3, 3, 130), (1, 1), (1, 1), (0, 0), 256),
    ((4, 5, 144), (1, 1), (2, 2), (0, 0), 40),
    ((9, 1, 24), (1, 1), (1, 1), (0, 0), 17),
    ((9, 7, 16), (3, 3), (1, 1), (1, 1), 16),
    ((8, 8, 24), (3, 3), (2, 2), (0, 0), 33),
    ((11, 13, 3), (3, 3), (2, 2), (1, 1), 8),
    ((14, 10, 1), (10, 4), (2, 2), (4, 1), 64),
    ((6, 40, 8), (5, 5), (1, 1), (2, 2), 16),
    ((1, 1, 640), (1, 1), (1, 1), (0, 0), 35),
    ((6, 5, 8), (1, 1), (1, 1), (0, 0), 23),
]
DEPTHWISE = [
    ((5, 5, 64), (3, 3), (1, 1), (1, 1)),
    ((1, 9, 40), (3, 3), (1, 1), (1, 1)),
    ((9, 9, 8), (3, 3), (2, 2), (0, 0)),
    ((12, 12, 20), (5, 5), (1, 1), (2, 2)),
    ((6, 6, 17), (4, 2), (2, 1), (1, 0)),
    ((24, 1, 40), (10, 1), (1, 1), (0, 0)),
    ((15, 1, 16), (15, 1), (1, 1), (0, 0)),
    ((1, 33, 18), (1, 20), (1, 1), (0, 9)),
    ((7, 7, 2), (7, 7), (1, 1), (3, 3)),
]


def requantization(random: np.random.Generator, channels: int, taps: int) -> Requantization:
    """Factors for each channel, or one for all; sometimes above one half."""
    count = channels if random.integers(4) else 1
    reals = 2.0**-7.5 / np.sqrt(taps) * random.uniform(0.2, 2, count)
    if random.integers(4) == 0:
        reals[0] = random.uniform(0.4, 3)
    pairs = [quantize_multiplier(float(real)) for real in reals]
    zero_point = int(random.choice([-128, -128, 5, 127]))
    return Requantization(
        multipliers=np.array([multiplier for multiplier, _ in pairs], np.int32),
        shifts=np.array([shift for _, shift in pairs], np.int32),
        rounding=Rounding.DOUBLE,
        zero_point=zero_point,
        minimum=zero_point if random.integers(2) else -128,
        maximum=127 if random.integers(4) else min(127, zero_point + 50),
    )


def spoiled(random: np.random.Generator, case: Case) -> Case:
    """The same, as pruning leaves it: channels without weights and with biases of any size."""
    assert case.bias is not None
    weights, bias = case.weights.copy(), case.bias.copy()
    chosen = random.integers(0, 3, len(bias)) == 0
    bias[chosen] = random.choice([2**30, -(2**30), 2**24, -9_000_000, 77], chosen.sum())
    if random.integers(2):
        weights[(..., chosen) if isinstance(case, DepthwiseConv2D) else chosen] = 0
    return replace(case, weights=weights, bias=bias)


def layers(random: np.random.Generator) -> list[Case]:
    """Every layer of the tables as it is and spoiled."""
    cases: list[Case] = []
    for image, kernel, strides, padding, outputs in CONVOLUTIONS:
        input_shape, output_shape = shapes(image, kernel, strides, padding, outputs)
        weights = random.integers(-127, 128, (outputs, *kernel, image[2])).astype(np.int8)
        cases.append(
            Conv2D(
                input_shape,
                output_shape,
                Window(kernel, strides, (1, 1), padding),
                weights,
                random.integers(-4000, 4000, outputs, np.int32),
                int(random.choice([-128, 0, 127, 9])),
                requantization(random, outputs, weights[0].size),
            )
        )
    for image, kernel, strides, padding in DEPTHWISE:
        channels = image[2]
        input_shape, output_shape = shapes(image, kernel, strides, padding, channels)
        weights = random.integers(-127, 128, (*kernel, channels)).astype(np.int8)
        cases.append(
            DepthwiseConv2D(
                input_shape,
                output_shape,
                Window(kernel, strides, (1, 1), padding),
                weights,
                random.integers(-4000, 4000, channels, np.int32),
                int(random.choice([-128, 0, 127, 9])),
                requantization(random, channels, weights[..., 0].size),
            )
        )
    return [*cases, *(spoiled(random, case) for case in cases)]


def shapes(
    image: tuple[int, int, int],
    kernel: tuple[int, int],
    strides: tuple[int, int],
    padding: tuple[int, int],
    outputs: int,
) -> tuple[tuple[int, int, int, int], tuple[int, int, int, int]]:
    """Of input and output, with as much padding at the end as at the beginning; two images."""
    height, width = (
        (size + 2 * before - taps) // step + 1
        for size, taps, step, before in zip(image[:2], kernel, strides, padding, strict=True)
    )
    return (2, *image), (2, height, width, outputs)


def sum_check(
    random: np.random.Generator, kind: str, shape: tuple[int, ...], simd: str = "helium"
) -> Check:
    """A sum or difference; the kernel finds its second input behind the first."""
    reals = (0.5, random.uniform(0.01, 0.5))
    first, second = (
        Operand(shape, int(random.integers(-128, 128)), *quantize_multiplier(real))
        for real in (reals if random.integers(2) else reals[::-1])
    )
    multiplier, shift = quantize_multiplier(random.uniform(0.5, 3) * 2.0**-19)
    zero_point = int(random.choice([-128, 3]))
    minimum = zero_point if random.integers(2) else -128
    how = Requantization(
        np.array([multiplier], np.int32),
        np.array([shift], np.int32),
        Rounding.DOUBLE,
        zero_point,
        minimum,
        127,
    )
    spec = Arithmetic(kind, shape, (first, second), 20, how)
    values = random.integers(-128, 128, (2, *shape)).astype(np.int8)
    left, right = (
        requantize(
            (side.astype(np.int64) - operand.zero_point) << 20, operand.multiplier, operand.shift
        )
        for side, operand in zip(values, (first, second), strict=True)
    )
    sums = left + right if kind == "add" else left - right
    kernel = generate(spec, simd)
    found = f"  const int8_t *const input1 = input0 + {values[0].size};\n{kernel.body}"
    kernel = replace(kernel, input_dtypes=("int8",), body=found)
    return Check(kernel, values, apply(sums.reshape(-1, 1), how).reshape(shape))


def pool_check(random: np.random.Generator, image: tuple[int, int, int]) -> Check:
    """The mean of an image; ties away from zero."""
    spec = Pool("average", (2, *image), (2, 1, 1, image[2]), Window(image[:2]), -100, 100)
    values = random.integers(-128, 128, (2, *image)).astype(np.int8)
    sums, count = values.astype(np.int64).sum(axis=(1, 2)), image[0] * image[1]
    means = np.sign(sums) * ((np.abs(sums) + count // 2) // count)
    outputs = np.clip(means, -100, 100).astype(np.int8)
    return Check(generate(spec, "helium"), values, outputs)


def all_checks(seed: int) -> list[Check]:
    random = np.random.default_rng(seed)
    checks = []
    for case in layers(random):
        values = random_input(random, case)
        checks.append(Check(generate(case, "helium"), values, expected(case, values)))
    for kind in ("add", "subtract"):
        checks += [sum_check(random, kind, shape) for shape in ((1, 5, 5, 16), (3, 15), (3,))]
    checks += [pool_check(random, image) for image in ((5, 5, 64), (3, 4, 6), (1, 2, 3))]
    return checks


def uses_helium(kernel: KernelSource) -> bool:
    return kernel.headers == (HEADER,)


def test_every_byte_is_right_on_the_host(tmp_path: Path):
    checks = all_checks(2)
    assert all(uses_helium(check.kernel) for check in checks)
    for sequence in (
        *("MICROTVM_LINE16(", "MICROTVM_LINE_BYTES4(", "microtvm_scale_pair("),
        *("microtvm_linear16(", "MICROTVM_LAST2(0,", "MICROTVM_LAST3(0,", "MICROTVM_LAST3(1,"),
    ):
        assert any(sequence in check.kernel.body for check in checks)
    assert wrong_bytes_on_host(checks, tmp_path, SANITIZED) == [0] * len(checks)


@pytest.mark.parametrize("seed", [2, 3])
def test_every_byte_is_right_on_a_board(seed: int, tmp_path: Path):
    board = load_boards()["mps3_an547"]
    need_tools(board)
    checks = all_checks(seed)
    assert wrong_bytes_on_board(checks, tmp_path, board) == [0] * len(checks)


def test_every_byte_is_right_without_optimization(tmp_path: Path):
    """No number that an instruction has in its bits comes from the optimizer."""
    board = load_boards()["mps3_an547"]
    need_tools(board)
    checks = all_checks(2)[1::4]
    for sequence in ("MICROTVM_LINE16(", "MICROTVM_LINE_BYTES4(", "MICROTVM_LAST3("):
        assert any(sequence in check.kernel.body for check in checks)
    assert wrong_bytes_on_board(checks, tmp_path, board, "-O0") == [0] * len(checks)


def test_depthwise_kernels_write_over_what_they_have_read(tmp_path: Path):
    """By rows with all weights in places, for 16 channels after the other, or in place."""
    random = np.random.default_rng(7)
    checks, ways = [], set()
    for image, strides in [
        ((12, 20, 16), (1, 1)),
        ((25, 24, 33), (1, 1)),
        ((30, 25, 40), (2, 1)),
        ((9, 9, 40), (2, 2)),
        ((2, 19, 36), (1, 1)),
        ((17, 1, 50), (1, 1)),
    ]:
        channels = image[2]
        kernel, padding = ((3, 3), (1, 1)) if image[1] > 1 else ((5, 1), (2, 0))
        input_shape, output_shape = shapes(image, kernel, strides, padding, channels)
        weights = random.integers(-127, 128, (*kernel, channels)).astype(np.int8)
        case = DepthwiseConv2D(
            (1, *input_shape[1:]),
            (1, *output_shape[1:]),
            Window(kernel, strides, (1, 1), padding),
            weights,
            random.integers(-4000, 4000, channels, np.int32),
            9,
            requantization(random, channels, weights[..., 0].size),
        )
        kernel_source = generate(case, "helium")
        overlaps = [*kernel_source.overlaps, *(Overlap(n, 0) for n in kernel_source.in_place)]
        ways.add((bool(kernel_source.overlaps), bool(kernel_source.in_place)))
        values = random_input(random, case)
        right = expected(case, values)
        checks += [Check(kernel_source, values, right, overlap) for overlap in overlaps]
    assert ways == {(True, False), (False, False), (False, True)}
    assert wrong_bytes_on_host(checks, tmp_path, SANITIZED) == [0] * len(checks)


def test_weights_are_stored_once_and_channels_take_eight_bytes():
    for case in layers(np.random.default_rng(4))[: len(CONVOLUTIONS)]:
        weights, *others = generate(case, "helium").constants
        assert weights.nbytes == case.weights.size
        places = 16  # of bytes that are scattered, where the input has few channels
        assert sum(other.nbytes for other in others) <= 8 * len(case.weights) + places


def test_products_of_one_factor_have_no_factors_in_memory():
    case = layers(np.random.default_rng(5))[0]
    one = replace(
        case.requantization,
        multipliers=np.array([1 << 30], np.int32),
        shifts=np.array([-8], np.int32),
    )
    kernel = generate(replace(case, requantization=one), "helium")
    assert [constant.nbytes for constant in kernel.constants] == [case.weights.size, 4 * 64]


def test_a_channel_without_weights_gives_its_bias_alone(tmp_path: Path):
    random = np.random.default_rng(6)
    checks: list[Check] = []
    for case in layers(random)[:4]:
        assert isinstance(case, Conv2D)
        assert case.bias is not None
        weights: Int8Array = np.zeros_like(case.weights)
        bias = random.integers(-(2**30), 2**30, len(case.bias), np.int32)
        empty = replace(case, weights=weights, bias=bias)
        values = random_input(random, empty)
        checks.append(Check(generate(empty, "helium"), values, expected(empty, values)))
    assert wrong_bytes_on_host(checks, tmp_path, SANITIZED) == [0] * 4
