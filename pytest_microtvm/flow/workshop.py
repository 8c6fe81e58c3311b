"""From a model to built firmware, through the cache: the steps and the keys they are cached by."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
import shutil
import time
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pytest_microtvm.boards import SIMAVR, Board
from pytest_microtvm.compiler import (
    MEMORY_BYTES,
    CompileLimits,
    CompileOptions,
    compile_key,
    compile_model,
    compile_to_files,
)
from pytest_microtvm.deadline import Deadline
from pytest_microtvm.errors import BuildError, ConfigError, FloatOperatorWarning, MicroTVMError
from pytest_microtvm.executors import AOT
from pytest_microtvm.flow.build_id import build_id_of
from pytest_microtvm.flow.cache import Cache
from pytest_microtvm.flow.progress import Progress, long_step, silent
from pytest_microtvm.flow.toolchains import Toolchains
from pytest_microtvm.forks import Forks
from pytest_microtvm.measure.counting import (
    PLUGIN,
    Counter,
    compile_plugin,
    kernels_of,
    plugin_key,
    write_functions,
)
from pytest_microtvm.measure.cycles import core_model, write_costs
from pytest_microtvm.measure.elf import RUN_FUNCTION, Image, read_image
from pytest_microtvm.mlf.library import ModelLibrary, open_library, write_library
from pytest_microtvm.model_files import is_library, shown_path
from pytest_microtvm.project.firmware import Firmware
from pytest_microtvm.project.lifecycle import (
    RUNTIME,
    build_project,
    generate_project,
)
from pytest_microtvm.project.platforms import Platform
from pytest_microtvm.project.server.api import COUNT_INSTRUCTIONS, BuiltFiles

COMPILE_TIMEOUT_S = 300.0
BUILD_TIMEOUT_S = 900.0
PROJECT_TYPE = "host_driven"
"""What TVM calls a project whose firmware waits for the host's calls."""
PLUGIN_TIMEOUT_S = 60.0
IMAGE_FILE = "image.json"
BUILT_FILE = "built.json"
FUNCTIONS_FILE = "functions"
COSTS_FILE = "costs"


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


