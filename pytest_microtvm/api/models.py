"""A model compiled to an archive."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pytest_microtvm.api.environment import Environment, StrPath
from pytest_microtvm.boards import Board
from pytest_microtvm.compiler import CompileOptions
from pytest_microtvm.compiler.bundle import bundle_files
from pytest_microtvm.compiler.pools import Memory
from pytest_microtvm.errors import ConfigError
from pytest_microtvm.flow.workshop import Workshop
from pytest_microtvm.mlf import library as mlf
from pytest_microtvm.mlf.library import ModelLibrary


def compile(  # noqa: A001 (microtvm.compile)
    model: Any,
    *,
    board: str | Board | None = None,
    name: str | None = None,
    io_in_arena: bool = False,
    input_shapes: Mapping[str, Sequence[int]] | None = None,
    signature: str | None = None,
    custom_operators: Sequence[StrPath] = (),
    memory: Memory | None = None,
    external: str = "",
    tuning: StrPath | None = None,
    output: StrPath | None = None,
    environment: Environment | None = None,
) -> ModelLibrary:
    """Compile a model to an archive in Model Library Format.

    What was compiled once from a file is taken from the cache. The compiler of files runs in a
    child process, that of modules in this one. A `FloatOperatorWarning` tells of operators of a
    quantized model that are left in float32.

    Args:
        model: The path of a model (.tflite, .onnx, .json with a Relax module, or of another front
            end), or a TVM IRModule with a Relax function `main`.
        board: A board, for whose CPU the kernels are written; None for kernels that fit every CPU.
            An archive for one board runs on every other, only slower.
        name: Names the model in the C interface; None for the stem of the file's name.
        io_in_arena: Leave room for inputs and outputs in the arena; an input is lost when the model
            runs.
        input_shapes: Shapes of inputs that the model leaves open, by name; what is open and not
            given is 1.
        signature: The signature that is compiled, of a TFLite model with several; None for its
            first subgraph.
        custom_operators: Python files with custom operators of TFLite models.
        memory: The pools that tensors and constants are in; None for one pool of tensors without a
            limit, and constants in flash.
        external: Kernels of a library or an accelerator to take where they can be, as NAME or
            NAME=PATH with the sources that they need; empty for those that the board names.
        tuning: A tuning log of the board's core, which goes before the one that comes with the
            package; "none" for neither.
        output: Where the archive is written; None to leave it in the cache, where it stays for at
            least an hour after its last use.
        environment: Where the cache is; None for the defaults.

    Returns:
        The archive, with what it says of itself.

    Raises:
        ModelError: The model cannot be read or compiled.
        ConfigError: The archive or the cache cannot be written, or there is no such board.
    """
    environment = environment or Environment()
    target = environment.board(board) if isinstance(board, str) else board
    options = CompileOptions.for_board(
        target,
        plain_shapes(input_shapes),
        memory or Memory(),
        name,
        io_in_arena,
        signature,
        tuple(str(Path(file)) for file in custom_operators),
        external,
        None if tuning is None else os.fspath(tuning),
    )
    with environment.open_workshop() as workshop:
        library = workshop.compile(model_path(model, options, workshop), options).library
        if output is None:
            return library
        target_path = Path(output)
        try:
            shutil.copyfile(library.path, target_path)
        except OSError as error:
            raise ConfigError(
                f"cannot write {target_path}: {error.strerror or error}",
                cure="choose a folder that can be written",
            ) from error
    return mlf.open_library(target_path)


def compile_together(
    models: Sequence[StrPath],
    output: StrPath,
    *,
    name: str,
    board: str | Board | None = None,
    input_shapes: Mapping[str, Sequence[int]] | None = None,
    memory: Memory | None = None,
    environment: Environment | None = None,
) -> tuple[ModelLibrary, ...]:
    """Compile several models to one archive, to take turns in the same pools of memory.

    Args:
        models: The paths of the models, whose stems are their names.
        output: Where the archive is written.
        name: Names the header with what the models share, `tvmgen_<name>.h`.
        board: As of `compile`.
        input_shapes: Of inputs of any of the models.
        memory: The pools. Each model may take all of a pool of workspace, since nothing in it is
            kept between runs; pools of constants are divided, the first models first.
        environment: As of `compile`.

    Returns:
        What the archive says of each model.

    Raises:
        ModelError: A model cannot be read or compiled.
        ConfigError: As of `compile`; or two models have the same name.
    """
    environment = environment or Environment()
    target = environment.board(board) if isinstance(board, str) else board
    libraries: list[ModelLibrary] = []
    with environment.open_workshop() as workshop:
        left = (memory or Memory()).on(target)
        for model in models:
            options = CompileOptions.for_board(target, plain_shapes(input_shapes), left)
            libraries.append(
                workshop.compile(model_path(model, options, workshop), options).library
            )
            taken = {pool.name: pool.size_bytes for pool in libraries[-1].constant_pools}
            left = left.without_constants(taken)
        files = bundle_files(name, libraries)
    mlf.write_library(Path(output), files)
    return mlf.open_libraries(Path(output))


def plain_shapes(shapes: Mapping[str, Sequence[int]] | None) -> dict[str, tuple[int, ...]]:
    """Shapes of inputs as the compiler takes them."""
    return {name: tuple(map(int, shape)) for name, shape in (shapes or {}).items()}


def open_library(path: StrPath) -> ModelLibrary:
    """Read an archive in Model Library Format, and check all of it.

    Args:
        path: The archive, a `.tar`.

    Raises:
        ModelError: It cannot be read, is damaged, or was made by something newer.
    """
    return mlf.open_library(Path(path))


def open_libraries(path: StrPath) -> tuple[ModelLibrary, ...]:
    """Read an archive of one model or of several, and check all of it.

    Args:
        path: The archive, a `.tar`.

    Raises:
        ModelError: As `open_library`.
    """
    return mlf.open_libraries(Path(path))


def model_path(model: Any, options: CompileOptions, workshop: Workshop) -> Path:
    """The file of a model.

    Args:
        model: A path, an archive, or a TVM IRModule, which is compiled to an archive first.
        options: How to compile a module.
        workshop: Compiles it.

    Raises:
        ConfigError: It is an object of another type.
        ModelError: The module cannot be compiled.
    """
    if isinstance(model, ModelLibrary):
        return model.path
    if isinstance(model, str | os.PathLike):
        return Path(model)
    if type(model).__name__ == "IRModule":
        return workshop.compile_module(model, options).library.path
    raise ConfigError(
        f"an object of type {type(model).__name__} is no model",
        cure="give the path of a model, an archive, or a TVM IRModule",
    )
