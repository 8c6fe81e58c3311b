"""What boards there are: their definitions, and which of them a run means.

definition    a board as its `NAME.toml` describes it, and where definitions are found
old_form      definitions as they were written when a board had one platform
selection     boards by name, glob or tag, and those that can run here
"""

from pytest_microtvm.boards.definition import (
    ENTRY_POINT_GROUP,
    SIMAVR,
    Board,
    Cpu,
    Emulator,
    Flash,
    MemoryRegion,
    PlatformTable,
    board_from_json,
    load_board,
    load_boards,
)

__all__ = [
    "ENTRY_POINT_GROUP",
    "SIMAVR",
    "Board",
    "Cpu",
    "Emulator",
    "Flash",
    "MemoryRegion",
    "PlatformTable",
    "board_from_json",
    "load_board",
    "load_boards",
]
