"""Records in files: as `--microtvm-json` writes them, whole or not at all."""

from __future__ import annotations

import dataclasses
import json
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pytest_microtvm.errors import ConfigError
from pytest_microtvm.files import is_special, write_whole
from pytest_microtvm.measure.records import SCHEMA_VERSION, Record

ANY = "any name"
_NUMBER = (int, float)
_SHAPES: dict[str, Any] = {
    "metrics": {ANY: {"value": _NUMBER, "unit": str}},
    "layers": [{"kernel": str, "instructions": _NUMBER}],
    "cached": dict,
    "timings_s": {ANY: _NUMBER},
    "tests": [dict],
    "absent": {ANY: str},
    "board_bytes": {ANY: _NUMBER},
    "sizes": {
        "sections": {ANY: {"bytes": _NUMBER, "memories": list}},
        "symbols": {ANY: {"bytes": _NUMBER, "section": str}},
    },
    "arena": {"calls": [{"kernel": str, "live_bytes": _NUMBER}]},
}
"""What is read of earlier records, by their attributes."""


def check_writable(path: Path, option: str) -> None:
    """Make sure, before a long run, that a file can be written at its end.

    Args:
        path: The file.
        option: The option that names it.

    Raises:
        ConfigError: It cannot.
    """
    try:
        if is_special(path):
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise _unwritable(path, error, option) from error
    if path.is_dir():
        raise _unwritable(path, "it is a folder", option)


def write_file(path: Path, text: str, option: str) -> None:
    """Write a file whole or not at all, as `files.write_whole` does.

    Args:
        path: The file; its folder is made.
        text: What it will hold.
        option: The option that names it.

    Raises:
        ConfigError: It cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, text.encode())
    except OSError as error:
        raise _unwritable(path, error, option) from error


def write_records(path: Path, records: Iterable[Record], option: str = "--microtvm-json") -> None:
    """Write a run's records.

    Raises:
        ConfigError: The file cannot be written.
    """
    document = {"version": SCHEMA_VERSION, "records": [record.to_json() for record in records]}
    write_file(path, json.dumps(document, indent=2) + "\n", option)


def read_records(path: Path, option: str) -> list[Record]:
    """Read a file of records, of this version or an earlier one; a baseline is one, too.

    Args:
        path: The file.
        option: What names it, in errors.

    Raises:
        ConfigError: There is no such file, or it holds something else.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(
            f"cannot read {path}: {error.strerror or error}", cure=f"check {option}"
        ) from error
    except (ValueError, RecursionError) as error:
        raise _foreign(path, f"it is no JSON: {error}") from error
    version = document.get("version") if isinstance(document, dict) else None
    if not isinstance(version, int) or not isinstance(document.get("records"), list):
        raise _foreign(path, "it has no version and records")
    if version > SCHEMA_VERSION:
        raise _foreign(path, f"it is of version {version}, this is up to {SCHEMA_VERSION}")
    return [_record_of(data, path) for data in document["records"]]


def _record_of(data: Any, path: Path) -> Record:
    known = {each.name for each in dataclasses.fields(Record)}
    if not isinstance(data, dict):
        raise _foreign(path, "a record is no object")
    values = {name: value for name, value in data.items() if name in known}
    values.setdefault("platform", "")
    if values.get("max_abs_diff") == "inf":
        values["max_abs_diff"] = float("inf")
    for name, shape in _SHAPES.items():
        if values.get(name, {}) != {} and not _has_shape(values[name], shape):
            raise _foreign(path, f"a record has other {name} than a record has")
    try:
        record = Record(**values)
        for name, metric in record.metrics.items():
            record.metrics[name] = {**metric, "value": float(metric["value"])}
        "".join(record.key)
    except TypeError as error:
        raise _foreign(path, f"a record lacks something: {error}") from error
    return record


def _has_shape(value: Any, shape: Any) -> bool:
    """Whether a value is a finite number, of a type, or an object or list of parts with shapes."""
    if isinstance(shape, list):
        return isinstance(value, list) and all(_has_shape(each, shape[0]) for each in value)
    if shape is _NUMBER:
        return isinstance(value, shape) and abs(value) <= sys.float_info.max
    if not isinstance(shape, dict):
        return isinstance(value, shape)
    if not isinstance(value, dict):
        return False
    if ANY in shape:
        return all(_has_shape(each, shape[ANY]) for each in value.values())
    return all(name in value and _has_shape(value[name], each) for name, each in shape.items())


def _foreign(path: Path, why: str) -> ConfigError:
    return ConfigError(
        f"{path} is no file of records: {why}", cure="name one that --microtvm-json wrote"
    )


def _unwritable(path: Path, reason: OSError | str, option: str) -> ConfigError:
    text = reason if isinstance(reason, str) else reason.strerror or str(reason)
    return ConfigError(f"cannot write {path}: {text}", cure=f"name another file with {option}")
