"""Operators on boards of each architecture, many in one firmware, against LiteRT."""

from __future__ import annotations

import functools

import pytest

from pytest_microtvm.boards import load_boards
from pytest_microtvm.compiler import CompileOptions
from pytest_microtvm.flow.cache import Cache
from pytest_microtvm.flow.workshop import Workshop
from pytest_microtvm.mlf.library import extract_library, open_library, write_library
from pytest_microtvm.session.device import Session
from tests.contract.running import need_tools
from tests.operators.catalogue import draw
from tests.operators.float_cases import FLOATS
from tests.operators.quantized_cases import QUANTIZED
from tests.operators.running import compared, compiled, run_native, samples, shared_library

pytest.importorskip("ai_edge_litert", reason="pip install 'pytest-microtvm[litert]'")

BOARDS = ("mps2_an386", "mps3_an547", "qemu_riscv32_v", "qemu_riscv64", "qemu_x86")
"""The DSP extension, Helium, RISC-V's vectors, registers of 64 bits, and plain C."""
ARCHITECTURES = ("mps2_an386", "mps3_an547", "qemu_riscv32_v", "qemu_x86")
"""Soft floats among them."""
CASES = 2
"""Of each operator, and as many more of those whose kernels depend on the CPU."""
APPROXIMATED = (
    "batch_matmul",
    "l2_normalization",
    "leaky_relu_int16",
    "logistic_int16",
    "lstm",
    "prelu",
    "softmax_int16",
    "squared_difference",
    "transpose_conv",
    "while",
)
"""Operators with arithmetic of their own, in plain C."""
ON_VECTORS = ("conv_2d", "depthwise_conv_2d", "fully_connected")


@pytest.fixture(scope="module")
def compile_cases(tmp_path_factory):
    """The cases as one model, compiled once for each kind of vector instructions."""
    cases = [
        *draw(CASES * len(QUANTIZED), seed=3, operators=tuple(QUANTIZED)),
        *draw(len(APPROXIMATED), seed=3, operators=APPROXIMATED),
        *draw(8 * len(ON_VECTORS), seed=4, operators=ON_VECTORS),
    ]

    @functools.cache
    def compile_once(simd):
        folder = tmp_path_factory.mktemp(simd)
        [model], refused = compiled(cases, folder, CompileOptions(simd=simd), len(cases))
        assert not refused
        write_library(folder / "model.tar", model.files)
        return model, open_library(folder / "model.tar")

    return compile_once


@pytest.fixture(scope="module")
def compile_floats(tmp_path_factory):
    """Float cases as one model, and what it gives on this computer, for each kind of CPU."""
    cases = list(draw(2 * len(FLOATS), seed=3, operators=tuple(FLOATS)))

    @functools.cache
    def compile_once(simd):
        folder = tmp_path_factory.mktemp(simd)
        [model], refused = compiled(cases, folder, CompileOptions(simd=simd), len(cases))
        assert not refused
        write_library(folder / f"{model.name}.tar", model.files)
        extract_library(folder / f"{model.name}.tar", folder / model.name)
        library = open_library(folder / f"{model.name}.tar")
        here = run_native(shared_library([model], folder), library, samples(model))
        assert not compared(model, here)
        return model, library, here

    return compile_once


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_float_operators_give_this_computer_s_bytes(name, compile_floats, tmp_path):
    board = load_boards()[name]
    need_tools(board)
    model, library, here = compile_floats(board.cpu.simd)
    cache = Cache(tmp_path / "cache")
    cache.open()
    firmware = Workshop(cache).build(library, board, "aot")
    names = [spec.name for spec in library.inputs]
    with Session(firmware, timeout_s=60.0) as session:
        for arrays, expected in zip(samples(model), here, strict=True):
            found = session.run(dict(zip(names, arrays, strict=True)))
            for spec, array in zip(library.outputs, expected, strict=True):
                assert found[spec.name].tobytes() == array.tobytes(), spec.name


@pytest.mark.parametrize("name", BOARDS)
def test_operators_give_the_reference_s_bytes(name, compile_cases, tmp_path):
    board = load_boards()[name]
    need_tools(board)
    model, library = compile_cases(board.cpu.simd)
    cache = Cache(tmp_path / "cache")
    cache.open()
    firmware = Workshop(cache).build(library, board, "aot")
    names = [spec.name for spec in library.inputs]
    outputs = []
    with Session(firmware, timeout_s=60.0) as session:
        for arrays in samples(model):
            found = session.run(dict(zip(names, arrays, strict=True)))
            outputs.append([found[spec.name] for spec in library.outputs])
    wrong = compared(model, outputs)
    assert not wrong, "\n".join(map(str, wrong))
