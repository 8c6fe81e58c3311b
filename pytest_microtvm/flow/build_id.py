"""The build id of a firmware: a hash of everything that decides what the device runs."""

from __future__ import annotations

import functools
import hashlib
import json
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pytest_microtvm.boards import Board
from pytest_microtvm.errors import BuildError
from pytest_microtvm.measure import elf
from pytest_microtvm.mlf.library import ModelLibrary
from pytest_microtvm.project.lifecycle import RUNTIME, SERVER, platform_directory


def build_id_of(library: ModelLibrary, board: Board, executor: str, options: dict[str, Any]) -> str:
    """Hash everything that decides what the device runs."""
    parts = {
        "library": library.sha256,
        "board": _board_text(board),
        "executor": executor,
        "template": _hash_files(platform_directory(board.platform)),
        "runtime": _hash_files(RUNTIME),
        "server": _hash_files(SERVER),
        "toolchain": _toolchain_version(board),
        "libraries": [_hash_library(name, board) for name in board.toolchain.libraries],
        "options": options,
        "image": _hash_file(Path(elf.__file__)),
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:32]


@functools.cache
def _board_text(board: Board) -> str:
    return board.to_json()


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
