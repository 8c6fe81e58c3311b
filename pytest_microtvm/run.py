"""One pytest run with boards: what was asked for, the harness that does it, what came of it."""

from __future__ import annotations

import contextlib
import shlex
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_microtvm.settings import Settings

if TYPE_CHECKING:
    from pytest_microtvm.boards import Board
    from pytest_microtvm.verify.harness import Harness
    from pytest_microtvm.verify.model import MicroTVM
    from pytest_microtvm.verify.records import Record
    from pytest_microtvm.verify.rig import Rig

QUARANTINE = "microtvm_quarantine"
COMMAND = "microtvm_command"


class Run:
    """The boards of one pytest process, and everything that was compiled, built and opened.

    Args:
        config: pytest's configuration.
        settings: What was asked for.
        boards: All known boards by name.
    """

    def __init__(self, config: pytest.Config, settings: Settings, boards: dict[str, Board]) -> None:
        self.settings = settings
        self.trouble = ""
        self._config = config
        self._boards = boards
        self._resources = contextlib.ExitStack()
        self._harness: Harness | None = None
        self._shared: dict[str, str] | None = None
        self._elsewhere: list[dict[str, Any]] = []
        self._users: dict[str, list[Record]] = {}

    @property
    def names(self) -> list[tuple[str, str]]:
        """Every (executor, board) that tests run with."""
        return [(e, b) for b in self.settings.boards for e in self.settings.executors]

    def board(self, name: str) -> Board:
        """A board by its name, which was checked."""
        return self._boards[name]

    def is_named(self, board: str | None) -> bool:
        """Whether a board was asked for by its own name, not found by a glob or a tag."""
        return board is None or board in self.settings.boards_by_name

    def open(self) -> None:
        """Make sure that the run can start.

        Raises:
            ConfigError: The cache or the records cannot be written.
        """
        from pytest_microtvm.project.cache import Cache

        directory = self.settings.cache_dir
        if directory is None:
            directory = Path(tempfile.mkdtemp(prefix="microtvm-cache-"))
            self._resources.callback(shutil.rmtree, directory, ignore_errors=True)
        self._cache = Cache(directory, self.settings.cache_limit_bytes)
        self._cache.open()
        if self.settings.json_path is not None:
            from pytest_microtvm.verify.records import check_writable

            check_writable(self.settings.json_path)

    @property
    def harness(self) -> Harness:
        """What compiles, builds, runs and compares; made when a test first needs it."""
        if self._harness is None:
            from pytest_microtvm.project.firmware import Workshop
            from pytest_microtvm.verify.compare import Tolerance
            from pytest_microtvm.verify.harness import Harness, HarnessOptions

            workshop = Workshop(
                self._cache,
                progress=self._progress,
                detail=self._detail,
                keep_projects=self.settings.keep_projects,
                count_instructions=self.settings.count_instructions,
            )
            options = HarnessOptions(
                timeout_s=self.settings.timeout_s,
                tolerance=Tolerance(self.settings.rtol, self.settings.atol),
                inputs=self.settings.inputs,
                reference=self.settings.reference,
                root=self._config.rootpath,
            )
            self._harness = Harness(workshop, self._boards, options, self._make_rig())
            self._resources.callback(self._harness.close)
        return self._harness

    def _make_rig(self) -> Rig:
        from pytest_microtvm.lab.pool import Lab, Quarantine
        from pytest_microtvm.verify.rig import Rig

        shared = getattr(self._config, "workerinput", None) or self.shared_with_workers()
        return Rig(
            Lab(self.settings.lab, Quarantine(Path(shared[QUARANTINE])), shared[COMMAND]),
            self.settings.timeout_s,
            self.settings.lease_timeout_s,
            self._progress,
        )

    def model_under_test(
        self, item: pytest.Item, model: Path, board: Board, executor: str
    ) -> MicroTVM:
        """What a test needs of a model, a board and an executor."""
        from pytest_microtvm.verify.model import MicroTVM

        def on_log(line: str) -> None:
            sys.stdout.write(f"[{board.name}] {line}\n")  # into the test's captured output

        under_test = MicroTVM(self.harness, model, board, executor, on_log)
        self._users.setdefault(item.nodeid, []).append(under_test.record)
        if self.settings.build_only:
            under_test.firmware  # noqa: B018 (a property that builds)
            pytest.skip(f"built for {board.name}, not run: --microtvm-build-only")
        return under_test

    def shared_with_workers(self) -> dict[str, str]:
        """What the processes of one run have in common, for the configuration of the others."""
        if self._shared is None:
            directory = tempfile.mkdtemp(prefix="microtvm-quarantine-")
            self._resources.callback(shutil.rmtree, directory, ignore_errors=True)
            command = shlex.join(["pytest", *map(str, self._config.invocation_params.args)])
            self._shared = {QUARANTINE: directory, COMMAND: command}
        return self._shared

    def release_board(self) -> None:
        """Give a board of the lab back, when a test is done with it."""
        if self._harness is not None:
            self._harness.release()

    def note_outcome(self, nodeid: str, outcome: str, error: str | None = None) -> None:
        """Record the outcome of a test's phase for all that the test used."""
        for record in self._users.get(nodeid, ()):
            record.worsen(outcome, error)

    def add_properties(self, item: pytest.Item) -> None:
        """Tell reports, such as JUnit's, what a test ran and what that cost."""
        for record in self._users.get(item.nodeid, ()):
            item.user_properties += record.properties()

    def close(self) -> None:
        """Close every device and remove what was only for this run."""
        self._resources.close()

    def records(self) -> list[dict[str, Any]]:
        """The records of this process, as JSON."""
        return [] if self._harness is None else [asdict(r) for r in self._harness.records]

    def add_records(self, records: Sequence[dict[str, Any]]) -> None:
        """Take the records of another process of this run."""
        self._elsewhere.extend(records)

    def all_records(self) -> list[Record]:
        """The records of all processes, merged."""
        from pytest_microtvm.verify.records import Record, merge_records

        return merge_records(Record(**data) for data in [*self.records(), *self._elsewhere])

    def publish(self) -> None:
        """Give the records to the hooks, and write them.

        Raises:
            ConfigError: The file cannot be written.
        """
        records = self.all_records()
        for record in records:
            self._config.hook.pytest_microtvm_record(config=self._config, record=record.to_json())
        if self.settings.json_path is not None:
            from pytest_microtvm.verify.records import write_records

            write_records(self.settings.json_path, records)

    def _progress(self, line: str) -> None:
        if self._config.get_verbosity() >= 0:
            self._write_line(line)

    def _detail(self, line: str) -> None:
        if self._config.get_verbosity() >= 1:
            self._write_line(line)

    def _write_line(self, line: str) -> None:
        """Print a line between the tests' own; a worker of pytest-xdist has no terminal."""
        terminal = self._config.pluginmanager.get_plugin("terminalreporter")
        if terminal is None:
            return
        with _uncaptured(self._config):
            terminal.ensure_newline()
            terminal.write_line(f"microtvm: {line}")
            terminal.flush()


@contextlib.contextmanager
def _uncaptured(config: pytest.Config) -> Iterator[None]:
    capture = config.pluginmanager.get_plugin("capturemanager")
    if capture is None:
        yield
        return
    with capture.global_and_fixture_disabled():
        yield
