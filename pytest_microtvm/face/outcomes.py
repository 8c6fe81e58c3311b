"""Reports of single tests: errors are no failures, and all of them point at the test."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_microtvm.errors import DoesNotFit, MicroTVMError
from pytest_microtvm.face.results import IN_TEST

if TYPE_CHECKING:
    from pytest_microtvm.face.run import Run

_OURS = Path(__file__).parents[1]


def adapt_report(
    report: pytest.TestReport, item: pytest.Item, call: pytest.CallInfo[Any], run: Run | None
) -> None:
    """Keep errors and failures apart, and note what came of the test.

    A broken board is no verdict on the model. pytest knows errors around a test only: what goes
    wrong inside of one is a failure to all of its reporters. So our errors are reported as of the
    set-up, and `name_phases` puts the name right where it is shown.

    Args:
        report: Of a phase of the test; changed.
        item: The test.
        call: What the phase did.
        run: Of pytest; None where no board was named.
    """
    error = call.excinfo.value if call.excinfo is not None else None
    if isinstance(error, DoesNotFit) and run is not None and not run.is_named(error.board):
        # The board was found by a glob or a tag: nobody said that this model runs there.
        report.outcome, report.when = "skipped", "setup"
        report.longrepr = _place(item, f"Skipped: {error.one_line()}")
        run.results.note_outcome(item, "skipped", error.one_line())
        return
    if report.skipped and isinstance(report.longrepr, tuple):
        path, _line, reason = report.longrepr
        if Path(path).is_relative_to(_OURS):
            report.longrepr = _place(item, reason)
    if isinstance(error, MicroTVMError):
        assert call.excinfo is not None
        # A user needs the lines of the test and what the tools said, not the way through our code.
        if not item.config.option.fulltrace:
            text = f"{type(error).__name__}: {error}"
            report.longrepr = "\n".join([*_lines_of_user(call.excinfo, item.config), text])
        if report.when == "call":
            report.when = "setup"
            setattr(report, IN_TEST, True)
    if run is not None:
        _note(report, item, error, run)


def name_phases(reports: Iterable[Any]) -> None:
    """Name the phase of errors that tests' own bodies met, before pytest shows them."""
    for report in reports:
        if getattr(report, IN_TEST, False):
            report.when = "call"


def _note(
    report: pytest.TestReport, item: pytest.Item, error: BaseException | None, run: Run
) -> None:
    if report.failed:
        outcome = "failed" if report.when == "call" else "error"
        run.results.note_outcome(item, outcome, one_line(error))
    elif report.passed and report.when == "call":
        run.results.note_outcome(item, "passed")
    elif report.skipped and not run.settings.build_only and not hasattr(report, "wasxfail"):
        run.results.note_outcome(item, "skipped")


def one_line(error: BaseException | None) -> str:
    """What went wrong with a test, on one line."""
    if isinstance(error, MicroTVMError):
        return error.one_line()
    text = str(error).strip() or type(error).__name__
    return " ".join(text.splitlines()[0].split())


def _place(item: pytest.Item, reason: str) -> tuple[str, int, str]:
    """Where a test is skipped, and why, as pytest's reports have it."""
    path, line, _name = item.reportinfo()
    return os.fspath(path), (line or 0) + 1, reason


def _lines_of_user(
    excinfo: pytest.ExceptionInfo[BaseException], config: pytest.Config
) -> Iterator[str]:
    """The way to an error, as far as it is in the code of tests."""
    for entry in excinfo.traceback:
        path = Path(entry.path)
        is_installed = "site-packages" in path.parts or path.is_relative_to(_OURS)
        if is_installed or not (path.is_relative_to(config.rootpath) and path.is_file()):
            continue
        shown = os.path.relpath(path, config.invocation_params.dir)
        yield f"{shown}:{entry.lineno + 1}: in {entry.name}"
        yield f"    {str(entry.statement).strip()}"
