"""Real boards that project options name, and how one is debugged by hand."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pytest_microtvm.boards import Board
from pytest_microtvm.lab.file import LabBoard
from pytest_microtvm.mlf.library import ModelLibrary

_REAL = {"port": "port", "usb": "usb", "probe": "probe", "flash_method": "flash"}
_REAL_COMMANDS = {"flash_command": "flash_command", "reset_command": "reset"}
"""Project options that say which real board is meant, and what a lab calls them."""


def named_board(board: Board, options: Mapping[str, Any]) -> list[LabBoard]:
    """The real board that project options name, as a lab would have it."""
    named: dict[str, Any] = {
        key: str(options[option]) for option, key in _REAL.items() if options.get(option)
    }
    if not named or board.flash is None:
        return []
    for option, key in _REAL_COMMANDS.items():
        if options.get(option):
            named[key] = tuple(words_of(options[option]))
    return [LabBoard(name=board.name, kind=board.name, **named)]


def words_of(value: Any) -> list[str]:
    """A list of words that may be given as one text."""
    return shlex.split(value) if isinstance(value, str) else list(value or ())


def how_to_connect(
    directory: Path, elf: Path | None, library: ModelLibrary, boards: Sequence[LabBoard]
) -> str:
    """How to debug a real board by hand; `boards` are those that there are."""
    probes = [board.probe for board in boards if board.probe and ":" in board.probe]
    run = ["microtvm", "run", str(directory), "--number=1000000", "--timeout=1000000"]
    gdb = ["gdb-multiarch", str(elf), "-ex"]
    gdb += [f"target extended-remote {probes[0] if probes else 'HOST:PORT'}"]
    if library.kernels:
        gdb += ["-ex", f"break {library.kernels[0].name}", "-ex", "continue"]
    return (
        f"keep the model running by `{shlex.join(run)}`, then connect to the gdb server of the "
        f"board's probe (openocd and pyocd have one) by `{shlex.join(gdb)}`"
    )
