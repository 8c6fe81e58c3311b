"""What a page says of a record: words for the tables, and the figures for the charts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest_microtvm.compiler.naming import sanitize
from pytest_microtvm.report.names import short_names

FIGURES = (
    ("flash_bytes", "Flash"),
    ("ram_bytes", "RAM"),
    ("arena_bytes", "Arena"),
    ("stack_bytes", "Stack"),
    ("instructions", "Instructions"),
    ("cycles", "Cycles"),
    ("latency_us", "Latency, µs"),
)
"""The figures that matter most, and what they are called."""
_SELDOM = ("cycles",)
"""Those of few boards: they have a column where some record has them."""

MARKS = {"passed": "✓", "failed": "✗", "error": "!", "skipped": "\u2013", "built": "●"}


@dataclass(frozen=True)
class Cell:
    """A cell of the table of results.

    Attributes:
        text: What it shows.
        value: What it is sorted by, where that is a number.
        badge: Whether it is the outcome.
    """

    text: str
    value: float | None = None
    badge: bool = False


@dataclass(frozen=True)
class Row:
    """One model on one board with one executor.

    Attributes:
        id: Its name in the page's addresses.
        record: As `Record.to_json` gives it.
        name: The model's, as short as it can be told from the others.
        tests: What came of its tests, see `TestOutcome.to_data`.
        figures: Those that the table has, and what they are called.
    """

    id: str
    record: Mapping[str, Any]
    name: str
    tests: Sequence[Mapping[str, Any]]
    figures: Sequence[tuple[str, str]]

    @property
    def model(self) -> str:
        """The model's path."""
        return str(self.record["model"])

    @property
    def board(self) -> str:
        """The board."""
        return str(self.record["board"])

    @property
    def executor(self) -> str:
        """The executor."""
        return str(self.record["executor"])

    @property
    def outcome(self) -> str:
        """The worst outcome of its tests."""
        return str(self.record["outcome"])

    @property
    def differs(self) -> str:
        """The verdict in words."""
        record = self.record
        if record["mismatched"]:
            return f"{record['mismatched']:,} of {record['elements']:,} differ"
        if record["verdict"] == "mismatch":
            return "the compiled model differs"
        return f"{record['elements']:,} match" if record["verdict"] else "nothing compared"

    @property
    def told(self) -> str:
        """Outcome and verdict in words."""
        return f"{self.outcome}, {self.differs}"

    @property
    def cells(self) -> list[Cell]:
        """Of the table of results, as `columns_of` names them."""
        metrics = self.record["metrics"]
        check = self.record["model_check"]
        figures = [metrics.get(name) for name, _title in self.figures]
        return [
            Cell(self.name),
            Cell(self.board),
            Cell(self.executor),
            Cell(self.outcome, badge=True),
            Cell(self.differs),
            Cell("-" if check == "not checked" else check),
            *(
                Cell("-") if figure is None else Cell(f"{figure['value']:,.0f}", figure["value"])
                for figure in figures
            ),
        ]

    def to_data(self, arenas: list[Any]) -> dict[str, Any]:
        """For the page's scripts.

        Args:
            arenas: What the page has of them; most rows of a model have the same.
        """
        record = self.record
        arena = record.get("arena")
        if arena and arena not in arenas:
            arenas.append(arena)
        return {
            **{key: record[key] for key in _AS_THEY_ARE},
            "id": self.id,
            "name": self.name,
            "told": self.differs,
            "prefix": f"tvmgen_{sanitize(Path(self.model).stem, 'model')}_",
            "toolchain": record.get("toolchain", ""),
            "timings": record["timings_s"],
            "metrics": {
                name: [metric["value"], metric["unit"], metric["source"], metric["samples"]]
                for name, metric in record["metrics"].items()
            },
            "layers": [
                [layer["kernel"], layer["instructions"], layer["macs"], layer["workspace_bytes"]]
                for layer in record["layers"]
            ],
            "board_bytes": record.get("board_bytes", {}),
            "arena": arenas.index(arena) if arena else None,
            "pictures": record.get("pictures", []),
            "tests": self.tests,
        }


_WORDS = ("Model", "Board", "Executor", "Tests", "Outputs", "Check")


def columns_of(rows: Sequence[Row]) -> list[tuple[str, bool]]:
    """The columns of the table of results, and whether each has a figure."""
    figures = rows[0].figures if rows else ()
    return [
        *((title, False) for title in _WORDS),
        *((title, True) for _name, title in figures),
    ]


def rows_of(
    records: Sequence[Mapping[str, Any]], tests: Sequence[Mapping[str, Any]] = ()
) -> list[Row]:
    """The rows of a page.

    Args:
        records: As `Record.to_json` gives them.
        tests: What came of each test, see `TestOutcome.to_data`.
    """
    names = short_names(str(record["model"]) for record in records)
    known = {test["id"]: test for test in tests}
    figures = [
        pair
        for pair in FIGURES
        if pair[0] not in _SELDOM or any(pair[0] in record["metrics"] for record in records)
    ]
    return [
        Row(
            f"r{number}",
            record,
            names[str(record["model"])],
            [{**_NOTHING, **test, **known.get(test["id"], {})} for test in record["tests"]],
            figures,
        )
        for number, record in enumerate(records, 1)
    ]


_AS_THEY_ARE = (
    "model",
    "board",
    "executor",
    "outcome",
    "error",
    "reference",
    "max_abs_diff",
    "build_id",
    "cached",
    "absent",
    "model_check",
    "lab_boards",
    "incidents",
)
_NOTHING = {"seconds": None, "text": "", "log": "", "command": ""}
