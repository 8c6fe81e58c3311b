"""The hooks that a conftest.py or another plugin may implement."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pytest_microtvm.measure.records import Record


@pytest.hookspec
def pytest_microtvm_board_directories(config: pytest.Config) -> list[Path]:  # type: ignore[empty-body]
    """Name more folders with board definitions (`NAME.toml`).

    Called once, before any test is collected; a relative path is relative to pytest's root folder.
    Only a conftest.py in the root folder or in a folder named on the command line is heard.

    Args:
        config: pytest's configuration.

    Returns:
        The folders.
    """


@pytest.hookspec
def pytest_microtvm_platform_directories(config: pytest.Config) -> list[Path]:  # type: ignore[empty-body]
    """Name more platforms, each a folder with `microtvm_api_server.py`, or a folder of them.

    Called once, as `pytest_microtvm_board_directories` is.

    Args:
        config: pytest's configuration.

    Returns:
        The folders.
    """


@pytest.hookspec
def pytest_microtvm_record(config: pytest.Config, record: dict[str, Any]) -> None:
    """Take one record of the run, at its end, as `--microtvm-json` writes it.

    With pytest-xdist it is called in the controlling process only.

    Args:
        config: pytest's configuration.
        record: One model on one board with one executor; see docs/records.schema.json.
    """


@pytest.hookspec
def pytest_microtvm_report(config: pytest.Config, records: Sequence[Record]) -> None:
    """Write a report of the whole run, at its end; `--microtvm-json` is one.

    With pytest-xdist it is called in the controlling process only. A `ConfigError` that says what
    cannot be written is shown as one line, and ends the run with pytest's exit code 3.

    Args:
        config: pytest's configuration.
        records: One for each model, board and executor, merged over all tests and processes;
            sorted by model, then in the order of the command line.
    """
