"""The report that `--microtvm-json` asks for."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_microtvm.measure.record_files import check_writable, write_records

if TYPE_CHECKING:
    from pytest_microtvm.measure.records import Record


class JsonReport:
    """Writes all records of a run into one file.

    Args:
        path: The file.

    Raises:
        ConfigError: It cannot be written.
    """

    def __init__(self, path: Path) -> None:
        check_writable(path, "--microtvm-json")
        self._path = path

    @pytest.hookimpl(tryfirst=True)
    def pytest_microtvm_report(self, records: Sequence[Record]) -> None:
        """Write it, before reports that may fail."""
        write_records(self._path, records)
