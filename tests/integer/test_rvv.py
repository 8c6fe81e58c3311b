"""What only RISC-V's vectors do: be of any length, and scale sums in three ways by one sequence."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pytest_microtvm.boards import load_boards
from pytest_microtvm.compiler.quantized.arithmetic import quantize_multiplier
from pytest_microtvm.compiler.quantized.kernels import generate
from pytest_microtvm.compiler.quantized.specs import (
    Conv2D,
    DepthwiseConv2D,
    FullyConnected,
    Requantization,
    Rounding,
    Window,
)
from tests.contract.running import need_tools
from tests.integer.cases import Case, expected, random_input
from tests.integer.programs import Check, wrong_bytes_on_board, wrong_bytes_on_host
from tests.integer.test_helium import sum_check

HEADER = "tvmgen_integer_rvv.h"
SANITIZED = ("gcc", "-std=c99", "-fsanitize=undefined", "-fno-sanitize-recover=all")
SCALINGS = [
    # rounding, zero point, minimum: by lines, and by factors that round twice or once
    (Rounding.DOUBLE, -128, -128),
    (Rounding.DOUBLE, 5, -128),
    (Rounding.SINGLE, 5, -128),
    (Rounding.SINGLE, -20, -20),
]


def requantization(
    random: np.random.Generator, channels: int, taps: int, scaling: tuple[Rounding, int, int]
) -> Requantization:
    reals = 2.0**-7.5 / np.sqrt(taps) * random.uniform(0.2, 2, channels)
    pairs = [quantize_multiplier(float(real)) for real in reals]
    rounding, zero_point, minimum = scaling
    return Requantization(
        np.array([multiplier for multiplier, _ in pairs], np.int32),
        np.array([shift for _, shift in pairs], np.int32),
        rounding,
        zero_point,
        minimum,
        127,
    )


def layers(random: np.random.Generator, scaling: tuple[Rounding, int, int]) -> list[Case]:
    """Vectors that are full, that are not, and more channels than one has room for."""

    def weights(*shape: int) -> np.ndarray[tuple[int, ...], np.dtype[np.int8]]:
        return random.integers(-127, 128, shape, np.int8)

    found: list[Case] = []
    for channels in (1, 16, 17, 33, 70):
        found.append(
            Conv2D(
                input_shape=(1, 5, 4, 3),
                output_shape=(1, 5, 4, channels),
                window=Window((3, 3), padding=(1, 1)),
                weights=weights(channels, 3, 3, 3),
                bias=random.integers(-500, 500, channels, np.int32),
                input_zero_point=-7,
                requantization=requantization(random, channels, 27, scaling),
            )
        )
        found.append(
            FullyConnected(
                rows=1 + channels % 3,
                weights=weights(channels, 19),
                weights_zero_point=0,
                bias=None,
                input_zero_point=12,
                requantization=requantization(random, channels, 19, scaling),
            )
        )
        found.append(
            DepthwiseConv2D(
                input_shape=(1, 4, 8, channels + 1),
                output_shape=(1, 4, 4, channels + 1),
                window=Window((3, 2), (1, 2), padding=(1, 0)),
                weights=weights(3, 2, channels + 1),
                bias=random.integers(-500, 500, channels + 1, np.int32),
                input_zero_point=3,
                requantization=requantization(random, channels + 1, 6, scaling),
            )
        )
    return found


def make_checks() -> list[Check]:
    random = np.random.default_rng(11)
    checks = []
    for scaling in SCALINGS:
        for case in layers(random, scaling):
            values = random_input(random, case)
            kernel = generate(case, "rvv")
            assert kernel.headers == (HEADER,)
            checks.append(Check(kernel, values, expected(case, values)))
    shapes = (1,), (33,), (3, 50)
    sums = [
        sum_check(random, kind, shape, "rvv") for kind in ("add", "subtract") for shape in shapes
    ]
    assert any("microtvm_linear" in check.kernel.body for check in sums)
    return [*checks, *sums]


def test_the_twin_gives_every_byte(tmp_path: Path):
    checks = make_checks()
    assert wrong_bytes_on_host(checks, tmp_path, SANITIZED) == [0] * len(checks)


@pytest.mark.parametrize("bits", [128, 512])
def test_vectors_of_any_length_give_every_byte(bits: int, tmp_path: Path):
    board = load_boards()["qemu_riscv32_v"]
    need_tools(board)
    assert board.emulator is not None
    arguments = [each.replace("vlen=128", f"vlen={bits}") for each in board.emulator.arguments]
    board = replace(board, emulator=replace(board.emulator, arguments=tuple(arguments)))
    checks = make_checks()
    assert wrong_bytes_on_board(checks, tmp_path, board) == [0] * len(checks)


def test_scalings_that_are_none_of_these_are_left_to_the_plain_kernels():
    random = np.random.default_rng(12)
    spec = layers(random, SCALINGS[1])[1]
    above_one = replace(spec.requantization, shifts=np.full(1, 2, np.int32))
    above_one = replace(above_one, multipliers=above_one.multipliers[:1])
    assert HEADER not in generate(replace(spec, requantization=above_one), "rvv").headers


def test_a_cpu_without_vectors_is_a_fault(tmp_path: Path):
    board = load_boards()["qemu_riscv32_v"]
    need_tools(board)
    assert board.emulator is not None
    arguments = [each.replace("v=true", "v=false") for each in board.emulator.arguments]
    board = replace(board, emulator=replace(board.emulator, arguments=tuple(arguments)))
    with pytest.raises(ValueError, match="fault"):
        wrong_bytes_on_board(make_checks()[:1], tmp_path, board)
