"""Sketches for a Mega 2560 that simavr stands for."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

from pytest_microtvm.boards import load_boards
from pytest_microtvm.command.main import main
from pytest_microtvm.compiler import CompileOptions, compile_to_files
from pytest_microtvm.deadline import Deadline
from pytest_microtvm.mlf.library import write_library
from pytest_microtvm.project import build_project, generate_project, platform_directory
from tests.contract.test_project_types import MODELS, interpreted, pattern, printed

INSTALL = "docker/install/arduino.sh"
TIMEOUT_S = 240.0


@pytest.fixture(autouse=True)
def tools():
    for program in ("arduino-builder", "simavr", "avr-gcc"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is missing; install it: {INSTALL}")


@pytest.mark.parametrize(
    ("name", "shape", "output"),
    [("sine_int8", (1, 1), "y"), ("keyword_int8", (1, 32, 20, 1), "scores")],
)
def test_an_example_prints_what_the_interpreter_says(
    tmp_path, tmp_path_factory, name, shape, output
):
    """The larger one fits, since without a host there are no packets."""
    board = load_boards()["mega2560"]
    file = MODELS / f"{name}.tflite"
    archive, definition = tmp_path / "model.tar", tmp_path / "board.json"
    write_library(archive, compile_to_files(file, CompileOptions(simd=board.cpu.simd)))
    definition.write_text(board.to_json())
    project = tmp_path / "project"
    given = {
        "board": board.name,
        "board_definition": str(definition),
        "project_type": "example_project",
        "warning_as_error": True,
    }
    generate_project(platform_directory("arduino"), archive, project, given, Deadline(60))
    cache = str(tmp_path_factory.getbasetemp() / "cores")
    build_project(project, {"build_cache": cache}, Deadline(TIMEOUT_S))
    elements = (pattern(int(np.prod(shape))) - 128).astype(np.int8).reshape(shape)
    (expected,) = interpreted(file.read_bytes(), [elements])
    assert np.array_equal(np.array(printed(project)[output], np.int8), expected.reshape(-1))


@pytest.mark.parametrize(("board", "has"), [("mega2560", 8192), ("uno", 2048)])
def test_what_does_not_fit_is_refused_before_the_build(tmp_path, capsys, board, has):
    project = tmp_path / "project"
    model = str(MODELS / "keyword_int8.tflite")
    status = main(["create-project", str(project), model, "arduino", "-o", f"board={board}"])
    assert status != 0
    message = capsys.readouterr().err
    assert "model too large: needs " in message
    assert f"bytes of RAM, {board} has {has}" in message
    assert not project.exists()
