"""Records in files: as `--microtvm-json` writes them, whole or not at all."""

from __future__ import annotations

import contextlib
import json
import tempfile
from collections.abc import Iterable
from pathlib import Path

from pytest_microtvm.errors import ConfigError
from pytest_microtvm.measure.records import SCHEMA_VERSION, Record


def check_writable(path: Path, option: str) -> None:
    """Make sure, before a long run, that a file can be written at its end.

    Args:
        path: The file.
        option: The option that names it.

    Raises:
        ConfigError: It cannot.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise _unwritable(path, error, option) from error
    if path.is_dir():
        raise _unwritable(path, "it is a folder", option)


def write_file(path: Path, text: str, option: str) -> None:
    """Write a file whole or not at all.

    Args:
        path: The file; its folder is made.
        text: What it will hold.
        option: The option that names it.

    Raises:
        ConfigError: It cannot be written.
    """
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(
            "w", dir=path.parent, prefix=f".{path.name}.", delete=False, encoding="utf-8"
        ) as file:
            temporary = Path(file.name)
            file.write(text)
        temporary.chmod(0o644)
        temporary.replace(path)
    except OSError as error:
        if temporary is not None:
            with contextlib.suppress(OSError):
                temporary.unlink()
        raise _unwritable(path, error, option) from error


def write_records(path: Path, records: Iterable[Record], option: str = "--microtvm-json") -> None:
    """Write a run's records.

    Raises:
        ConfigError: The file cannot be written.
    """
    document = {"version": SCHEMA_VERSION, "records": [record.to_json() for record in records]}
    write_file(path, json.dumps(document, indent=2) + "\n", option)


def _unwritable(path: Path, reason: OSError | str, option: str) -> ConfigError:
    text = reason if isinstance(reason, str) else reason.strerror or str(reason)
    return ConfigError(f"cannot write {path}: {text}", cure=f"name another file with {option}")
