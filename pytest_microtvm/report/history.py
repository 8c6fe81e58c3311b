"""How figures went from run to run."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest_microtvm.errors import ConfigError
from pytest_microtvm.measure.record_files import read_records

_CURE = "name a file that --microtvm-json wrote, or a folder of such files"


@dataclass(frozen=True)
class Run:
    """One run.

    Attributes:
        label: What it is called: its file's name.
        records: As `Record.to_json` gives them.
    """

    label: str
    records: Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Series:
    """One figure of a model on a board, in all runs.

    Attributes:
        model: The model.
        board: The board.
        executor: The executor.
        metric: The figure's name.
        unit: Its unit.
        values: By run; None where that has no such figure.
    """

    model: str
    board: str
    executor: str
    metric: str
    unit: str
    values: tuple[float | None, ...]

    @property
    def known(self) -> list[float]:
        """The values that are there."""
        return [value for value in self.values if value is not None]

    @property
    def change(self) -> float | None:
        """By what part the last value is off the one before; None where there are not two."""
        if self.values[-1] is None or len(self.known) < 2 or not self.known[-2]:
            return None
        return self.known[-1] / self.known[-2] - 1


def read_runs(paths: Sequence[Path]) -> list[Run]:
    """Read files of records.

    Args:
        paths: Files, and folders of files (`*.json`); those of a folder are in the order of their
            names, with numbers in them as numbers.

    Raises:
        ConfigError: One is not there, is no file of records, or there are none.
    """
    files = []
    for path in paths:
        files += sorted(path.glob("*.json"), key=_natural) if path.is_dir() else [path]
    if not files:
        raise ConfigError(f"{', '.join(map(str, paths))} has no records", cure=_CURE)
    labels = [file.stem for file in files]
    if len(set(labels)) < len(labels):  # of several folders
        labels = [str(file.with_suffix("")) for file in files]
    return [
        Run(label, [record.to_json() for record in read_records(file, "the path")])
        for label, file in zip(labels, files, strict=True)
    ]


def _natural(path: Path) -> list[tuple[int, str]]:
    parts = re.split(r"(\d+)", path.name)
    return [(int(part), "") if part.isdigit() else (0, part) for part in parts]


def series_of(runs: Sequence[Run]) -> list[Series]:
    """Every figure in every run."""
    found: dict[tuple[str, str, str, str], list[float | None]] = {}
    units: dict[str, str] = {}
    for at, run in enumerate(runs):
        for record in run.records:
            for name, metric in record["metrics"].items():
                key = (record["model"], record["board"], record["executor"], name)
                found.setdefault(key, [None] * len(runs))[at] = metric["value"]
                units[name] = metric["unit"]
    return [Series(*key, units[key[3]], tuple(values)) for key, values in found.items()]
