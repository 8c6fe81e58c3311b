"""The report that `--microtvm-html` asks for."""

from __future__ import annotations

import os
import shlex
import sys
import time
from collections.abc import Iterator, Sequence
from datetime import datetime
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_microtvm.face.results import IN_TEST
from pytest_microtvm.measure.record_files import check_writable, write_file
from pytest_microtvm.report.html.page import require_libraries
from pytest_microtvm.report.html.run import About, TestOutcome, run_page
from pytest_microtvm.version import __version__

if TYPE_CHECKING:
    from pytest_microtvm.measure.records import Record

OPTION = "--microtvm-html"

MAX_TEXT = 20_000
"""Characters of an error, or of what was printed; of more the end is kept."""

_NOT_REPEATED = {"board", "executor", "platform", "html", "json", "debug", "list-boards"}
_PACKAGES = ("apache-tvm", "pytest", "numpy", "ai-edge-litert", "onnxruntime", "pytest-xdist")
_RANKS = ("passed", "skipped", "failed", "error")


class HtmlReport:
    """Writes a page about a run.

    Args:
        path: The file.
        config: pytest's configuration.

    Raises:
        ConfigError: It cannot be written, or a library is missing.
    """

    def __init__(self, path: Path, config: pytest.Config) -> None:
        require_libraries()
        check_writable(path, OPTION)
        self._path = path
        self._is_written = False
        self._config = config
        self._start = time.monotonic()
        self._tests: dict[str, TestOutcome] = {}
        self._seconds: dict[str, float] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take what came of a part of a test; with pytest-xdist, in the controlling process."""
        seconds = self._seconds.get(report.nodeid, 0.0) + report.duration
        self._seconds[report.nodeid] = seconds
        outcome = _outcome_of(report)
        known = self._tests.get(report.nodeid)
        if outcome is None and known is None:
            return
        ranked = [each for each in (known and known.outcome, outcome) if each]
        text = "" if outcome in ("passed", None) else report.longreprtext
        log = "".join(content for _title, content in report.sections)  # of all parts so far
        self._tests[report.nodeid] = TestOutcome(
            report.nodeid,
            max(ranked, key=_RANKS.index),
            seconds,
            _end_of("\n".join(filter(None, (known.text if known else "", text)))),
            _end_of(log),
            self._command(report),
        )

    def pytest_microtvm_report(self, records: Sequence[Record]) -> None:
        """Write the page."""
        about = About(
            self._config.rootpath.name,
            datetime.now().astimezone().strftime("%Y-%m-%d %H:%M:%S %Z"),
            time.monotonic() - self._start,
            tuple(self._facts()),
        )
        page = run_page([record.to_json() for record in records], list(self._tests.values()), about)
        write_file(self._path, page, OPTION)
        self._is_written = True

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Say where the page is."""
        if not self._is_written:
            return
        shown = os.path.relpath(self._path, self._config.invocation_params.dir)
        terminalreporter.line(f"the report is in {shown}")

    def _facts(self) -> Iterator[tuple[str, str]]:
        yield "Command", shlex.join(["pytest", *self._config.invocation_params.args])
        yield "Folder", str(self._config.invocation_params.dir)
        yield "Python", f"{sys.version.split()[0]} on {sys.platform}"
        yield "pytest-microtvm", __version__
        for package in _PACKAGES:
            try:
                yield package, metadata.version(package)
            except metadata.PackageNotFoundError:
                continue

    def _command(self, report: pytest.TestReport) -> str:
        """A command line for the folder where pytest was started, that runs this test alone."""
        about = dict(report.user_properties)
        if "microtvm_board" not in about:
            known = self._tests.get(report.nodeid)
            return known.command if known else ""
        path, separator, name = report.nodeid.partition("::")
        start = self._config.invocation_params.dir
        test = os.path.relpath(self._config.rootpath / path, start) + separator + name
        options = [f"--microtvm-{key}={about[f'microtvm_{key}']}" for key in ("board", "executor")]
        return shlex.join(["pytest", test, *options, *_other_options(self._config)])


def _outcome_of(report: pytest.TestReport) -> str | None:
    """What a part of a test came to; None for one that is around a test, and went well."""
    if report.failed:
        is_verdict = report.when == "call" and not getattr(report, IN_TEST, False)
        return "failed" if is_verdict else "error"
    if report.skipped:
        return "skipped"
    return "passed" if report.when == "call" else None


def _other_options(config: pytest.Config) -> Iterator[str]:
    """The plugin's options of this run that hold for any test."""
    arguments = iter(config.invocation_params.args)
    for argument in arguments:
        option, has_value, value = str(argument).partition("=")
        name = option.removeprefix("--microtvm-")
        if name == option:
            continue
        known: Any = getattr(config.option, f"microtvm_{name.replace('-', '_')}", None)
        if not has_value and not isinstance(known, bool):
            value, has_value = str(next(arguments, "")), "="
        if name not in _NOT_REPEATED:
            yield f"{option}{has_value}{value}"


def _end_of(text: str) -> str:
    return text if len(text) <= MAX_TEXT else f"[...]\n{text[-MAX_TEXT:]}"
