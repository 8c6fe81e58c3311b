"""What tests ask of, and change in, a board's table of its platform."""

from __future__ import annotations

import dataclasses
from typing import Any

from pytest_microtvm.boards import Board, PlatformTable


def toolchain_of(board: Board) -> dict[str, Any]:
    """The table `toolchain` of a board of `baremetal` or `host`, with every key."""
    defaults = {"prefix": "", "flags": [], "includes": [], "libraries": [], "install": ""}
    return {**defaults, **board.settings.get("toolchain", {})}


def has_tests_of_its_own(board: Board) -> bool:
    """Whether the board is left to other tests.

    Those of its platform, which builds by others' tools, or of kernels, where vectors are all that
    it has over another board.
    """
    return board.platform in ("arduino", "freertos", "zephyr") or board.cpu.simd == "rvv"


def with_settings(board: Board, **changes: Any) -> Board:
    """The board with keys of its platform's table changed; those that become None are removed."""
    settings = {**board.settings, **changes}
    kept = {key: value for key, value in settings.items() if value is not None}
    tables = tuple(
        PlatformTable.of(board.platform, kept) if table.platform == board.platform else table
        for table in board.tables
    )
    return dataclasses.replace(board, tables=tables)
