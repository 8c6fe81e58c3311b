"""Convolutions and fully connected layers over int8, for each kind of CPU: every byte counts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pytest_microtvm.boards import load_boards
from pytest_microtvm.compiler import (
    CompileOptions,
    compile_key,
    compile_model,
    compile_to_files,
)
from pytest_microtvm.compiler.program import Overlap
from pytest_microtvm.compiler.quantized.choices import Choice, Choose, Tunable, Workload, first
from pytest_microtvm.compiler.quantized.kernels import generate
from pytest_microtvm.deadline import Deadline
from pytest_microtvm.mlf.library import extract_library
from tests.contract.running import need_tools
from tests.integer.cases import (
    Case,
    expected,
    point_convolution_into_padding,
    random_cases,
    random_input,
    row_kernel_beside_padding,
)
from tests.integer.programs import Check, wrong_bytes_on_board, wrong_bytes_on_host
from tests.unit.compiler.native import NativeModel

MODELS = Path(__file__).parents[2] / "conftest_examples" / "models"
TUNED = ("none", "dsp")
SIMDS = ("none", "dsp", "helium", "swar64", "rvv")
BOARDS = (
    *("mps2_an385", "mps2_an386", "mps2_an500", "mps2_an521", "mps3_an547"),
    "qemu_riscv64_v",
)
SANITIZED = ("gcc", "-std=c99", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
COMPILE_TIMEOUT_S = 120.0
HOST_CASES = 80
BOARD_CASES = 50


def make_checks(seed: int, count: int, simd: str, choose: Choose = first) -> list[Check]:
    random = np.random.default_rng(seed)
    checks = []
    for case in random_cases(random, count):
        values = random_input(random, case)
        checks.append(Check(generate(case, simd, choose), values, expected(case, values)))
    return checks


def drawn(seed: int) -> Choose:
    """Takes any of the candidates but the first, where there are several."""
    random = np.random.default_rng(seed)

    def choose(tunable: Tunable, workload: Workload) -> Choice:
        own, *others = tunable.candidates(workload)
        return others[random.integers(len(others))] if others else own

    return choose


@pytest.mark.parametrize("simd", SIMDS)
def test_every_byte_is_right_on_the_host(simd: str, tmp_path: Path):
    checks = make_checks(1, HOST_CASES, simd)
    assert wrong_bytes_on_host(checks, tmp_path, SANITIZED) == [0] * HOST_CASES


@pytest.mark.parametrize("simd", TUNED)
def test_every_way_to_write_a_kernel_gives_the_same_bytes(simd: str, tmp_path: Path):
    checks = make_checks(11, HOST_CASES, simd, drawn(21))
    assert wrong_bytes_on_host(checks, tmp_path, SANITIZED) == [0] * HOST_CASES


def test_every_way_to_write_a_kernel_gives_the_same_bytes_on_a_board(tmp_path: Path):
    board = load_boards()["mps2_an386"]
    need_tools(board)
    checks = make_checks(3, BOARD_CASES, board.cpu.simd, drawn(23))
    assert wrong_bytes_on_board(checks, tmp_path, board) == [0] * BOARD_CASES


def in_place(number: int) -> Overlap:
    return Overlap(number, 0)


@pytest.mark.parametrize("simd", SIMDS)
def test_no_output_is_written_over_what_is_still_read(simd: str, tmp_path: Path):
    """Input and output as close to each other as the kernels say that they may be."""
    checks = [
        replace(check, overlap=overlap)
        for check in make_checks(9, HOST_CASES // 2, simd)
        + make_checks(13, HOST_CASES // 2, simd, drawn(24))
        for overlap in (*check.kernel.overlaps, *map(in_place, check.kernel.in_place))
    ]
    assert {check.overlap.is_behind for check in checks if check.overlap} == {False, True}
    assert wrong_bytes_on_host(checks, tmp_path, SANITIZED) == [0] * len(checks)


@pytest.mark.parametrize("simd", SIMDS)
def test_outputs_that_see_only_padding(simd: str, tmp_path: Path):
    random = np.random.default_rng(6)
    checks = []
    strides = (1, 2), (2, 1), (2, 2)
    cases: list[Case] = [point_convolution_into_padding(random, steps) for steps in strides]
    cases.append(row_kernel_beside_padding(random))
    for case in cases:
        values = random_input(random, case)
        checks.append(Check(generate(case, simd), values, expected(case, values)))
    assert wrong_bytes_on_host(checks, tmp_path, SANITIZED) == [0] * len(checks)


@pytest.mark.parametrize("simd", SIMDS)
def test_kernels_are_cxx_as_well(simd: str, tmp_path: Path):
    checks = make_checks(2, 20, simd)
    compiler = ("g++", "-std=c++11", "-O1", "-x", "c++")
    assert wrong_bytes_on_host(checks, tmp_path, compiler) == [0] * 20


@pytest.mark.parametrize("name", BOARDS)
def test_every_byte_is_right_on_a_board(name: str, tmp_path: Path):
    board = load_boards()[name]
    need_tools(board)
    checks = make_checks(3, BOARD_CASES, board.cpu.simd)
    assert wrong_bytes_on_board(checks, tmp_path, board) == [0] * BOARD_CASES


@pytest.mark.parametrize("simd", SIMDS)
def test_a_wrong_constant_is_seen(simd: str, tmp_path: Path):
    checks = make_checks(4, 10, simd)
    flipped = []
    for check in checks:
        weights, *others = check.kernel.constants
        wrong = replace(check.kernel, constants=(np.bitwise_not(weights), *others))
        flipped.append(replace(check, kernel=wrong))
    counts = wrong_bytes_on_host(flipped, tmp_path, ("gcc", "-std=c99"))
    # Where sums are far beyond the range of the output, weights hardly matter.
    assert np.count_nonzero(counts) > len(counts) // 2


def test_an_archive_gives_the_same_bytes_whatever_the_cpu(tmp_path: Path):
    model = MODELS / "keyword_int8.tflite"
    outputs = []
    for simd in SIMDS:
        directory = tmp_path / simd
        directory.mkdir()
        files = compile_to_files(model, CompileOptions(name="m", simd=simd))
        native = NativeModel(files, directory)
        random = np.random.default_rng(5)
        shape = native.library.inputs[0].shape
        outputs.append([native(random.integers(-128, 128, shape, np.int8))[0] for _ in range(20)])
    np.testing.assert_array_equal(outputs[1:], [outputs[0]] * (len(outputs) - 1))


def test_the_cpu_reaches_the_compiler(tmp_path: Path):
    archive = tmp_path / "model.tar"
    options = CompileOptions(simd="dsp")
    compile_model(MODELS / "sine_int8.tflite", archive, options, Deadline(COMPILE_TIMEOUT_S))
    extract_library(archive, tmp_path / "model")
    assert (tmp_path / "model/codegen/host/include/tvmgen_integer_dsp.h").is_file()


def test_the_cpu_decides_what_is_compiled():
    model = MODELS / "sine_int8.tflite"
    keys = {compile_key(model, CompileOptions(simd=simd)) for simd in SIMDS}
    assert len(keys) == len(SIMDS)
