"""Runs cases on an ATmega2560 in simavr, a firmware for each model, and speaks to it by UART."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pytest_microtvm.boards import load_boards
from pytest_microtvm.mlf.library import ModelLibrary, extract_library, open_library, write_library
from pytest_microtvm.project.server import start_emulator
from tests.operators.cases import Array, Case
from tests.operators.running import CompiledModel, Difference, compared, compiled, samples

BOARD = "mega2560"
CASES_PER_MODEL = 4
STACK_BYTES = 1024
TIMEOUT_S = 120.0
STANDARD = ("-mmcu=atmega2560", "-std=gnu99", "-Os", "-ffunction-sections", "-Wl,--gc-sections")
WARNINGS = ("-Wall", "-Wextra", "-Waddr-space-convert", "-Wconversion", "-Wshadow", "-Werror")
_UNFIT = ("will not fit", "relocation truncated", "doubles of 64 bits")
_PROGRAM = Path(__file__).with_name("avr.c")


def differences_on_avr(cases: Sequence[Case], folder: Path) -> tuple[list[Difference], list[Case]]:
    """Compile and run cases on the board, and compare with LiteRT byte by byte.

    Returns:
        What differs or cannot be compiled, and the cases that ran. Those that do not fit the board
        are in neither.
    """
    models, found = compiled(cases, folder, None, CASES_PER_MODEL)
    ran: list[Case] = []
    for model in models:
        where = folder / model.name
        try:
            outputs = run_on_avr(model, where)
        except Unfit:
            if len(model.cases) > 1:
                found, ran = _one_by_one(model.cases, where / "each", found, ran)
        except Uncompiled as error:
            if len(model.cases) > 1:
                found, ran = _one_by_one(model.cases, where / "each", found, ran)
            else:
                found.append(Difference(model.cases[0], str(error)))
        else:
            found += compared(model, outputs)
            ran += model.cases
    return found, ran


def _one_by_one(
    cases: Sequence[Case], folder: Path, found: list[Difference], ran: list[Case]
) -> tuple[list[Difference], list[Case]]:
    for number, case in enumerate(cases):
        more, too = differences_on_avr([case], folder / str(number))
        found, ran = [*found, *more], [*ran, *too]
    return found, ran


class Unfit(Exception):
    """A model needs more memory than the board has, or doubles of 64 bits."""


class Uncompiled(Exception):
    """avr-gcc refuses a model's code."""


def emulator() -> dict[str, Any]:
    """The board's emulator, as `start_emulator` takes it."""
    settings: dict[str, Any] = json.loads(load_boards()[BOARD].to_json())["emulator"]
    return settings


def _library(model: CompiledModel, folder: Path) -> ModelLibrary:
    folder.mkdir(parents=True, exist_ok=True)
    write_library(folder / "model.tar", model.files)
    return open_library(folder / "model.tar")


def _state_bytes(library: ModelLibrary) -> int:
    functions = library.metadata["modules"][library.name]["memory"]["functions"]
    return int(functions["main"][0].get("state_size_bytes", 0))


def _ram_bytes(library: ModelLibrary) -> int:
    io_bytes = sum(spec.size_bytes for spec in library.inputs + library.outputs)
    return library.workspace_bytes + _state_bytes(library) + io_bytes + STACK_BYTES


def run_on_avr(model: CompiledModel, folder: Path) -> list[list[Array]]:
    """The outputs of a model for each of its samples.

    Raises:
        Unfit: It needs more memory than the board has.
        Uncompiled: Its code does not compile.
    """
    library = _library(model, folder)
    if _ram_bytes(library) > load_boards()[BOARD].memory_bytes("ram"):
        raise Unfit
    firmware = _build(library, folder)
    board = start_emulator(emulator(), firmware, {})
    found = []
    try:
        if _state_bytes(library):
            assert board.read(1, TIMEOUT_S) == b"\0"
        for inputs in samples(model):
            board.write(b"".join(array.tobytes() for array in inputs), TIMEOUT_S)
            received = b""
            output_bytes = sum(spec.size_bytes for spec in library.outputs)
            while len(received) < 2 + output_bytes:
                received += board.read(2 + output_bytes - len(received), TIMEOUT_S)
            assert received[:2] == b"\0\0", f"{library.name}: status and guards: {received[:2]!r}"
            found.append(_arrays(library, received[2:]))
    finally:
        board.close()
    return found


def _arrays(library: ModelLibrary, content: bytes) -> list[Array]:
    arrays = []
    for spec in library.outputs:
        array: Array = np.frombuffer(content[: spec.size_bytes], spec.dtype)
        arrays.append(array.reshape(spec.shape))
        content = content[spec.size_bytes :]
    return arrays


def _build(library: ModelLibrary, folder: Path) -> Path:
    root = folder / "archive"
    extract_library(folder / "model.tar", root)
    name = library.name
    code = root / "codegen" / "host"
    inputs = [str(spec.size_bytes) for spec in library.inputs]
    outputs = [str(spec.size_bytes) for spec in library.outputs]
    definitions = {
        "RUN": f"tvmgen_{name}_run",
        "RESET": f"tvmgen_{name}_reset",
        "INPUTS": ",".join(inputs),
        "OUTPUTS": ",".join(outputs),
        "INPUT_BYTES": "+".join(inputs),
        "OUTPUT_BYTES": "+".join(outputs),
        "ARENA": str(library.workspace_bytes),
        "STATES": str(_state_bytes(library)),
    }
    firmware = folder / "firmware.elf"
    command = ["avr-gcc", *STANDARD, *WARNINGS, f"-I{code / 'include'}"]
    command += [f"-D{macro}={value}" for macro, value in definitions.items()]
    sources = [code / "src" / f"{name}_lib{part}.c" for part in (0, 1)]
    command += [str(_PROGRAM), *map(str, sources), "-lm", "-o", str(firmware)]
    done = subprocess.run(command, capture_output=True, text=True)
    if any(each in done.stderr for each in _UNFIT):
        raise Unfit
    if done.returncode != 0:
        raise Uncompiled(done.stderr)
    return firmware
