"""Builds a project with CMake and ninja, in a folder that further models of a board share."""

from __future__ import annotations

import hashlib
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from zephyr_toolchain import TOOLCHAIN_FILE, quoted
from zephyr_tree import ZephyrTree, unknown_board

from pytest_microtvm.project import server

BUILD_FOLDER = "build"
SHARED_PROJECT = "project"
_NOT_BUILT_FROM = ("build", "model.tar", "README", "board.json")
"""What a project has besides its sources; nor are hidden files."""
_RESULTS = (
    "CMakeCache.txt",
    *(f"zephyr/zephyr.{suffix}" for suffix in ("elf", "exe", "hex", "bin", "uf2", "dts", "map")),
    "zephyr/.config",
    "zephyr/runners.yaml",
)
_DECIDING = (TOOLCHAIN_FILE, "prj.conf", "app.overlay", "CMakeLists.txt")
"""Files of a project that all of Zephyr is built by."""
_OVERFLOW = re.compile(r"region [`']([^`']+)' overflowed by (\d+) bytes?")
_SIZE = re.compile(r"^CONFIG_(SRAM|FLASH)_SIZE=(\d+)$", re.MULTILINE)
_NO_BOARD = re.compile("No board named|Invalid BOARD|Board not found")
_NO_PYTHON_MODULE = re.compile(r"(?:ModuleNotFoundError|ImportError): No module named '([\w.]+)'")
# The line that says why a build failed: the first match of the first pattern that has one.
_REASONS = (
    re.compile(r"^\S+?:\d+:(?:\d+:)? (?:fatal )?error: .*$", re.MULTILINE | re.IGNORECASE),
    re.compile(r"^.*(?:undefined reference to|multiple definition of|cannot find -l).*$", re.M),
    re.compile(r"^\S*ld(?:\.bfd)?: (?!warning|NOTE).*$", re.MULTILINE),
    re.compile(r"^error: .*$", re.MULTILINE),
    re.compile(r"CMake Error at [^\n]*:\n\s*([^\n]+)"),
    re.compile(r"^CMake Error: .*$", re.MULTILINE),
)


@dataclass(frozen=True)
class Build:
    """What to build, and with what.

    Attributes:
        project: The project's folder.
        tree: Zephyr.
        board: What that calls the board.
        python: The Python that has what Zephyr's scripts need; empty for the one that CMake finds.
        shared: A folder that keeps what further builds can use; None to build in the project.
        verbose: Show every command.
    """

    project: Path
    tree: ZephyrTree
    board: str
    python: str = ""
    shared: Path | None = None
    verbose: bool = False

    def run(self) -> None:
        """Build it.

        Raises:
            ProjectError: It does not build; with the tools' output.
        """
        if self.shared is None:
            self._build_in(self.project)
            return
        with server.shared_folder(self.shared, self._shared_key()) as folder:
            source = folder / SHARED_PROJECT
            synchronize(self.project, source)
            self._build_in(source)
            copy_results(source / BUILD_FOLDER, self.project / BUILD_FOLDER)

    def _configure_command(self, source: Path) -> list[str]:
        command = ["cmake", "-GNinja", "-S", str(source), "-B", str(source / BUILD_FOLDER)]
        command.append(f"-DBOARD={self.board}")
        if self.python:
            command += [f"-DWEST_PYTHON={self.python}", f"-DPython3_EXECUTABLE={self.python}"]
        return command

    def _build_in(self, source: Path) -> None:
        build = source / BUILD_FOLDER
        command = self._configure_command(source)
        note = build / "configured"
        wanted = "\n".join([str(self.tree.base), *command, _text_of(source / TOOLCHAIN_FILE)])
        if not (build / "build.ninja").is_file() or _text_of(note) != wanted:
            shutil.rmtree(build, ignore_errors=True)
            self._run(command, source)
            note.write_text(wanted, encoding="utf-8")
        jobs = ["-v"] if self.verbose else []
        self._run(["ninja", "-C", str(build), *jobs], source)

    def _run(self, command: Sequence[str], source: Path) -> None:
        status, output = server.run_tool(
            command,
            source,
            variables={"ZEPHYR_BASE": str(self.tree.base), "MAKEFLAGS": None, "MFLAGS": None},
            on_line=partial(print, flush=True),  # the host reads how far ninja is
        )
        if status != 0:
            raise self._failure(output, source)

    def _shared_key(self) -> str:
        """A hash of this Zephyr, board and settings."""
        digest = hashlib.sha256("\0".join([str(self.tree.base), self.board, self.python]).encode())
        for name in _DECIDING:
            if (self.project / name).is_file():
                digest.update(f"{name}\0".encode() + (self.project / name).read_bytes())
        return digest.hexdigest()[:32]

    def _failure(self, output: str, source: Path) -> server.ProjectError:
        """The one line that says why it failed, with all that the tools printed behind it."""
        missing = _NO_PYTHON_MODULE.search(output)
        if missing is not None:
            python = self.python or "the Python that CMake finds"
            requirements = self.tree.base / "scripts" / "requirements.txt"
            return server.ProjectError(
                f"Zephyr's scripts need the Python module {missing[1]}, which {python} lacks",
                cure=f"{self.python or 'python3'} -m pip install -r {requirements}",
                details=output,
            )
        if _NO_BOARD.search(output):
            error = unknown_board(self.tree, self.board)
            return server.ProjectError(
                str(error.data["message"]), cure=str(error.data["cure"]), details=output
            )
        too_large = self._too_large(output, source)
        if too_large is not None:
            return too_large
        matches = filter(None, (pattern.search(output) for pattern in _REASONS))
        match = next(matches, None)
        reason = match[match.lastindex or 0].strip() if match else "the tools failed"
        return server.ProjectError(f"the firmware does not build: {reason}", details=output)

    def _too_large(self, output: str, source: Path) -> server.ProjectError | None:
        """The error for a memory that is too small; the linker has its own names for them."""
        excess = [(int(size), name) for name, size in _OVERFLOW.findall(output)]
        if not excess:
            return None
        size, name = max(excess)
        kind = memory_kind(name)
        config = _text_of(source / BUILD_FOLDER / "zephyr" / ".config")
        sizes = {setting: int(value) * 1024 for setting, value in _SIZE.findall(config)}
        has = sizes.get("FLASH" if kind == "flash" else "SRAM", 0)
        needs = (
            f"needs {has + size} bytes of {kind}, {self.board} has {has}"
            if has
            else (f"needs {size} bytes more of {name} than {self.board} has")
        )
        return server.DoesNotFitError(
            f"firmware too large: {needs}",
            cure="use a smaller model or a larger board",
            details=output,
        )


