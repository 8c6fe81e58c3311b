"""Baselines in files: records less what is new in every run, in lines that a diff shows well."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from pytest_microtvm.measure.record_files import read_records
from pytest_microtvm.measure.records import SCHEMA_VERSION, Record

COMMENT = "comment"
_RESTLESS = ("latency_us",)
"""Figures that are others in every run: only there if there is a limit for them."""


def updated_baseline(
    path: Path, records: Iterable[Record], limits: Collection[str], option: str
) -> str:
    """The text of a baseline with what a run measured; what it did not run stays.

    Comments stay, too: the key "comment" of the file, of a record, or of a figure.

    Args:
        path: Of the baseline as it is; it need not be there.
        records: Of the run.
        limits: The figures that have a limit.
        option: What names the file, in errors.

    Raises:
        ConfigError: The file is there and no baseline.
    """
    entries: dict[tuple[str, str, str], dict[str, Any]] = {}
    comment = None
    if path.exists():
        for known in read_records(path, option):
            entries[known.key] = _entry(known, limits)
        document = json.loads(path.read_text(encoding="utf-8"))
        comment = document.get(COMMENT)
        for data in document["records"]:
            entry = entries[(data["model"], data["board"], data["executor"])]
            _keep_comments(data, entry)
    for record in records:
        if not record.metrics:
            continue  # nothing was measured: it stays as it is
        entry = _entry(record, limits)
        if record.key in entries:
            _keep_comments(entries[record.key], entry)
        entries[record.key] = entry
    head = {"version": SCHEMA_VERSION, **({COMMENT: comment} if comment else {})}
    lines = [f"  {json.dumps(key)}: {_inline(value)}," for key, value in head.items()]
    blocks = [_record_lines(entries[key]) for key in sorted(entries)]
    body = ",\n".join("\n".join(block) for block in blocks)
    return "\n".join(["{", *lines, '  "records": [', *([body] if body else []), "  ]", "}"]) + "\n"


def _entry(record: Record, limits: Collection[str]) -> dict[str, Any]:
    metrics = {
        name: {"value": _whole(metric["value"]), "unit": metric["unit"]}
        for name, metric in sorted(record.metrics.items())
        if name not in _RESTLESS or name in limits
    }
    entry: dict[str, Any] = {
        "model": record.model,
        "board": record.board,
        "executor": record.executor,
        "platform": record.platform,
        "metrics": metrics,
        "layers": [
            {name: layer[name] for name in ("kernel", "instructions")} for layer in record.layers
        ],
    }
    if record.sizes:
        entry["sizes"] = {
            part: dict(sorted(record.sizes[part].items())) for part in ("sections", "symbols")
        }
    return entry


def _keep_comments(old: Mapping[str, Any], new: dict[str, Any]) -> None:
    if COMMENT in old:
        new[COMMENT] = old[COMMENT]
    for name, metric in old["metrics"].items():
        if COMMENT in metric and name in new["metrics"]:
            new["metrics"][name][COMMENT] = metric[COMMENT]


def _record_lines(entry: Mapping[str, Any]) -> list[str]:
    order = ("model", "board", "executor", "platform", COMMENT, "metrics", "layers", "sizes")
    items = [(name, entry[name]) for name in order if name in entry]
    return ["    {", *_object_lines(items, 6), "    }"]


def _object_lines(items: Iterable[tuple[str, Any]], indent: int) -> Iterator[str]:
    """The lines of an object: an object or list of objects over several, all else in one."""
    listed = list(items)
    for number, (name, value) in enumerate(listed):
        comma = "," if number + 1 < len(listed) else ""
        start = f"{' ' * indent}{json.dumps(name)}: "
        nested = list(value.values()) if isinstance(value, dict) else value
        if isinstance(value, dict | list) and nested and isinstance(nested[0], dict):
            left, right = "{}" if isinstance(value, dict) else "[]"
            yield f"{start}{left}"
            if isinstance(value, dict):
                yield from _object_lines(value.items(), indent + 2)
            else:
                each = [f"{' ' * (indent + 2)}{_inline(item)}" for item in value]
                yield from (f"{line}," for line in each[:-1])
                yield each[-1]
            yield f"{' ' * indent}{right}{comma}"
        else:
            yield f"{start}{_inline(value)}{comma}"


def _inline(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _whole(value: float) -> float:
    return int(value) if float(value).is_integer() else value
