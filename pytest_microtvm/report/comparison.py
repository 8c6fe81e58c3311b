"""Two runs held against each other, for a person."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from typing import TYPE_CHECKING

from pytest_microtvm.report.layout import fold
from pytest_microtvm.report.names import short_names

if TYPE_CHECKING:
    from pytest_microtvm.measure.baseline import RunComparison


def comparison_lines(comparison: RunComparison, width: int | None = None) -> Iterator[str]:
    """What changed from one run to another, by model and board.

    Args:
        comparison: Of the runs.
        width: Characters of a line; None for the terminal's.
    """
    columns = shutil.get_terminal_size().columns if width is None else width
    names = short_names(
        model for model, _board, _executor in [*comparison.changes, *comparison.only_one]
    )
    for (model, board, executor), changes in comparison.changes.items():
        if not changes:
            continue
        yield from fold(f"{names[model]} on {board}, {executor}:", columns)
        for change in changes:
            mark = "! " if change.is_over else "  "
            yield from fold(f"{mark}{change.line()}", columns, "    ")
            for where in change.where:
                yield from fold(f"      {where}", columns, "        ")
    for (model, board, executor), which in comparison.only_one.items():
        yield from fold(f"{names[model]} on {board}, {executor}: only in {which}", columns)
    same = sum(not changes for changes in comparison.changes.values())
    changed = len(comparison.changes) - same
    yield from fold(
        f"{changed} of {len(comparison.changes)} changed"
        + (f", {len(comparison.only_one)} in one run only" if comparison.only_one else "")
        + (", some more than they may" if comparison.is_over else ""),
        columns,
    )
