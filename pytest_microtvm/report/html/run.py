"""The page of one run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pytest_microtvm.measure.records import OUTCOMES
from pytest_microtvm.report.html.page import render
from pytest_microtvm.report.html.rows import FIGURES, MARKS, Row, columns_of, rows_of

SCRIPTS = ("drawing.js", "charts.js", "pictures.js", "table.js", "report.js")
_WRONG = ("failed", "error")


@dataclass(frozen=True)
class TestOutcome:
    """What came of a test.

    Attributes:
        id: The test's id.
        outcome: One of `OUTCOMES`.
        seconds: How long it took, with what is around it.
        text: What pytest says went wrong.
        log: What was printed meanwhile, the lines that the device logs among them.
        command: A command line that runs this test alone.
    """

    __test__ = False  # for pytest, where a test imports it

    id: str
    outcome: str
    seconds: float
    text: str = ""
    log: str = ""
    command: str = ""

    def to_data(self) -> dict[str, Any]:
        """The same, of plain types."""
        return dict(vars(self))


@dataclass(frozen=True)
class About:
    """What a page says of a run.

    Attributes:
        project: The folder that was tested.
        finished: When it was at its end, for a person.
        seconds: How long it took; None where that is not known.
        facts: Name and value of further things: versions, the command line.
    """

    project: str
    finished: str
    seconds: float | None = None
    facts: tuple[tuple[str, str], ...] = ()


def run_page(
    records: Sequence[Mapping[str, Any]], tests: Sequence[TestOutcome], about: About
) -> str:
    """Make the page of a run.

    Args:
        records: As `Record.to_json` gives them.
        tests: All tests, those that reached no board among them.
        about: The run.

    Returns:
        HTML.

    Raises:
        ConfigError: A library is missing.
    """
    rows = rows_of(records, [test.to_data() for test in tests])
    arenas: list[Any] = []
    data = {"rows": [row.to_data(arenas) for row in rows], "arenas": arenas, "figures": FIGURES}
    found = Counter(row.outcome for row in rows)
    outcomes = [outcome for outcome in reversed(OUTCOMES) if found[outcome]]
    return render(
        "report.html.jinja",
        SCRIPTS,
        data,
        {
            "title": f"{about.project}: microtvm report",
            "heading": "microtvm",
            "project": about.project,
            "lede": _lede(rows, about),
            "counts": [(outcome, found[outcome]) for outcome in outcomes],
            "about": [("Finished", about.finished), *about.facts],
            "matrix": _matrix(rows),
            "marks": MARKS,
            "shown_outcomes": outcomes,
            "rows": rows,
            "wrong": _wrong(rows, tests),
            "columns": [
                {"title": title, "is_number": is_number} for title, is_number in columns_of(rows)
            ],
            "figures": [
                pair for pair in FIGURES if any(pair[0] in r.record["metrics"] for r in rows)
            ],
        },
    )


def _lede(rows: Sequence[Row], about: About) -> str:
    """The run in one line."""
    parts = [
        _counted(len({row.model for row in rows}), "model"),
        _counted(len({row.board for row in rows}), "board"),
        _counted(len({row.executor for row in rows}), "executor"),
    ]
    line = f"{', '.join(parts)} · {about.finished}"
    return line if about.seconds is None else f"{line} · {about.seconds:,.1f} s"


def _counted(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"


def _matrix(rows: Sequence[Row]) -> dict[str, Any]:
    """Models by boards; in each cell the rows of all executors."""
    boards = list(dict.fromkeys(row.board for row in rows))
    names = {row.model: row.name for row in rows}
    cells: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        cells.setdefault((row.model, row.board), []).append(row)
    return {
        "boards": boards,
        "executors": list(dict.fromkeys(row.executor for row in rows)),
        "rows": [
            (name, [cells.get((model, board), []) for board in boards])
            for model, name in names.items()
        ],
    }


def _wrong(rows: Sequence[Row], tests: Sequence[TestOutcome]) -> list[dict[str, Any]]:
    """The tests that went wrong, each with its row; also those that reached no board."""
    found: dict[str, dict[str, Any]] = {}
    for row in rows:
        for test in row.tests:
            if test["outcome"] in _WRONG:
                found.setdefault(test["id"], {**test, "row": row.id})
    for outcome in tests:
        if outcome.outcome in _WRONG and outcome.id not in found:
            found[outcome.id] = {**outcome.to_data(), "error": "", "row": None}
    return list(found.values())
