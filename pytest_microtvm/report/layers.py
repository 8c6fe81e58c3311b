"""Where the instructions of a model go, as a table with bars."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest
from typing import TYPE_CHECKING

from pytest_microtvm.report.layout import GAP, Column, fitted, fold

if TYPE_CHECKING:
    from pytest_microtvm.measure.records import Record

_INDENT = "  "
_BAR = 40
"""Characters of a bar that stands for all instructions."""


def layer_table(record: Record, name: str, width: int = 80) -> list[str]:
    """Where the instructions of a model go, a line for each call of a kernel.

    Args:
        record: Of the model.
        name: What the table calls the model.
        width: Characters of a line.
    """
    title = f"{name} on {record.board}, {record.executor}"
    if not record.layers:
        return fold(f"{title}: {record.absent.get('instructions', 'it was not run')}", width)
    total = int(record.metrics["instructions"]["value"])
    own = total - sum(layer["instructions"] for layer in record.layers)
    rows = []
    for layer in record.layers:
        macs, per_mac = layer["macs"], layer["instructions_per_mac"]
        rows.append(
            (
                record.layer_name(layer["kernel"]),
                *_share(layer["instructions"], total),
                "-" if macs is None else f"{macs:,}",
                "-" if per_mac is None else f"{per_mac:,.2f}",
                f"{layer['workspace_bytes']:,}",
            )
        )
    rows.append(("(executor)", *_share(own, total), "-", "-", "-"))
    headings = ("KERNEL", "INSTRUCTIONS", "SHARE", "MACS", "PER MAC", "WORKSPACE")
    columns = [
        Column(heading, [row[index] for row in rows], is_name=index == 0, is_number=index > 0)
        for index, heading in enumerate(headings)
    ]
    tables = list(fitted(columns, width - len(_INDENT)))
    bars = []
    if len(tables) == 1:
        room = width - len(_INDENT) - max(map(len, tables[0])) - len(GAP)
        bars = ["", *_bars([layer["instructions"] for layer in record.layers], total, room)]
    estimate = record.metrics.get("estimated_cycles")
    cycles = f", ~{estimate['value']:,.0f} cycles" if estimate else ""
    lines = fold(f"{title}: {total:,} instructions{cycles}", width)
    for table in tables:
        for line, bar in zip_longest(table, bars, fillvalue=""):
            lines.append(f"{_INDENT}{line}{GAP}{bar}".rstrip())
    return lines


def _bars(counts: Sequence[int], total: int, room: int) -> list[str]:
    """A bar for each of some counts; none is longer than there is room for."""
    scale = min(_BAR / total, room / max(*counts, 1))
    return ["#" * round(count * scale) for count in counts]


def _share(instructions: int, total: int) -> tuple[str, str]:
    return f"{instructions:,}", f"{instructions / total:.1%}"
