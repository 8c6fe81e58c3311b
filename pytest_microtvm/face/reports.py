"""The reports and checks of figures that a run was asked for, as plugins of pytest."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from pytest_microtvm.face.ci_reports import CiReports

if TYPE_CHECKING:
    import pytest

    from pytest_microtvm.face.run import Run


def register_reports(config: pytest.Config, run: Run) -> None:
    """Register what was asked for.

    Raises:
        ConfigError: A file cannot be read or written.
    """
    for name, plugin in _wanted(config, run):
        config.pluginmanager.register(plugin, f"microtvm-{name}")


def _wanted(config: pytest.Config, run: Run) -> Iterator[tuple[str, object]]:
    settings = run.settings
    if settings.json_path is not None:
        from pytest_microtvm.face.json_report import JsonReport

        yield "json", JsonReport(settings.json_path)
    if settings.baseline is not None:
        from pytest_microtvm.face.baselines import BaselineCheck, BaselineUpdate

        kind = BaselineUpdate if settings.baseline_update else BaselineCheck
        yield "baseline", kind(settings.baseline, settings.limits, run.notes)
    if settings.budgets:
        from pytest_microtvm.face.baselines import BudgetCheck

        yield "budgets", BudgetCheck(settings.budgets, run.board)
    if run.processes.worker is not None:
        return
    yield "ci", CiReports(config, run.notes, settings.markdown_path)
    if settings.html_path is not None:
        from pytest_microtvm.face.html_report import HtmlReport

        yield "html", HtmlReport(settings.html_path, config)
    if config.pluginmanager.hasplugin("html"):
        from pytest_microtvm.face.pytest_html import PytestHtml

        yield "pytest-html", PytestHtml(run.results.all_records)
