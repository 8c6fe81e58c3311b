"""What boards there are: their definitions, and which of them a run means.

definition    a board as its `NAME.toml` describes it, and where definitions are found
selection     boards by name, glob or tag, and those that can run here
"""

from pytest_microtvm.boards.definition import (
    ENTRY_POINT_GROUP,
    Board,
    Cpu,
    Emulator,
    Flash,
    MemoryRegion,
    Setup,
    Timer,
    Toolchain,
    Uart,
    board_from_json,
    load_board,
    load_boards,
)

__all__ = [
    "ENTRY_POINT_GROUP",
    "Board",
    "Cpu",
    "Emulator",
    "Flash",
    "MemoryRegion",
    "Setup",
    "Timer",
    "Toolchain",
    "Uart",
    "board_from_json",
    "load_board",
    "load_boards",
]
