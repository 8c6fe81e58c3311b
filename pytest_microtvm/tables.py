"""What a run prints for a person."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pytest_microtvm.boards import Board
    from pytest_microtvm.verify.records import Record


def board_table(boards: dict[str, Board]) -> Iterator[str]:
    """The known boards, a line each."""
    rows = [(b.name, b.platform, b.cpu.core or b.cpu.arch, b.description) for b in boards.values()]
    rows.insert(0, ("BOARD", "PLATFORM", "CPU", "DESCRIPTION"))
    yield from format_table(rows)


def format_table(
    rows: Sequence[Sequence[str]], right: Callable[[int], bool] = lambda column: False
) -> list[str]:
    """Align columns; `right` tells which ones are numbers."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = [
            cell.rjust(width) if right(index) else cell.ljust(width)
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    return lines


def verdict_table(records: Sequence[Record]) -> list[str]:
    """The verdicts and metrics of a run, a line each."""
    return format_table([_HEADINGS, *map(_row, records)], right=lambda column: column > 3)


_HEADINGS = (
    "MODEL",
    "BOARD",
    "EXECUTOR",
    "VERDICT",
    "MISMATCHED",
    "FLASH",
    "RAM",
    "ARENA",
    "LATENCY",
)


def _row(record: Record) -> tuple[str, ...]:
    def metric(name: str, scale: float = 1.0, unit: str = "") -> str:
        found = record.metrics.get(name)
        return f"{found['value'] / scale:,.{3 if unit else 0}f}{unit}" if found else "-"

    return (
        Path(record.model).name,
        record.board,
        record.executor,
        record.outcome,
        f"{record.mismatched:,} of {record.elements:,}" if record.elements else "-",
        metric("flash_bytes"),
        metric("ram_bytes"),
        metric("arena_bytes"),
        metric("latency_us", 1000.0, " ms"),
    )
