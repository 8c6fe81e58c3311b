"""What a run tells machines: one record per model, board and executor, as JSON.

The schema is docs/records.schema.json.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pytest_microtvm.compiler.naming import sanitize
from pytest_microtvm.measure.metrics import Metrics

SCHEMA_VERSION = 2

STEPS = ("compile", "generate", "build", "lease", "flash", "open", "run", "close")

OUTCOMES = ("built", "skipped", "passed", "failed", "error")
"""Of tests, from the least to the most serious; a record keeps the worst of its tests."""

MATCH, MISMATCH = "match", "mismatch"
"""Verdicts: what comparing a device's outputs with the reference's came to."""


@dataclass
class Record:
    """One model on one board with one executor, over all tests that used it.

    Attributes:
        model: Path of the model, relative to pytest's root folder where it is inside.
        board: Board name.
        platform: Platform name.
        executor: Executor name.
        reference: What its outputs were compared with.
        verdict: `MATCH` or `MISMATCH`, over all comparisons; None where nothing was compared.
        outcome: One of `OUTCOMES`: what came of the tests, which may look at more than outputs.
        error: One line, where outcome is "error": of the first of the tests, by id, that ended so;
            what does not fit, where outcome is "skipped".
        tests: Each test, by id: {"id", "outcome", "error"}.
        elements: Output elements compared, over all comparisons.
        mismatched: How many of them were outside the tolerance.
        max_abs_diff: The largest absolute difference; None where nothing was compared.
        build_id: Of the firmware; None where none was built.
        cached: What was not made anew: {"mlf": bool, "firmware": bool}.
        timings_s: Seconds by step, see `STEPS`.
        metrics: By name: {"value", "unit", "source", "samples"}.
        lab_boards: The boards of the lab that ran it, by name.
        incidents: What went wrong with boards of the lab, a line each, whatever came of it.
        absent: Why a figure is not among them, by name.
        model_check: What holding the compiled model to the model's own interpreter came to:
            "exact", "within tolerance", "differs by ..." or "not checked".
        layers: Each call of a kernel in an inference: {"kernel", "instructions", "macs",
            "instructions_per_mac", "workspace_bytes"}, and "cycles" where an emulator knows them;
            empty where instructions are not counted.
        board_bytes: The memory that the board has, by kind: "flash", "ram"; empty where its
            definition does not say.
        sizes: What the linked program consists of: {"sections": {NAME: {"bytes", "memories"}},
            "symbols": {NAME: {"bytes", "section", "layer"}}}, where "layer" is the kernel that a
            symbol is the code or a constant of, or None; empty where there is no ELF file.
        arena: What lies where in the arena and when, see `pytest_microtvm.measure.arena`; empty
            where the archive has no graph.
        pictures: How far, where and from which values each output that differs is off, see
            `pytest_microtvm.verify.pictures`; of all comparisons the worst.
        toolchain: The compiler of the firmware, as it names itself; empty where that is not known.
    """

    model: str
    board: str
    platform: str
    executor: str
    reference: str = "host"
    verdict: str | None = None
    outcome: str = "built"
    error: str | None = None
    tests: list[dict[str, str | None]] = field(default_factory=list)
    elements: int = 0
    mismatched: int = 0
    max_abs_diff: float | None = None
    build_id: str | None = None
    cached: dict[str, bool] = field(default_factory=dict)
    timings_s: dict[str, float] = field(default_factory=lambda: dict.fromkeys(STEPS, 0.0))
    metrics: dict[str, dict[str, Any]] = field(default_factory=dict)
    lab_boards: list[str] = field(default_factory=list)
    incidents: list[str] = field(default_factory=list)
    absent: dict[str, str] = field(default_factory=dict)
    layers: list[dict[str, Any]] = field(default_factory=list)
    model_check: str = "not checked"
    board_bytes: dict[str, int] = field(default_factory=dict)
    sizes: dict[str, Any] = field(default_factory=dict)
    arena: dict[str, Any] = field(default_factory=dict)
    pictures: list[dict[str, Any]] = field(default_factory=list)
    toolchain: str = ""

    @property
    def key(self) -> tuple[str, str, str]:
        """What the record is about."""
        return (self.model, self.board, self.executor)

    def layer_name(self, kernel: str) -> str:
        """What reports call a kernel: its name in the archive, less that of the model."""
        symbol = self.sizes.get("symbols", {}).get(kernel, {})
        prefix = f"tvmgen_{sanitize(Path(self.model).stem, 'model')}_"
        return str(symbol.get("layer") or kernel.removeprefix(prefix))

    def worsen(self, outcome: str) -> None:
        """Take the outcome of one more check of it, without a test."""
        self.outcome = _worse(self.outcome, outcome)

    def note_test(self, test: str, outcome: str, error: str | None = None) -> None:
        """Take what came of a test, or of one more part of it.

        Args:
            test: The test's id.
            outcome: One of `OUTCOMES`.
            error: One line.
        """
        known = {str(each["id"]): each for each in self.tests}
        noted = known.setdefault(test, {"id": test, "outcome": outcome, "error": None})
        noted["outcome"] = _worse(str(noted["outcome"]), outcome)
        noted["error"] = noted["error"] or error
        self.tests = [known[test] for test in sorted(known)]
        self.worsen(outcome)
        errors = (each["error"] for each in self.tests if each["outcome"] == self.outcome)
        self.error = next(filter(None, errors), None)

    def add_comparison(self, elements: int, mismatched: int, max_abs_diff: float) -> None:
        """Take what one more comparison came to; arguments as the attributes of these names."""
        self.elements += elements
        self.mismatched += mismatched
        self.max_abs_diff = max(self.max_abs_diff or 0.0, max_abs_diff)
        self.add_verdict(MISMATCH if mismatched else MATCH)

    def add_verdict(self, verdict: str | None) -> None:
        """Take one more verdict: one difference is enough."""
        if verdict is not None and self.verdict != MISMATCH:
            self.verdict = verdict

    def add_pictures(self, pictures: Iterable[dict[str, Any]]) -> None:
        """Take what one more comparison found; of each output the one that is worse stays."""
        worst = {picture["output"]: picture for picture in self.pictures}
        for picture in pictures:
            known = worst.get(picture["output"])
            if known is None or known["mismatched"] < picture["mismatched"]:
                worst[picture["output"]] = picture
        self.pictures = list(worst.values())

    def add_seconds(self, step: str, seconds: float) -> None:
        """Take the time of one more step."""
        self.timings_s[step] = self.timings_s.get(step, 0.0) + seconds

    def add_metrics(self, metrics: Metrics) -> None:
        """Take the figures of one more run, or of the build."""
        merged = self.figures().merged(metrics)
        self.metrics = {name: dict(vars(metric)) for name, metric in merged.items()}
        self.absent = dict(merged.absent)
        self.layers = [
            {
                **{name: value for name, value in vars(layer).items() if name != "cycles"},
                "instructions_per_mac": layer.instructions_per_mac,
                **({} if layer.cycles is None else {"cycles": layer.cycles}),
            }
            for layer in merged.layers
        ]

    def figures(self) -> Metrics:
        """The figures so far."""
        return Metrics.from_data(self.metrics, self.layers, self.absent)

    def properties(self) -> list[tuple[str, object]]:
        """Name and value of what it is about and of its metrics, for reports on single tests."""
        about = {"model": self.model, "board": self.board, "executor": self.executor}
        figures = {name: metric["value"] for name, metric in self.metrics.items()}
        return [(f"microtvm_{name}", value) for name, value in {**about, **figures}.items()]

    def add_lab_board(self, name: str) -> None:
        """Take the name of a board that ran it."""
        self.lab_boards = sorted({*self.lab_boards, name})

    def merge(self, other: Record) -> None:
        """Take what another process recorded about the same thing."""
        self.worsen(other.outcome)
        for test in other.tests:
            self.note_test(str(test["id"]), str(test["outcome"]), test["error"])
        self.add_verdict(other.verdict)
        self.elements += other.elements
        self.mismatched += other.mismatched
        if other.max_abs_diff is not None:
            self.max_abs_diff = max(self.max_abs_diff or 0.0, other.max_abs_diff)
        self.build_id = self.build_id or other.build_id
        for part, cached in other.cached.items():
            self.cached[part] = self.cached.get(part, True) and cached
        for step, seconds in other.timings_s.items():
            self.add_seconds(step, seconds)
        self.add_metrics(other.figures())
        if self.model_check == "not checked":
            self.model_check = other.model_check
        self.toolchain = self.toolchain or other.toolchain
        self.board_bytes = self.board_bytes or other.board_bytes
        self.sizes = self.sizes or other.sizes
        self.arena = self.arena or other.arena
        self.add_pictures(other.pictures)
        self.lab_boards = sorted({*self.lab_boards, *other.lab_boards})
        self.incidents = sorted([*self.incidents, *other.incidents])

    def to_data(self) -> dict[str, Any]:
        """A copy of all fields, of plain types, to make the same record from."""
        # By way of a text: `dataclasses.asdict` takes ten times as long.
        data: dict[str, Any] = json.loads(json.dumps(vars(self)))
        return data

    def to_json(self) -> dict[str, Any]:
        """The record as the schema has it."""
        data = self.to_data()
        if self.max_abs_diff is not None and not math.isfinite(self.max_abs_diff):
            data["max_abs_diff"] = str(self.max_abs_diff)  # JSON has no infinity
        for name in ("board_bytes", "sizes", "arena", "pictures", "toolchain"):
            if not data[name]:  # there is nothing to tell
                del data[name]
        data["timings_s"] = {step: round(s, 6) for step, s in self.timings_s.items()}
        return data


def merge_records(records: Iterable[Record]) -> list[Record]:
    """Bring records about the same thing together, in the order they first appear."""
    merged: dict[tuple[str, str, str], Record] = {}
    for record in records:
        if record.key in merged:
            merged[record.key].merge(record)
        else:
            merged[record.key] = record
    return list(merged.values())


def _worse(one: str, other: str) -> str:
    return max(one, other, key=OUTCOMES.index)
