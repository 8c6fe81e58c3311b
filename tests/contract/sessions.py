"""Sessions with models made by hand."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pytest_microtvm.boards import Board
from pytest_microtvm.deadline import Deadline
from pytest_microtvm.mlf.library import ModelLibrary, TensorSpec
from pytest_microtvm.project import build_project, generate_project, platform_directory
from pytest_microtvm.project.firmware import Firmware
from pytest_microtvm.session.device import Session
from tests.contract.libraries import FloatModel

BUILD_ID = "0123456789abcdef"


def build_firmware(
    directory: Path,
    model: FloatModel,
    board: Board,
    build_id: str = BUILD_ID,
    build_timeout_s: float = 60.0,
) -> Firmware:
    """Build the model for the board; no warning is accepted."""
    archive = model.write(directory / "model.tar")
    (directory / "board.json").write_text(board.to_json())
    project = directory / "project"
    options = {
        "board": board.name,
        "board_definition": str(directory / "board.json"),
        "compile_definitions": [f"-DMICROTVM_BUILD_ID={build_id}"],
        "warning_as_error": True,
    }
    generate_project(platform_directory(board.platform), archive, project, options, Deadline(30))
    folders = {"object_cache": str(directory / "objects")}
    built = build_project(project, {}, Deadline(build_timeout_s), folders)
    assert built is not None
    assert built.elf is not None
    return Firmware(
        project_dir=project,
        build_id=build_id,
        board=board,
        executor="aot",
        library=ModelLibrary(
            path=archive,
            name=model.name,
            inputs=(TensorSpec("x", (model.count,), "float32", 4 * model.count),),
            outputs=(TensorSpec("y", (model.count,), "float32", 4 * model.count),),
            workspace_bytes=model.workspace_bytes,
            constants_bytes=model.constants_bytes,
            executors=("aot",),
            sha256="",
            metadata={},
        ),
        elf=project / built.elf,
        image=None,
        cached=False,
        generate_s=0.0,
        build_s=0.0,
    )


@contextmanager
def running(
    directory: Path, model: FloatModel, board: Board, timeout_s: float = 20.0
) -> Iterator[Session]:
    """The model, built and running on the board."""
    firmware = build_firmware(directory, model, board)
    with Session(firmware, timeout_s, on_log=print, open_timeout_s=20.0) as session:
        yield session
