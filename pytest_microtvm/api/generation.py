"""The steps that make a firmware project: the archive, and the platform's files around it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pytest_microtvm.api.models import model_path
from pytest_microtvm.api.project_file import BOARD_FILE, ProjectRecord
from pytest_microtvm.api.real_boards import words_of
from pytest_microtvm.boards import Board
from pytest_microtvm.compiler import CompileOptions
from pytest_microtvm.compiler.pools import Memory
from pytest_microtvm.deadline import Deadline
from pytest_microtvm.errors import ConfigError
from pytest_microtvm.executors import AOT
from pytest_microtvm.flow.build_id import build_id_of
from pytest_microtvm.flow.workshop import BUILD_TIMEOUT_S, PROJECT_TYPE, Workshop
from pytest_microtvm.mlf.library import ModelLibrary
from pytest_microtvm.project import generate_project
from pytest_microtvm.project.client import ProjectAPIClient
from pytest_microtvm.temporary import TemporaryFolder

QUERY_TIMEOUT_S = 30.0
_DEFINITIONS = "compile_definitions"


def project_library(
    model: Any, board: Board | None, memory: Memory | None, io_in_arena: bool, workshop: Workshop
) -> ModelLibrary:
    """The archive of a model, compiled for a board if it is not one already."""
    options = CompileOptions.for_board(board, {}, memory or Memory(), io_in_arena=io_in_arena)
    return workshop.compile(model_path(model, options, workshop), options).library


def generate_for_board(
    library: ModelLibrary,
    board: Board,
    executor: str,
    directory: Path,
    options: dict[str, Any],
    workshop: Workshop,
) -> ProjectRecord:
    """Create a project of a platform for a board, whose firmware knows its build id."""
    given = {**options, "board": board.name}
    if executor != AOT:  # which every platform has
        given["executor"] = executor
    platform = workshop.toolchains.platform(board)
    toolchain = workshop.toolchains.toolchain_id(board)
    build_id = build_id_of(library, board, platform, toolchain, executor, given)
    with TemporaryFolder("create") as folder:
        definition = folder / BOARD_FILE
        definition.write_text(board.to_json())
        generate_project(
            platform.directory,
            library.path,
            directory,
            {
                **given,
                _DEFINITIONS: [
                    *words_of(options.get(_DEFINITIONS)),
                    f"-DMICROTVM_BUILD_ID={build_id}",
                ],
            },
            Deadline(BUILD_TIMEOUT_S),
            {"project_type": PROJECT_TYPE, "board_definition": str(definition)},
        )
    return ProjectRecord(board.platform, executor, build_id, given)


def generate_from_template(
    library: ModelLibrary, template: Path, executor: str, directory: Path, options: dict[str, Any]
) -> ProjectRecord:
    """Create a project of somebody else's template; its firmware knows no build id."""
    if not template.is_dir():
        raise ConfigError(f"Template directory {template} does not exist!", cure="check its path")
    with ProjectAPIClient(template, Deadline(QUERY_TIMEOUT_S)) as client:
        info = client.info
    generate_project(template, library.path, directory, options, Deadline(BUILD_TIMEOUT_S))
    return ProjectRecord(info.platform_name, executor, "", options)