@dataclass
class Workshop:
    """Compiles models and builds firmware, each once.

    Attributes:
        cache: Where the results are kept.
        progress: Told each step that takes time, as one line.
        detail: Told what goes on inside a step.
        keep_projects: A folder that gets a copy of every project, also of one that fails to build.
        count_instructions: Whether emulators count them.
        platforms: All platforms by name; None for those that are found without being told where.
        toolchains: What the platforms can do for boards on this machine.
        compile_timeout_s: How long compiling a model may take.
        compile_memory_bytes: Address space that it may take.
        forks: Starts compilers and servers; None where each is to have a process by itself.
    """

    cache: Cache
    progress: Progress = silent
    detail: Progress = silent
    keep_projects: Path | None = None
    count_instructions: bool = True
    platforms: Mapping[str, Platform] | None = None
    compile_timeout_s: float = COMPILE_TIMEOUT_S
    compile_memory_bytes: int = MEMORY_BYTES
    forks: Forks | None = None
    toolchains: Toolchains = field(init=False)
    _kept: set[Path] = field(default_factory=set)
    _plugins: dict[str, Path | str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.toolchains = Toolchains(self.cache.directory, self.platforms, self.forks)

    def compile(
        self, model: Path, options: CompileOptions, constants_bytes: int | None = None
    ) -> CompiledModel:
        """Bring a model file into the cache as MLF; an MLF archive is only checked.

        Args:
            model: A .tflite, .onnx or Relax .json file, or an MLF .tar.
            options: For the compiler.
            constants_bytes: What there is for constants; None where any number of them is fine.

        Raises:
            ModelError: The model cannot be read or compiled.
            DoesNotFit: It has more constants.
            BuildError: Another process holds the same compilation for too long.
        """
        if is_library(model):
            return _warn_of_floats(model, CompiledModel(open_library(model), True, 0.0))

        shown = shown_path(model)
        label = shown if options.simd == "none" else f"{shown} ({options.simd})"

        def make(directory: Path) -> None:
            with long_step(f"compiling {label}", self.progress):
                compile_model(
                    model,
                    directory / "model.tar",
                    options,
                    Deadline(self.compile_timeout_s),
                    lambda line: self.detail(f"compiling {label}: {line}"),
                    CompileLimits(self.compile_memory_bytes, constants_bytes),
                    self.forks,
                )

        entry = self.cache.obtain(
            "mlf",
            compile_key(model, options),
            make,
            Deadline(self.compile_timeout_s),
            lambda: self._wait(f"compile {label}"),
        )
        library = open_library(entry.path / "model.tar")
        return _warn_of_floats(model, CompiledModel(library, entry.cached, entry.seconds))

    def compile_module(self, module: Any, options: CompileOptions) -> CompiledModel:
        """Bring a TVM IRModule into the cache as MLF; it is compiled each time, in this process.

        Args:
            module: An IRModule with a Relax function `main`.
            options: For the compiler.

        Raises:
            ModelError: It cannot be compiled.
        """
        start = time.monotonic()
        with long_step(f"compiling {options.name or 'a module'}", self.progress):
            files = compile_to_files(module, options, self.detail)
        digest = hashlib.sha256()
        for name, data in files.items():
            digest.update(f"{name}:{hashlib.sha256(data).hexdigest()}\n".encode())
        entry = self.cache.obtain(
            "mlf",
            digest.hexdigest(),
            lambda directory: write_library(directory / "model.tar", files),
            Deadline(COMPILE_TIMEOUT_S),
        )
        library = open_library(entry.path / "model.tar")
        return CompiledModel(library, False, time.monotonic() - start)

    def build(
        self, library: ModelLibrary, board: Board, executor: str, title: str = ""
    ) -> Firmware:
        """Generate and build the firmware that runs an MLF on a board.

        Args:
            library: The MLF.
            board: The board.
            executor: What walks the model's kernels.
            title: What tells the model from others; its name in the archive unless given.

        Raises:
            BuildError: A tool is missing, fails, or the model does not fit the board.
        """
        options: dict[str, Any] = {"board": board.name, "executor": executor}
        platform = self.toolchains.platform(board)
        toolchain = self.toolchains.toolchain_id(board)
        build_id = build_id_of(library, board, platform, toolchain, executor, options)
        title = title or library.name
        label = f"{title} for {board.label} ({executor})"
        seconds = {"generate": 0.0, "build": 0.0}

        def make(directory: Path) -> None:
            deadline = Deadline(BUILD_TIMEOUT_S)
            definition = directory / "board.json"
            definition.write_text(board.to_json())
            project_dir = directory / "project"
            start = time.monotonic()
            generate_project(
                platform.directory,
                library.path,
                project_dir,  # the template makes the folder, as TVM's do
                {
                    "board": board.name,
                    "compile_definitions": [f"-DMICROTVM_BUILD_ID={build_id}"],
                    **({} if executor == AOT else {"executor": executor}),
                },
                deadline,
                # What a template that was written for TVM does not know, or insists on.
                {
                    "board_definition": str(definition),
                    "executor": executor,
                    "project_type": PROJECT_TYPE,
                },
                self.forks,
            )
            generated = time.monotonic()
            seconds["generate"] = generated - start
            try:
                with long_step(f"building {label}", self.progress) as step:
                    built = self.build_project(project_dir, {}, deadline, step.reach)
            except MicroTVMError:
                self._keep(project_dir, title, board, executor)
                raise
            seconds["build"] = time.monotonic() - generated
            (directory / BUILT_FILE).write_text(json.dumps(built and built._asdict()))
            elf = _elf_of(project_dir, built)
            image = None if elf is None else _read_image(elf, library)
            (directory / IMAGE_FILE).write_text(json.dumps(image and dataclasses.asdict(image)))
            write_functions(directory / FUNCTIONS_FILE, image.functions if image else {})
            _write_costs(directory / COSTS_FILE, elf, board)

        try:
            entry = self.cache.obtain(
                "firmware",
                build_id,
                make,
                Deadline(BUILD_TIMEOUT_S),
                lambda: self._wait(f"build {label}"),
            )
        except MicroTVMError as error:
            error.board = board.label
            raise
        self._keep(entry.path / "project", title, board, executor)
        built = json.loads((entry.path / BUILT_FILE).read_text())
        found = json.loads((entry.path / IMAGE_FILE).read_text())
        image = Image(**found) if found else None
        return Firmware(
            project_dir=entry.path / "project",
            build_id=build_id,
            board=board,
            executor=executor,
            library=library,
            elf=_elf_of(entry.path / "project", BuiltFiles(**built) if built else None),
            image=image,
            counter=self._counter(board, entry.path / FUNCTIONS_FILE, image),
            cached=entry.cached,
            generate_s=seconds["generate"],
            build_s=seconds["build"],
        )

    def build_project(
        self,
        project_dir: Path,
        options: Mapping[str, Any],
        deadline: Deadline,
        on_progress: Progress,
    ) -> BuiltFiles | None:
        """Compile and link a project; what it has in common with others is compiled once.

        See `pytest_microtvm.project.build_project`.
        """
        folders = {
            "object_cache": str(self.cache.folder("objects", "ccache")),
            "build_cache": str(self.cache.folder("builds", "shared")),
        }
        return build_project(project_dir, options, deadline, folders, on_progress, self.forks)

    def firmware_of(
        self,
        project_dir: Path,
        build_id: str,
        library: ModelLibrary,
        board: Board,
        executor: str,
        elf: Path | None,
        folder: Path,
    ) -> Firmware:
        """The firmware of a project that was built outside of the cache.

        Args:
            project_dir: The project.
            build_id: What the firmware calls itself; empty if nothing.
            library: What it runs.
            board: What it is for.
            executor: What walks the model's kernels.
            elf: The linked program, if the platform tells of one.
            folder: Gets what is needed to count instructions, for as long as a device is open.
        """
        image = None if elf is None else _read_image(elf, library)
        functions = folder / FUNCTIONS_FILE
        write_functions(functions, image.functions if image else {})
        _write_costs(folder / COSTS_FILE, elf, board)
        return Firmware(
            project_dir=project_dir,
            build_id=build_id,
            board=board,
            executor=executor,
            library=library,
            elf=elf,
            image=image,
            counter=self._counter(board, functions, image),
            cached=True,
            generate_s=0.0,
            build_s=0.0,
        )

    def _wait(self, what: str) -> contextlib.AbstractContextManager[object]:
        return long_step(f"waiting for another process to {what}", self.progress)

    def _counter(self, board: Board, functions: Path, image: Image | None) -> Counter | str:
        """What counts the instructions of a firmware, or why nothing can."""
        if not self.count_instructions:
            return "not to be counted"
        if board.emulator is None:
            return "only an emulator counts instructions"
        if board.platform not in self.toolchains.platforms:
            return f"the platform {board.platform} is not known here"
        if COUNT_INSTRUCTIONS not in self.toolchains.support(board).abilities:
            return f"the platform {board.platform} does not count instructions"
        if image is None or RUN_FUNCTION not in image.functions:
            return "the firmware lacks functions of the runtime"
        if board.emulator.kind == SIMAVR:
            return Counter(None, functions, kernels_of(image.functions))
        program = board.emulator.program
        if program not in self._plugins:
            try:
                self._plugins[program] = obtain_plugin(self.cache, program)
            except BuildError as error:
                self._plugins[program] = error.one_line()
        plugin = self._plugins[program]
        if isinstance(plugin, str):
            return plugin
        costs = functions.with_name(COSTS_FILE)
        found = costs if costs.is_file() else None
        return Counter(plugin, functions, kernels_of(image.functions), found)

    def _keep(self, project: Path, title: str, board: Board, executor: str) -> None:
        if self.keep_projects is None:
            return
        target = self.keep_projects / f"{title}-{executor}-{board.file_label}"
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


def _warn_of_floats(model: Path, compiled: CompiledModel) -> CompiledModel:
    in_float = compiled.library.float_operators
    if in_float is not None:
        warnings.warn(f"{shown_path(model)}: {in_float}", FloatOperatorWarning, stacklevel=3)
    return compiled


def _elf_of(project_dir: Path, built: BuiltFiles | None) -> Path | None:
    return None if built is None or built.elf is None else project_dir / built.elf


def _read_image(program: Path, library: ModelLibrary) -> Image:
    kernels = {kernel.name for kernel in library.kernels}
    sources = {path.name for path in (RUNTIME / "src").glob("*.c")}
    return read_image(program, library.name, kernels, sources)


def _write_costs(path: Path, program: Path | None, board: Board) -> None:
    """Write what instructions take, where a firmware is emulated and its core is known."""
    if program is None or board.emulator is None or board.emulator.kind == SIMAVR:
        return
    model = core_model(board.cpu.core)
    if model is not None:
        write_costs(path, program, model)


def obtain_plugin(cache: Cache, program: str) -> Path:
    """Find the plugin that counts instructions in an emulator in the cache, or compile it.

    Args:
        cache: Where it is kept.
        program: The emulator, such as "qemu-system-arm".

    Raises:
        BuildError: The plugin cannot be made; the message says why.
    """
    entry = cache.obtain(
        "counting",
        plugin_key(program),
        lambda directory: compile_plugin(directory, program),
        Deadline(PLUGIN_TIMEOUT_S),
    )
    return entry.path / PLUGIN