def memory_kind(region: str) -> str:
    """The kind of memory that a linker's region is: "flash" or "ram"."""
    name = region.lower()
    return "flash" if "flash" in name or "rom" in name else "ram"


def synchronize(project: Path, target: Path) -> None:
    """Make `target` the same sources as a project; files that are the same are left alone."""
    wanted = {path.relative_to(project): path for path in _sources(project)}
    for name, path in wanted.items():
        copy = target / name
        data = path.read_bytes()
        if not copy.is_file() or copy.read_bytes() != data:
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(data)
    for path in list(_sources(target)) if target.is_dir() else []:
        if path.relative_to(target) not in wanted:
            path.unlink()


def _sources(project: Path) -> Iterator[Path]:
    for path in project.rglob("*"):
        first = path.relative_to(project).parts[0]
        if path.is_file() and first not in _NOT_BUILT_FROM and not first.startswith("."):
            yield path


def copy_results(build: Path, target: Path) -> None:
    """Copy what a build is made for, and what `west flash` asks for, and nothing else."""
    shutil.rmtree(target, ignore_errors=True)
    for name in _RESULTS:
        if (build / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(build / name, target / name)


def localized_build(build: Path, folder: Path) -> Path:
    """A folder for `west flash` that stands for a build, wherever that was made or moved to.

    Args:
        build: The build's folder, or what `copy_results` made of one.
        folder: An empty one.

    Returns:
        `folder`, with the files that west reads; their paths lead to `build`.
    """
    cache = _text_of(build / "CMakeCache.txt")
    made_in = re.search(r"^CMAKE_CACHEFILE_DIR:INTERNAL=(.*)$", cache, re.MULTILINE)
    for name in ("CMakeCache.txt", "zephyr/runners.yaml", "zephyr/.config"):
        text = _text_of(build / name)
        if made_in is not None:
            text = text.replace(made_in[1], str(build))
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    for path in (build / "zephyr").glob("zephyr.*"):
        (folder / "zephyr" / path.name).symlink_to(path)
    return folder


def python_of(program: Path) -> str:
    """The Python that runs a script, by its first line; empty if that names none."""
    try:
        with program.open("rb") as file:
            first = file.readline(1024).decode("utf-8", "replace").strip()
    except OSError:
        return ""
    if not first.startswith("#!"):
        return ""
    words = first[2:].split()
    if words and Path(words[0]).name == "env":
        words = [shutil.which(words[1]) or ""] if len(words) > 1 else []
    return words[0] if words and "python" in Path(words[0]).name else ""


def cmake_settings(variables: Mapping[str, Sequence[str]]) -> str:
    """Text of a CMake file that sets lists of strings, each as it is."""
    lines = ["# Generated; included by CMakeLists.txt."]
    for name, values in variables.items():
        words = "".join(f" {quoted(value)}" for value in values)
        lines.append(f"set({name}{words})")
    return "\n".join(lines) + "\n"


def _text_of(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def check_modules(tree: ZephyrTree, board: Mapping[str, Any]) -> None:
    """Make sure that the modules are there that a board takes.

    Raises:
        ProjectError: One is not.
    """
    there = tree.modules()
    wanted: list[tuple[str, ...]] = [(name,) for name in board["zephyr"]["modules"]]
    if board["cpu"]["arch"] == "arm":
        wanted.append(("cmsis", "cmsis_6"))
    for names in wanted:
        if not any(name in there for name in names):
            raise server.ProjectError(
                f"Zephyr's module {names[0]} is not there, which board {board['name']} takes",
                cure=f"run 'west update {names[0]}' in {tree.workspace() or tree.base.parent}",
            )
