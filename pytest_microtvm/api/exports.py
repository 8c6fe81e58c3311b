"""A model as a project of another ecosystem."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pytest_microtvm.api.environment import Environment, StrPath
from pytest_microtvm.api.models import model_path
from pytest_microtvm.boards import Board
from pytest_microtvm.compiler import CompileOptions
from pytest_microtvm.compiler.pools import Memory
from pytest_microtvm.errors import ConfigError
from pytest_microtvm.exports import export_model


def export(
    model: Any,
    directory: StrPath,
    *,
    format: str,  # noqa: A002 (the command has --format)
    runtime: str = "none",
    board: str | Board | None = None,
    name: str | None = None,
    io_in_arena: bool = False,
    version: str = "1.0.0",
    force: bool = False,
    environment: Environment | None = None,
) -> Path:
    """Write a model as a project of another ecosystem, which stands on its own.

    Args:
        model: An archive, open or by its path; or a model as of `compile`, which is compiled first.
        directory: The folder; is created.
        format: "mlf", "c", "cmake", "make", "zephyr-module", "arduino-library",
            "arduino-zip", "esp-idf-component", "cmsis-pack", "stm32", "platformio", or that of
            another package.
        runtime: How much of the runtime goes with the model: "none", "aot", "graph" or "rpc".
        board: A board, for whose CPU a model is compiled, and whose compiler says how much stack
            the kernels take; None for kernels that fit every CPU, without the latter.
        name: Names a model in the C interface; None for the stem of the file's name.
        io_in_arena: Leave room for inputs and outputs in the arena of a model, if it is no archive,
            as of `compile`; the example has no memory of its own for them then.
        version: The version that the project has, three numbers.
        force: Replace the folder, if it holds an export.
        environment: Where boards and cache are; None for the defaults.

    Returns:
        The folder.

    Raises:
        ConfigError: There is no such format, runtime or board, or the folder cannot be written.
        ModelError: The model cannot be read or compiled.
        BuildError: The board's compiler is missing or fails.
    """
    environment = environment or Environment()
    target = environment.board(board) if isinstance(board, str) else board
    options = CompileOptions.for_board(target, {}, Memory(), name, io_in_arena)
    with environment.open_workshop() as workshop:
        library = workshop.compile(model_path(model, options, workshop), options).library
        return export_model(
            library,
            Path(directory),
            format,
            runtime=runtime,
            version=version,
            compiler=() if target is None else _compiler(target),
            force=force,
        )


def _compiler(board: Board) -> tuple[str, ...]:
    """The C compiler of a board, with the flags for its CPU.

    Raises:
        ConfigError: The board's platform names none.
    """
    toolchain = board.settings.get("toolchain")
    if not isinstance(toolchain, dict):
        raise ConfigError(
            f"the board {board.label} names no compiler, by which the stack would be measured",
            cure="choose a board of the platform baremetal or host, or none",
        )
    return (f"{toolchain.get('prefix', '')}gcc", *toolchain.get("flags", ()))
