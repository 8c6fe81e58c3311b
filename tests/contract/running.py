"""Helpers for tests that run firmware."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from pytest_microtvm.boards import Board
from tests.boards import toolchain_of


def need_tools(board: Board) -> None:
    """Skip the test when the board's tools are not installed."""
    toolchain = toolchain_of(board)
    programs = {
        f"{toolchain['prefix']}gcc": toolchain["install"],
        "make": "apt-get install make",
    }
    if board.emulator is not None:
        programs[board.emulator.program] = board.emulator.install
    for program, install in programs.items():
        if shutil.which(program) is None:
            pytest.skip(f"{program} is missing; install it: {install}")
    for name in (*toolchain["includes"], *toolchain["libraries"]):
        if not find_library(board, name).exists():
            pytest.skip(f"{name} is missing; install it: {toolchain['install']}")


def find_library(board: Board, name: str) -> Path:
    """Where a library is that a board gives by its path or, as `-lm`, by its name."""
    if not name.startswith("-l"):
        return Path(name)
    toolchain = toolchain_of(board)
    command = [
        f"{toolchain['prefix']}gcc",
        *toolchain["flags"],
        f"-print-file-name=lib{name[2:]}.a",
    ]
    return Path(subprocess.check_output(command, text=True).strip())


def children_of(pid: int) -> list[int]:
    """The children of a process's main thread."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
