"""The build id of a firmware: a hash of everything that decides what the device runs."""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pytest_microtvm.boards import Board
from pytest_microtvm.measure import elf
from pytest_microtvm.mlf.library import ModelLibrary
from pytest_microtvm.project.lifecycle import RUNTIME, SERVER
from pytest_microtvm.project.platforms import Platform


def build_id_of(
    library: ModelLibrary,
    board: Board,
    platform: Platform,
    toolchain: str,
    executor: str,
    options: dict[str, Any],
) -> str:
    """Hash everything that decides what the device runs.

    Args:
        library: The model.
        board: The board, on the platform.
        platform: Its template makes the firmware.
        toolchain: The id of the toolchain.
        executor: Who runs the model.
        options: Of the project.
    """
    parts = {
        "library": library.sha256,
        "board": _board_text(board),
        "executor": executor,
        "template": template_hash(platform),
        "runtime": _hash_files(RUNTIME),
        "toolchain": toolchain,
        "options": options,
        "image": _hash_file(Path(elf.__file__)),
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:32]


def template_hash(platform: Platform) -> str:
    """The hash of a platform's template and of what servers of ours are made of."""
    return f"{_hash_files(platform.directory)} {_hash_files(SERVER)}"


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


def _hash_file(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
