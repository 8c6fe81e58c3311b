"""The page of several runs: how each figure went, or how two runs compare."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pytest_microtvm.report.history import Run, series_of
from pytest_microtvm.report.html.page import render
from pytest_microtvm.report.html.rows import FIGURES
from pytest_microtvm.report.names import short_names

SCRIPTS = ("drawing.js", "table.js", "trends.js")


def trends_page(runs: Sequence[Run], title: str) -> str:
    """Make the page of several runs.

    Args:
        runs: From the oldest on.
        title: What they have in common.

    Returns:
        HTML.

    Raises:
        ConfigError: A library is missing.
    """
    every = series_of(runs)
    names = short_names(series.model for series in every)
    titles = dict(FIGURES)
    shown = [series for series in every if series.metric in titles]
    rows = [
        {
            "id": f"s{number}",
            "subject": f"{names[each.model]} on {each.board}, {each.executor}",
            "metric": titles[each.metric],
            "first": each.known[0],
            "last": each.values[-1],
            "change": each.change,
            "outcome": _direction(each.change),
        }
        for number, each in enumerate(shown, 1)
    ]
    data: dict[str, Any] = {
        "runs": [run.label for run in runs],
        "series": [
            {"id": row["id"], "name": row["subject"], "metric": each.metric, "values": each.values}
            for row, each in zip(rows, shown, strict=True)
        ],
    }
    found = {row["outcome"] for row in rows}
    directions = [each for each in ("grew", "shrank", "same") if each in found]
    metrics = [pair for pair in FIGURES if any(each.metric == pair[0] for each in shown)]
    return render(
        "trends.html.jinja",
        SCRIPTS,
        data,
        {
            "title": f"{title}: microtvm",
            "heading": "microtvm",
            "project": title,
            "lede": f"{len(runs)} runs, from {runs[0].label} to {runs[-1].label}",
            "counts": [(each, sum(row["outcome"] == each for row in rows)) for each in directions],
            "about": [],
            "rows": rows,
            "directions": directions,
            "figures": metrics,
        },
    )


def _direction(change: float | None) -> str:
    if not change:
        return "same"
    return "grew" if change > 0 else "shrank"
