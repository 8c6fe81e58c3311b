"""What came of a run: the records of its tests, brought together from all of its processes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import pytest

from pytest_microtvm.errors import ConfigError, MicroTVMError

if TYPE_CHECKING:
    from pytest_microtvm.flow.model_under_test import ModelUnderTest
    from pytest_microtvm.measure.records import Record

IN_TEST = "microtvm_in_test"
"""Set on the report of an error that a test's own body met."""

USED: pytest.StashKey[list[Record]] = pytest.StashKey()
"""The records of what a test used. By the test itself: two may have the same node id."""

UNDER_TEST: pytest.StashKey[ModelUnderTest] = pytest.StashKey()
"""The model, board and executor of a test."""

SHARED: pytest.StashKey[list[ModelUnderTest]] = pytest.StashKey()
"""Those that a test shares with others and has used."""


class Results:
    """The records of one pytest process, and in the controlling one those of its workers.

    Args:
        boards: Names, in the order of the command line.
        executors: Names, likewise.
    """

    def __init__(self, boards: Sequence[str], executors: Sequence[str]) -> None:
        self._boards = boards
        self._executors = executors
        self._own: dict[int, Record] = {}
        self._elsewhere: dict[tuple[str, ...], dict[str, Any]] = {}

    def add(self, item: pytest.Item, record: Record) -> None:
        """Take the record of what a test uses; several tests may share it."""
        item.stash.setdefault(USED, []).append(record)
        self._own.setdefault(id(record), record)

    def note_outcome(self, item: pytest.Item, outcome: str, error: str | None = None) -> None:
        """Record the outcome of a test's phase for all that the test used."""
        for record in item.stash.get(USED, ()):
            record.note_test(item.nodeid, outcome, error)

    def properties_of(self, item: pytest.Item) -> Iterable[tuple[str, object]]:
        """What a test ran and what that cost, for reports such as JUnit's."""
        return [each for record in item.stash.get(USED, ()) for each in record.properties()]

    def records_of(self, item: pytest.Item) -> list[dict[str, Any]]:
        """The records of what one test used, as JSON."""
        return [record.to_data() for record in item.stash.get(USED, ())]

    def own_records(self) -> list[dict[str, Any]]:
        """The records of this process, as JSON; each once."""
        return [record.to_data() for record in self._own.values()]

    def add_workers_records(self, worker: str, records: Iterable[dict[str, Any]]) -> None:
        """Take the records of a worker, in place of what it said before about the same thing."""
        for record in records:
            key = (worker, record["model"], record["board"], record["executor"])
            self._elsewhere[key] = record

    def add_error_of_killed(
        self, worker: str, test: str, record: dict[str, Any], error: str
    ) -> None:
        """Record that a worker was killed in a test: an error, whatever it found out before."""
        from pytest_microtvm.measure.records import Record

        key = (worker, record["model"], record["board"], record["executor"])
        known = Record(**self._elsewhere.get(key, record))
        known.note_test(test, "error", error)
        self._elsewhere[key] = known.to_data()

    def all_records(self) -> list[Record]:
        """The records of all processes, merged; in an order that is the same in every run."""
        from pytest_microtvm.measure.records import Record, merge_records

        data = [*self.own_records(), *self._elsewhere.values()]
        return sorted(
            merge_records(Record(**each) for each in data),
            key=lambda r: (
                r.model,
                self._boards.index(r.board),
                self._executors.index(r.executor),
            ),
        )

    def publish(self, config: pytest.Config) -> None:
        """Give the records to the hooks, reports among them.

        Raises:
            ConfigError: A report cannot be written; says which and why.
        """
        records = self.all_records()
        try:
            for record in records:
                config.hook.pytest_microtvm_record(config=config, record=record.to_json())
            config.hook.pytest_microtvm_report(config=config, records=records)
        except MicroTVMError:
            raise
        except Exception as error:  # somebody else's code: anything may happen
            raise ConfigError(
                f"a hook that takes the run's records failed: {type(error).__name__}: {error}",
                cure="look for pytest_microtvm_record and pytest_microtvm_report in conftest.py "
                "and in other plugins",
            ) from error
