"""A column and a section in the report of pytest-html, where that is installed."""

from __future__ import annotations

from collections.abc import Callable
from html import escape
from typing import TYPE_CHECKING, Any

import pytest

from pytest_microtvm.report.html.rows import FIGURES, MARKS, rows_of

if TYPE_CHECKING:
    from pytest_microtvm.measure.records import Record

_COLUMN = 2  # after result and test


class PytestHtml:
    """Adds to pytest-html's report.

    Args:
        records: Gives the records of the run so far.
    """

    def __init__(self, records: Callable[[], list[Record]]) -> None:
        self._records = records
        self._about: dict[str, dict[str, Any]] = {}

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note what a test ran; pytest-html asks for its rows after the last part of a test."""
        if report.when == "teardown":
            self._about[report.nodeid] = dict(report.user_properties)

    @pytest.hookimpl(optionalhook=True)
    def pytest_html_results_table_header(self, cells: list[str]) -> None:
        """Add a column."""
        cells.insert(_COLUMN, '<th class="sortable" data-column-type="microtvm">Board</th>')

    @pytest.hookimpl(optionalhook=True)
    def pytest_html_results_table_row(self, report: pytest.TestReport, cells: list[str]) -> None:
        """Say where a test ran, and what that cost."""
        about = self._about.get(report.nodeid, {})
        words = []
        if "microtvm_board" in about:
            words.append(f"{about['microtvm_board']}, {about['microtvm_executor']}")
        for name, title in FIGURES:
            if f"microtvm_{name}" in about:
                words.append(f"{title} {about[f'microtvm_{name}']:,.0f}")
        text = "; ".join(map(escape, words))
        cells.insert(_COLUMN, f'<td class="col-microtvm">{text}</td>')

    @pytest.hookimpl(optionalhook=True)
    def pytest_html_results_summary(self, postfix: list[str]) -> None:
        """Add the table of models and boards."""
        rows = rows_of([record.to_json() for record in self._records()])
        if not rows:
            return
        lines = []
        for row in rows:
            cells = (row.name, row.board, row.executor, f"{MARKS[row.outcome]} {row.outcome}")
            figures = [cell.text for cell in row.cells[-len(row.figures) :]]
            texts = (*cells, row.differs, *figures)
            lines.append("".join(f"<td>{escape(text)}</td>" for text in texts))
        titles = ("Model", "Board", "Executor", "Tests", "Outputs", *dict(rows[0].figures).values())
        head = "".join(f"<th>{escape(title)}</th>" for title in titles)
        body = "".join(f"<tr>{line}</tr>" for line in lines)
        postfix.append(
            '<h2>microtvm</h2><table class="microtvm" style="border-spacing: 1em 0">'
            f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
        )
