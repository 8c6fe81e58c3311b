"""Baselines and budgets: figures of a run held to those of an earlier one, and to the ini file."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_microtvm.face.collection import ModelItem
from pytest_microtvm.face.results import USED
from pytest_microtvm.measure.baseline import Baseline, Limit
from pytest_microtvm.measure.baseline_files import updated_baseline
from pytest_microtvm.measure.budgets import Budget, over_budget
from pytest_microtvm.measure.record_files import check_writable, read_records, write_file

if TYPE_CHECKING:
    from pytest_microtvm.boards import Board
    from pytest_microtvm.measure.records import Record

OPTION = "--microtvm-baseline"


class BaselineCheck:
    """Fails tests whose models grew since the baseline.

    Args:
        path: The baseline.
        limits: How far figures may grow, by name.
        notes: Gets what shrank, a line each.

    Raises:
        ConfigError: The file cannot be read.
    """

    def __init__(self, path: Path, limits: Mapping[str, Limit], notes: list[str]) -> None:
        records = {record.key: record for record in read_records(path, OPTION)}
        self._baseline = Baseline(records, limits)
        self._path = path
        self._notes = notes

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Generator[None]:
        """Hold a test that went well to the baseline."""
        yield
        grown = [self._baseline.growth(record) for record in item.stash.get(USED, ())]
        if any(grown):
            text = "\n".join(filter(None, grown))
            pytest.fail(
                f"{text}\nthe baseline is {self._path}; where this is meant to be, "
                f"{OPTION}-update takes it over",
                pytrace=False,
            )

    @pytest.hookimpl(tryfirst=True)
    def pytest_microtvm_report(self, records: Sequence[Record]) -> None:
        """Note what shrank."""
        from pytest_microtvm.report.names import short_names

        names = short_names(record.model for record in records)
        self._notes += self._baseline.notes(records, names)


class BaselineUpdate:
    """Writes the baseline at the end of a run.

    Args:
        path: The baseline, which need not be there.
        limits: How far figures may grow, by name.
        notes: Gets a line when it is written.

    Raises:
        ConfigError: The file cannot be written.
    """

    def __init__(self, path: Path, limits: Mapping[str, Limit], notes: list[str]) -> None:
        check_writable(path, OPTION)
        if path.exists():
            read_records(path, OPTION)
        self._path = path
        self._limits = limits
        self._notes = notes

    @pytest.hookimpl(tryfirst=True)
    def pytest_microtvm_report(self, records: Sequence[Record]) -> None:
        """Write it."""
        write_file(self._path, updated_baseline(self._path, records, self._limits, OPTION), OPTION)
        self._notes.append(f"the baseline {self._path} is as this run")


class BudgetCheck:
    """Fails model files that take more than the ini file allows.

    Args:
        budgets: All of them.
        board_of: Finds a board by its label.
    """

    def __init__(self, budgets: Sequence[Budget], board_of: Callable[[str], Board]) -> None:
        self._budgets = budgets
        self._board_of = board_of

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Generator[None]:
        """Hold a model file that went well to its budgets."""
        yield
        if not isinstance(item, ModelItem):
            return
        for record in item.stash.get(USED, ()):
            over = over_budget(record, self._board_of(record.board), self._budgets)
            if over:
                pytest.fail(over, pytrace=False)
