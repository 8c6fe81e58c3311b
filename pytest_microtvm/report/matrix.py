"""Models × boards at one look: a mark for each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from pytest_microtvm.report.layout import GAP, Paint, fold, plain, shorten_apart
from pytest_microtvm.report.names import short_names

if TYPE_CHECKING:
    from pytest_microtvm.measure.records import Record

_NOT_RUN = "\N{EN DASH}"
MARKS = {"passed": "✓", "failed": "✗", "error": "!", "skipped": _NOT_RUN, "built": _NOT_RUN}
"""By outcome."""
COLOURS = {"passed": "green", "failed": "red", "error": "red", "skipped": "yellow", "built": ""}
"""By outcome, likewise."""
_ABSENT = " "
_NARROWEST = 12
"""A heading is not made narrower than this."""


def matrix(records: Sequence[Record], width: int, paint: Paint = plain) -> Iterator[str]:
    """A table of marks, one for each executor; nothing where there is one model or one board.

    Args:
        records: Of the run.
        width: Characters of a line.
        paint: Gives marks their colours.
    """
    names = short_names(record.model for record in records)
    outcomes = {
        (names[record.model], record.board, record.executor): record.outcome for record in records
    }
    models, boards, executors = (
        list(dict.fromkeys(key[part] for key in outcomes)) for part in range(3)
    )
    if len(models) < 2 or len(boards) < 2:
        return
    is_turned = len(boards) > len(models)  # the longer side goes down the page
    rows, columns = (boards, models) if is_turned else (models, boards)
    labels = shorten_apart(rows, max(width // 3, _NARROWEST))
    label_width = max(map(len, labels))
    room = width - label_width
    each = max(_NARROWEST, room // len(columns) - len(GAP), len(executors))
    at_once = max(1, room // (each + len(GAP)))
    yield from fold(f"{_legend(executors)}:", width)
    for first in range(0, len(columns), at_once):
        shown = columns[first : first + at_once]
        short = shorten_apart(shown, each)
        headings = [heading.ljust(len(executors)) for heading in short]
        yield (" " * label_width + "".join(GAP + heading for heading in headings)).rstrip()
        for row, label in zip(rows, labels, strict=True):
            cells = []
            for column, heading in zip(shown, headings, strict=True):
                model, board = (column, row) if is_turned else (row, column)
                marks = [outcomes.get((model, board, executor)) for executor in executors]
                painted = "".join(
                    paint(MARKS[mark], COLOURS[mark]) if mark else _ABSENT for mark in marks
                )
                cells.append(GAP + painted + " " * (len(heading) - len(marks)))
            yield (label.ljust(label_width) + "".join(cells)).rstrip()


def _legend(executors: Sequence[str]) -> str:
    marks = f"✓ passed, ✗ failed, ! error, {_NOT_RUN} not run"
    return marks if len(executors) < 2 else f"{', '.join(executors)} of each: {marks}"
