"""What a run tells CI systems: itself as Markdown, and annotations of the tests that failed."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_microtvm.errors import ConfigError
from pytest_microtvm.measure.record_files import check_writable, write_file

if TYPE_CHECKING:
    from pytest_microtvm.measure.records import Record

OPTION = "--microtvm-markdown"
STEP_SUMMARY = "GITHUB_STEP_SUMMARY"
"""The variable by which GitHub names the file that becomes a part of the job's page."""
_OTHER_ANNOTATOR = "pytest_github_actions_annotate_failures"


@dataclass(frozen=True)
class Failure:
    """A test that failed.

    Attributes:
        text: What pytest shows of it.
        path: Its file, relative to pytest's root folder.
        line: Of the failure, or of the test; from 1 on.
    """

    text: str
    path: str
    line: int


class CiReports:
    """Writes a run as Markdown, and prints annotations.

    Args:
        config: pytest's configuration.
        notes: What is not as in the baseline, a line each, once the run has ended.
        path: Where the Markdown goes besides GitHub's page; None for nowhere.
        environment: Of the process.

    Raises:
        ConfigError: A file cannot be written.
    """

    def __init__(
        self,
        config: pytest.Config,
        notes: list[str],
        path: Path | None,
        environment: Mapping[str, str] = os.environ,
    ) -> None:
        self._config = config
        self._notes = notes
        self._path = path
        self._summary = Path(environment[STEP_SUMMARY]) if environment.get(STEP_SUMMARY) else None
        self._workspace = environment.get("GITHUB_WORKSPACE") or os.fspath(config.rootpath)
        self._annotates = environment.get("GITHUB_ACTIONS") == "true"
        self._failures: dict[str, Failure] = {}
        if path is not None:
            check_writable(path, OPTION)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take what a test fails with; with pytest-xdist, in the controlling process."""
        if report.failed:
            path, line, _name = report.location
            self._failures[report.nodeid] = Failure(
                report.longreprtext, path, _line_of(report, path) or (line or 0) + 1
            )

    def pytest_microtvm_report(self, records: Sequence[Record]) -> None:
        """Write the Markdown."""
        if self._path is None and self._summary is None:
            return
        from pytest_microtvm.report.markdown import markdown

        texts = {test: failure.text for test, failure in self._failures.items()}
        text = markdown(records, texts, self._notes)
        if self._path is not None:
            write_file(self._path, text, OPTION)
        if self._summary is not None:
            try:
                with self._summary.open("a", encoding="utf-8") as file:
                    file.write(text)
            except OSError as error:
                raise ConfigError(
                    f"cannot write {self._summary}, which {STEP_SUMMARY} names: {error.strerror}",
                    cure="unset the variable",
                ) from error

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Print the annotations, if GitHub reads them and nobody else writes them."""
        if self._annotates and not self._config.pluginmanager.has_plugin(_OTHER_ANNOTATOR):
            for line in self._annotations():
                terminalreporter.line(line)

    def _annotations(self) -> Iterator[str]:
        root = self._config.rootpath
        for test, failure in self._failures.items():
            where = {
                "file": os.path.relpath(root / failure.path, self._workspace),
                "line": str(failure.line),
                "title": test,
            }
            told = ",".join(f"{key}={_escaped(value, ':,')}" for key, value in where.items())
            yield f"::error {told}::{_escaped(failure.text)}"


def _line_of(report: pytest.TestReport, path: str) -> int | None:
    """The line of a test's own file where it failed; None where that is elsewhere or not known."""
    crash: Any = getattr(report.longrepr, "reprcrash", None)
    if crash is not None:
        return int(crash.lineno) if str(crash.path).endswith(path) else None
    found = re.search(rf"^\S*{re.escape(Path(path).name)}:(\d+): in ", report.longreprtext, re.M)
    return int(found[1]) if found else None


def _escaped(text: str, special: str = "") -> str:
    """A text as GitHub's commands have it."""
    for character in f"%\r\n{special}":
        text = text.replace(character, f"%{ord(character):02X}")
    return text
