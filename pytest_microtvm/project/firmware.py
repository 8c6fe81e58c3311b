"""From a model to built firmware, through the cache: the steps and the keys they are cached by."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import hashlib
import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pytest_microtvm import library as mlf
from pytest_microtvm.boards import Board
from pytest_microtvm.compiler import CompileOptions, compile_key, compile_model
from pytest_microtvm.deadline import Deadline
from pytest_microtvm.errors import BuildError, ConfigError, MicroTVMError
from pytest_microtvm.library import ModelLibrary
from pytest_microtvm.project.cache import Cache
from pytest_microtvm.project.counting import Counter, kernels_of, obtain_plugin, write_functions
from pytest_microtvm.project.elf import RUN_FUNCTION, Image, read_image
from pytest_microtvm.project.lifecycle import (
    RUNTIME,
    build_project,
    generate_project,
    platform_directory,
)
from pytest_microtvm.project.progress import Progress, long_step, silent
from pytest_microtvm.project.symbols import linked_program

COMPILE_TIMEOUT_S = 900.0
BUILD_TIMEOUT_S = 900.0
LIBRARY_SUFFIX = ".tar"
IMAGE_FILE = "image.json"
FUNCTIONS_FILE = "functions"


@dataclass(frozen=True)
class CompiledModel:
    """An MLF archive in the cache.

    Attributes:
        library: The archive.
        cached: Whether nothing had to be compiled.
        compile_s: Seconds spent compiling.
    """

    library: ModelLibrary
    cached: bool
    compile_s: float


@dataclass(frozen=True)
class Firmware:
    """A built project in the cache.

    Attributes:
        project_dir: The generated project.
        build_id: The hash of all that went into it; the device answers with the same.
        board: The board it is for.
        executor: "aot", "graph" or "host_driven".
        library: The MLF it runs.
        image: Flash and RAM of the linked program; None where the template leaves none to read.
        cached: Whether nothing had to be built.
        generate_s: Seconds spent generating the project.
        build_s: Seconds spent compiling and linking it.
        counter: What counts its instructions while it runs, or why nothing does.
    """

    project_dir: Path
    build_id: str
    board: Board
    executor: str
    library: ModelLibrary
    image: Image | None
    cached: bool
    generate_s: float
    build_s: float
    counter: Counter | str = "nothing was asked to count"


@dataclass
class Workshop:
    """Compiles models and builds firmware, each once.

    Attributes:
        cache: Where the results are kept.
        progress: Told each step that takes time, as one line.
        detail: Told what goes on inside a step.
        keep_projects: A folder that gets a copy of every project, also of one that fails to build.
        count_instructions: Whether emulators count them.
    """

    cache: Cache
    progress: Progress = silent
    detail: Progress = silent
    keep_projects: Path | None = None
    count_instructions: bool = True
    _kept: set[Path] = field(default_factory=set)
    _plugins: dict[str, Path | str] = field(default_factory=dict)

    def compile(self, model: Path, options: CompileOptions) -> CompiledModel:
        """Bring a model file into the cache as MLF; an MLF archive is only checked.

        Args:
            model: A .tflite, .onnx or Relax .json file, or an MLF .tar.
            options: For the compiler.

        Raises:
            ModelError: The model cannot be read or compiled.
            BuildError: Another process holds the same compilation for too long.
        """
        if model.suffix == LIBRARY_SUFFIX:
            return CompiledModel(mlf.open_library(model), True, 0.0)

        label = model.name if options.simd == "none" else f"{model.name} ({options.simd})"

        def make(directory: Path) -> None:
            with long_step(f"compiling {label}", self.progress):
                compile_model(
                    model,
                    directory / "model.tar",
                    options,
                    Deadline(COMPILE_TIMEOUT_S),
                    lambda line: self.detail(f"compiling {label}: {line}"),
                )

        entry = self.cache.obtain(
            "mlf",
            compile_key(model, options),
            make,
            Deadline(COMPILE_TIMEOUT_S),
            lambda: self._wait(f"compile {label}"),
        )
        library = mlf.open_library(entry.path / "model.tar")
        return CompiledModel(library, entry.cached, entry.seconds)

    def build(self, library: ModelLibrary, board: Board, executor: str) -> Firmware:
        """Generate and build the firmware that runs an MLF on a board.

        Raises:
            BuildError: A tool is missing, fails, or the model does not fit the board.
        """
        options: dict[str, Any] = {"board": board.name, "executor": executor}
        build_id = _build_id(library, board, executor, options)
        label = f"{library.name} for {board.name} ({executor})"
        seconds = {"generate": 0.0, "build": 0.0}

        def make(directory: Path) -> None:
            deadline = Deadline(BUILD_TIMEOUT_S)
            definition = directory / "board.json"
            definition.write_text(board.to_json())
            project_dir = directory / "project"
            start = time.monotonic()
            generate_project(
                platform_directory(board.platform),
                library.path,
                project_dir,  # the template makes the folder, as TVM's do
                {
                    **options,
                    "board_definition": str(definition),
                    "compile_definitions": [f"-DMICROTVM_BUILD_ID={build_id}"],
                },
                deadline,
            )
            generated = time.monotonic()
            seconds["generate"] = generated - start
            try:
                with long_step(f"building {label}", self.progress):
                    build_project(project_dir, {}, deadline)
            except MicroTVMError:
                self._keep(project_dir, library, board, executor)
                raise
            seconds["build"] = time.monotonic() - generated
            image = _read_image(project_dir, library)
            (directory / IMAGE_FILE).write_text(json.dumps(image and dataclasses.asdict(image)))
            write_functions(directory / FUNCTIONS_FILE, image.functions if image else {})

        try:
            entry = self.cache.obtain(
                "firmware",
                build_id,
                make,
                Deadline(BUILD_TIMEOUT_S),
                lambda: self._wait(f"build {label}"),
            )
        except MicroTVMError as error:
            error.board = error.board or board.name
            raise
        self._keep(entry.path / "project", library, board, executor)
        found = json.loads((entry.path / IMAGE_FILE).read_text())
        image = Image(**found) if found else None
        return Firmware(
            project_dir=entry.path / "project",
            build_id=build_id,
            board=board,
            executor=executor,
            library=library,
            image=image,
            counter=self._counter(board, entry.path / FUNCTIONS_FILE, image),
            cached=entry.cached,
            generate_s=seconds["generate"],
            build_s=seconds["build"],
        )

    def _wait(self, what: str) -> contextlib.AbstractContextManager[None]:
        return long_step(f"waiting for another process to {what}", self.progress)

    def _counter(self, board: Board, functions: Path, image: Image | None) -> Counter | str:
        """What counts the instructions of a firmware, or why nothing can."""
        if not self.count_instructions:
            return "not to be counted"
        if board.emulator is None:
            return "only an emulator counts instructions"
        if image is None or RUN_FUNCTION not in image.functions:
            return "the firmware has not the runtime's functions"
        program = board.emulator.program
        if program not in self._plugins:
            try:
                self._plugins[program] = obtain_plugin(self.cache, program)
            except BuildError as error:
                self._plugins[program] = error.one_line()
        plugin = self._plugins[program]
        if isinstance(plugin, str):
            return plugin
        return Counter(plugin, functions, kernels_of(image.functions))

    def _keep(self, project: Path, library: ModelLibrary, board: Board, executor: str) -> None:
        if self.keep_projects is None:
            return
        target = self.keep_projects / f"{library.name}-{executor}-{board.name}"
        if target in self._kept or not project.is_dir():
            return
        self._kept.add(target)
        copy = target.with_name(f".{target.name}-{os.getpid()}")
        try:
            shutil.copytree(project, copy)
            shutil.rmtree(target, ignore_errors=True)
            with contextlib.suppress(OSError):  # another process kept the same one
                copy.rename(target)
        except OSError as error:
            raise ConfigError(
                f"cannot keep the project in {target}: {error.strerror or error}",
                cure="make its folder writable, or leave --microtvm-keep-projects out",
            ) from error
        finally:
            shutil.rmtree(copy, ignore_errors=True)
        self.progress(f"kept {target}")


def _build_id(library: ModelLibrary, board: Board, executor: str, options: dict[str, Any]) -> str:
    """Hash everything that decides what the device runs."""
    parts = {
        "library": library.sha256,
        "board": _board_text(board),
        "executor": executor,
        "template": _hash_files(platform_directory(board.platform)),
        "runtime": _hash_files(RUNTIME),
        "server": _hash_files(Path(__file__).with_name("server")),
        "toolchain": _toolchain_version(board),
        "libraries": [_hash_library(name, board) for name in board.toolchain.libraries],
        "options": options,
        "image": _hash_file(Path(__file__).with_name("elf.py")),
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:32]


@functools.cache
def _board_text(board: Board) -> str:
    return board.to_json()


def _read_image(project_dir: Path, library: ModelLibrary) -> Image | None:
    program = linked_program(project_dir)
    if program is None:
        return None
    kernels = {kernel.name for kernel in library.kernels}
    sources = {path.name for path in (RUNTIME / "src").glob("*.c")}
    return read_image(program, library.name, kernels, sources)


@functools.cache
def _hash_files(directory: Path) -> str:
    digest = hashlib.sha256()
    for path in _source_files(directory):
        digest.update(f"{path.relative_to(directory)}:{_hash_file(path)}\n".encode())
    return digest.hexdigest()


def _source_files(directory: Path) -> Iterable[Path]:
    return sorted(
        path
        for path in directory.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and path.suffix != ".pyc"
    )


@functools.cache
def _hash_library(name: str, board: Board) -> str:
    """Hash a library, given by its path or, as `-lm`, by its name."""
    path = _find_library(name, board) if name.startswith("-l") else Path(name)
    try:
        return _hash_file(path)
    except OSError as error:
        raise BuildError(
            f"the library {path} is not there: {error.strerror}",
            cure=board.toolchain.install,
            board=board.name,
            operation="build",
        ) from error


def _find_library(name: str, board: Board) -> Path:
    """Where the compiler would find the library `-lNAME` for this board's CPU."""
    toolchain = board.toolchain
    output = _compiler_output(board, *toolchain.flags, f"-print-file-name=lib{name[2:]}.a")
    return Path(output.strip())  # without a folder when there is none


def _hash_file(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@functools.cache
def _toolchain_version(board: Board) -> str:
    return _compiler_output(board, "--version").splitlines()[0]


def _compiler_output(board: Board, *arguments: str) -> str:
    compiler = f"{board.toolchain.prefix}gcc"
    try:
        result = subprocess.run(
            [compiler, *arguments],
            capture_output=True,
            text=True,
            timeout=30,
            check=True,
            stdin=subprocess.DEVNULL,
        )
    except FileNotFoundError as error:
        raise BuildError(
            f"the compiler {compiler} is not installed",
            cure=board.toolchain.install,
            board=board.name,
            operation="build",
        ) from error
    except (subprocess.SubprocessError, OSError) as error:
        raise BuildError(
            f"the compiler {compiler} does not run: {error}",
            cure=f"try '{compiler} --version'",
            board=board.name,
            operation="build",
        ) from error
    return result.stdout
