"""Figures of one run held to those of an earlier one: what grew, what shrank, and where."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pytest_microtvm.errors import ConfigError
from pytest_microtvm.measure.records import Record

SHOWN = 6
"""How many places of growth are named; of more, the number is told."""

_LIMIT = re.compile(r"(\d[\d_]*(?:\.\d+)?)\s*(%?)\Z")


@dataclass(frozen=True)
class Limit:
    """How far a figure may grow.

    Attributes:
        text: As it was written.
        share: Of what it was.
        amount: In the figure's unit.
    """

    text: str
    share: float = 0.0
    amount: float = 0.0

    def allows(self, before: float, now: float) -> bool:
        """Whether a figure is within it."""
        return now <= before + before * self.share + self.amount


NO_GROWTH = Limit("0")
DEFAULT_LIMITS = dict.fromkeys(
    ("flash_bytes", "ram_bytes", "arena_bytes", "instructions"), NO_GROWTH
)
"""What is the same in every run of the same firmware may not grow at all."""


def parse_limits(lines: Iterable[str], known: Iterable[str]) -> dict[str, Limit]:
    """Read limits.

    Args:
        lines: Each as "flash_bytes = 1%" or "ram_bytes = 64".
        known: The names that figures have.

    Raises:
        ConfigError: A line cannot be read, or names no figure.
    """
    names, limits = tuple(known), {}
    for line in lines:
        name, _, text = (part.strip() for part in line.partition("="))
        match = _LIMIT.match(text)
        if match is None:
            raise ConfigError(
                f"the limit {line!r} cannot be read",
                cure="write NAME = 1% for growth by a share, NAME = 64 for growth by a number",
            )
        if name not in names:
            raise ConfigError(
                f"the limit {line!r} names no figure", cure=f"figures: {', '.join(names)}"
            )
        number = float(match[1].replace("_", ""))
        limits[name] = Limit(text, number / 100) if match[2] else Limit(text, 0.0, number)
    return limits


@dataclass(frozen=True)
class Change:
    """A figure that is not what it was.

    Attributes:
        metric: Its name.
        unit: Its unit.
        before: What it was.
        now: What it is.
        limit: How far it may grow; None where nobody said.
        where: Where the difference comes from, a line each, the most first.
    """

    metric: str
    unit: str
    before: float
    now: float
    limit: Limit | None = None
    where: tuple[str, ...] = ()

    @property
    def is_over(self) -> bool:
        """Whether it grew more than it may."""
        return self.limit is not None and not self.limit.allows(self.before, self.now)

    def line(self) -> str:
        """It in one line."""
        difference = self.now - self.before
        share = f", {difference / self.before:+.2%}" if self.before else ""
        word = "grew" if difference > 0 else "shrank"
        line = (
            f"{self.metric} {word} by {abs(difference):,.10g} {self.unit}, "
            f"from {self.before:,.10g} to {self.now:,.10g}{share}"
        )
        if self.is_over:
            assert self.limit is not None
            line += f"; the limit is {self.limit.text}"
        return line


def changes(before: Record, now: Record, limits: Mapping[str, Limit]) -> list[Change]:
    """How the figures of a model on a board changed.

    Args:
        before: The earlier record.
        now: The later one.
        limits: By name; figures without one are told as well.
    """
    found = []
    for name, metric in now.metrics.items():
        old = before.metrics.get(name)
        if old is None or old["value"] == metric["value"]:
            continue
        found.append(
            Change(
                name,
                str(metric["unit"]),
                float(old["value"]),
                float(metric["value"]),
                limits.get(name),
                tuple(_where(name, before, now)),
            )
        )
    return found


def growth_report(found: Sequence[Change]) -> str:
    """What grew more than it may and where; empty where nothing did."""
    lines = []
    for change in found:
        if change.is_over:
            lines += [change.line(), *(f"  {where}" for where in change.where)]
    return "\n".join(lines)


def _where(metric: str, before: Record, now: Record) -> Iterator[str]:
    """Where a difference of a figure comes from."""
    if metric == "instructions":
        yield from _top(_by_layer(before, now), "instructions")
    for memory in ("flash", "ram"):
        if metric == f"{memory}_bytes":
            yield from _top(_by_symbol(before.sizes, now.sizes, memory), "bytes")
    if metric == "arena_bytes":
        yield from _top(_by_peak(before, now), "bytes")


def _top(places: Mapping[str, tuple[float, float]], unit: str) -> Iterator[str]:
    """The places that differ, the most first."""
    differing = [(place, old, new) for place, (old, new) in places.items() if old != new]
    differing.sort(key=lambda each: (-abs(each[2] - each[1]), each[0]))
    for place, old, new in differing[:SHOWN]:
        yield f"{place}: {new - old:+,.10g} {unit}, from {old:,.10g} to {new:,.10g}"
    if len(differing) > SHOWN:
        yield f"and {len(differing) - SHOWN} more places"


def _by_layer(before: Record, now: Record) -> dict[str, tuple[float, float]]:
    """Instructions of each kernel, over all of its calls."""
    if not before.layers or not now.layers:
        return {}
    return _both(
        *(
            _sums((_layer(each, call["kernel"]), call["instructions"]) for call in each.layers)
            for each in (before, now)
        )
    )


def _layer(record: Record, kernel: str) -> str:
    return f"layer {record.layer_name(kernel)}"


def _by_symbol(
    before: Mapping[str, Any], now: Mapping[str, Any], memory: str
) -> dict[str, tuple[float, float]]:
    """Bytes of each symbol in a memory, and of what no symbol names in each section."""
    if not before or not now:
        return {}
    return _both(*(_sums(_places(sizes, memory)) for sizes in (before, now)))


def _places(sizes: Mapping[str, Any], memory: str) -> Iterator[tuple[str, float]]:
    rest = {
        name: section["bytes"]
        for name, section in sizes["sections"].items()
        if memory in section["memories"]
    }
    for name, symbol in sizes["symbols"].items():
        section = symbol["section"]
        if section not in rest:
            continue
        rest[section] -= symbol["bytes"]
        layer = f"layer {symbol['layer']}, " if symbol.get("layer") else ""
        yield f"{layer}section {section}, symbol {name}", symbol["bytes"]
    for section, size_bytes in rest.items():
        yield f"section {section}, text and padding that no symbol names", size_bytes


def _by_peak(before: Record, now: Record) -> dict[str, tuple[float, float]]:
    """The arena in use at each call of a kernel."""
    if not before.arena or not now.arena:
        return {}
    return _both(
        *(
            _most(
                (_layer(each, call["kernel"]), call["live_bytes"]) for call in each.arena["calls"]
            )
            for each in (before, now)
        )
    )


def _sums(values: Iterable[tuple[str, float]]) -> dict[str, float]:
    sums: dict[str, float] = {}
    for name, value in values:
        sums[name] = sums.get(name, 0.0) + value
    return sums


def _most(values: Iterable[tuple[str, float]]) -> dict[str, float]:
    most: dict[str, float] = {}
    for name, value in values:
        most[name] = max(most.get(name, 0.0), value)
    return most


def _both(before: Mapping[str, float], now: Mapping[str, float]) -> dict[str, tuple[float, float]]:
    names = dict.fromkeys([*before, *now])
    return {name: (before.get(name, 0.0), now.get(name, 0.0)) for name in names}


@dataclass(frozen=True)
class Baseline:
    """An earlier run, and how far figures may grow since.

    Attributes:
        records: By what they are about.
        limits: By name of a figure.
    """

    records: Mapping[tuple[str, str, str], Record]
    limits: Mapping[str, Limit]

    def growth(self, record: Record) -> str:
        """What of a record grew more than it may, and where; empty where nothing did."""
        before = self.records.get(record.key)
        if before is None:
            return ""
        return growth_report(changes(before, record, self.limits))

    def notes(self, records: Iterable[Record], names: Mapping[str, str]) -> list[str]:
        """What else is to be told of a run: what shrank, and what the baseline lacks.

        Args:
            records: Of the run.
            names: What models are called.
        """
        lines = []
        for record in records:
            subject = f"{names[record.model]} on {record.board}, {record.executor}"
            before = self.records.get(record.key)
            if before is None:
                lines.append(f"{subject}: not in the baseline")
                continue
            for change in changes(before, record, self.limits):
                if change.limit is not None and change.now < change.before:
                    where = f" ({change.where[0]})" if change.where else ""
                    lines.append(f"{subject}: {change.line()}{where}")
        return lines


Key = tuple[str, str, str]
"""Model, board and executor."""


@dataclass(frozen=True)
class RunComparison:
    """Two runs.

    Attributes:
        changes: What changed of what both ran; nothing where nothing did.
        only_one: In which of them, "the first" or "the second", is what the other did not run.
    """

    changes: Mapping[Key, Sequence[Change]]
    only_one: Mapping[Key, str]

    @property
    def is_over(self) -> bool:
        """Whether anything grew more than it may."""
        return any(change.is_over for found in self.changes.values() for change in found)

    def to_json(self) -> dict[str, Any]:
        """It in plain types."""
        names = ("model", "board", "executor")
        return {
            "changes": [
                {
                    **dict(zip(names, key, strict=True)),
                    "metric": change.metric,
                    "unit": change.unit,
                    "before": change.before,
                    "now": change.now,
                    "is_over": change.is_over,
                    "where": list(change.where),
                }
                for key, found in self.changes.items()
                for change in found
            ],
            "only_one": [
                {**dict(zip(names, key, strict=True)), "in": which}
                for key, which in self.only_one.items()
            ],
        }


def compare_runs(
    before: Iterable[Record], now: Iterable[Record], limits: Mapping[str, Limit]
) -> RunComparison:
    """Hold two runs against each other.

    Args:
        before: The records of the earlier one.
        now: Those of the later one.
        limits: How far figures may grow, by name.
    """
    first = {record.key: record for record in before}
    second = {record.key: record for record in now}
    both = [key for key in second if key in first]
    only = {key: "the first" for key in first if key not in second}
    only |= {key: "the second" for key in second if key not in first}
    return RunComparison({key: changes(first[key], second[key], limits) for key in both}, only)
