"""The board of these tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pytest_microtvm.boards import Board, load_board
from pytest_microtvm.deadline import Deadline
from pytest_microtvm.project import generate_project, platform_directory
from tests.contract.libraries import DOUBLE

MEGA = "arduino:avr:mega:cpu=atmega2560"
DEFINITION = """\
name = "mega"

[cpu]
arch = "avr"

[[memory]]
name = "flash"
kind = "flash"
origin = 0x0000_0000
bytes = 0x0003_e000

[[memory]]
name = "ram"
kind = "ram"
origin = 0x0080_0200
bytes = {ram_bytes}

[flash]
method = "arduino-cli"
usb_ids = ["2341:0042"]

[arduino]
packet_bytes = 512
stack_bytes = 1024
flags = ["-DDECIMAL_DIG=__DECIMAL_DIG__"]
"""


def mega(directory: Path, more: str = "", fqbn: str = MEGA, ram_bytes: int = 8192) -> Board:
    """A Mega 2560.

    Args:
        directory: Where its definition goes.
        more: Further lines of its table.
        fqbn: Arduino's name of it.
        ram_bytes: Of RAM.
    """
    path = directory / "mega.toml"
    text = DEFINITION.replace("{ram_bytes}", str(ram_bytes))
    path.write_text(f'{text}fqbn = "{fqbn}"\n{more}')
    return load_board(path)


def generate(directory: Path, board: Board | None = None, **options: Any) -> Path:
    """A project with a model that doubles floats."""
    board = board or mega(directory)
    definition = directory / "board.json"
    definition.write_text(board.to_json())
    project = directory / "project"
    generate_project(
        platform_directory("arduino"),
        DOUBLE.write(directory / "model.tar"),
        project,
        {"board": board.name, "board_definition": str(definition), **options},
        Deadline(30),
    )
    return project
