"""One pytest run with boards: what was asked for, the harness that does it, what came of it."""

from __future__ import annotations

import contextlib
import shlex
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_microtvm.face.settings import Settings
from pytest_microtvm.face.workers import SharedFolder, send_line

if TYPE_CHECKING:
    from pytest_microtvm.boards import Board
    from pytest_microtvm.flow.harness import Harness
    from pytest_microtvm.flow.model_under_test import ModelUnderTest
    from pytest_microtvm.flow.rig import Rig
    from pytest_microtvm.measure.records import Record
    from pytest_microtvm.session.bridges import Bridges

FOLDER = "microtvm_folder"
COMMAND = "microtvm_command"
USED: pytest.StashKey[list[Record]] = pytest.StashKey()
"""The records of what a test used. By the test itself: two may have the same node id."""


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
        self._folder: SharedFolder | None = None
        self._elsewhere: dict[tuple[str, ...], dict[str, Any]] = {}

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

    def pool_size(self, board: str) -> int:
        """How many boards can run the same test at the same time: 1, or those of the lab."""
        if self.settings.build_only:
            return 1
        return max(1, sum(each.kind == board for each in self.settings.lab))

    def open(self) -> None:
        """Make sure that the run can start.

        Raises:
            ConfigError: The cache or the records cannot be written.
        """
        from pytest_microtvm.flow.cache import Cache

        directory = self.settings.cache_dir
        if directory is None:
            directory = self._shared_folder / "cache"
        self._cache = Cache(directory, self.settings.cache_limit_bytes)
        self._cache.open()
        self._resources.callback(self._cache.close)
        if self.settings.json_path is not None:
            from pytest_microtvm.measure.records import check_writable

            check_writable(self.settings.json_path)

    @property
    def harness(self) -> Harness:
        """What compiles, builds, runs and compares; made when a test first needs it."""
        if self._harness is None:
            from pytest_microtvm.flow.harness import Harness, HarnessOptions
            from pytest_microtvm.flow.workshop import Workshop
            from pytest_microtvm.session.bridges import Bridges
            from pytest_microtvm.verify.compare import Tolerance

            workshop = Workshop(
                self._cache,
                progress=self.tell,
                detail=self._detail,
                keep_projects=self.settings.keep_projects,
                count_instructions=self.settings.count_instructions,
            )
            options = HarnessOptions(
                timeout_s=self.settings.timeout_s,
                tolerance=Tolerance(
                    self.settings.rtol, self.settings.atol, self.settings.equal_nan
                ),
                inputs=self.settings.inputs,
                reference=self.settings.reference,
                root=self._config.rootpath,
            )
            bridges = Bridges()
            rig = self._make_rig(bridges)
            self._harness = Harness(workshop, self._boards, options, rig, bridges)
            self._resources.callback(self._harness.close)
        return self._harness

    def _make_rig(self, bridges: Bridges) -> Rig:
        from pytest_microtvm.flow.rig import Rig
        from pytest_microtvm.lab.pool import Lab, Quarantine

        quarantine = Quarantine(self._shared_folder / "quarantine")
        return Rig(
            Lab(self.settings.lab, quarantine, self._shared[COMMAND]),
            self.settings.timeout_s,
            self.settings.lease_timeout_s,
            self.tell,
            bridges=bridges,
        )

    def model_under_test(
        self, item: pytest.Item, model: Path, board: Board, executor: str
    ) -> ModelUnderTest:
        """What a test needs of a model, a board and an executor."""
        from pytest_microtvm.flow.model_under_test import ModelUnderTest

        def on_log(line: str) -> None:
            sys.stdout.write(f"[{board.name}] {line}\n")  # into the test's captured output

        under_test = ModelUnderTest(self.harness, model, board, executor, on_log)
        item.stash.setdefault(USED, []).append(under_test.record)
        if self.settings.build_only:
            under_test.firmware  # noqa: B018 (a property that builds)
            pytest.skip(f"built for {board.name}, not run: --microtvm-build-only")
        return under_test

    @property
    def worker(self) -> str | None:
        """The name of this worker of pytest-xdist; None in the process that prints."""
        worker_input = getattr(self._config, "workerinput", None)
        return None if worker_input is None else worker_input["workerid"]

    def share_with_worker(self) -> dict[str, str]:
        """What a worker gets with its configuration; its progress is printed from now on."""
        shared = self._shared
        assert self._folder is not None
        self._folder.listen()
        return shared

    @property
    def _shared(self) -> dict[str, str]:
        """What the processes of one run have in common."""
        if self.worker is not None:
            worker_input: dict[str, str] = self._config.workerinput  # type: ignore[attr-defined]
            return worker_input
        if self._folder is None:
            self._folder = SharedFolder(self._print_workers_line)
            self._resources.callback(self._folder.close)
        command = shlex.join(["pytest", *map(str, self._config.invocation_params.args)])
        return {FOLDER: str(self._folder.path), COMMAND: command}

    @property
    def _shared_folder(self) -> Path:
        return Path(self._shared[FOLDER])

    def release_board(self) -> None:
        """Give a board of the lab back, when a test is done with it."""
        if self._harness is not None:
            self._harness.release()

    def note_outcome(self, item: pytest.Item, outcome: str, error: str | None = None) -> None:
        """Record the outcome of a test's phase for all that the test used."""
        for record in item.stash.get(USED, ()):
            record.worsen(outcome, error)

    def add_properties(self, item: pytest.Item) -> None:
        """Tell reports, such as JUnit's, what a test ran and what that cost."""
        for record in item.stash.get(USED, ()):
            item.user_properties += record.properties()

    def close(self) -> None:
        """Close every device and remove what was only for this run."""
        self._resources.close()

    def records(self) -> list[dict[str, Any]]:
        """The records of this process, as JSON."""
        return [] if self._harness is None else [r.to_data() for r in self._harness.records]

    def records_of(self, item: pytest.Item) -> list[dict[str, Any]]:
        """The records of what one test used, as JSON."""
        return [record.to_data() for record in item.stash.get(USED, ())]

    def add_records(self, worker: str, records: Sequence[dict[str, Any]]) -> None:
        """Take the records of a worker, in place of what it said before about the same thing."""
        for record in records:
            key = (worker, record["model"], record["board"], record["executor"])
            self._elsewhere[key] = record

    def all_records(self) -> list[Record]:
        """The records of all processes, merged; in an order that is the same in every run."""
        from pytest_microtvm.measure.records import Record, merge_records

        data = [*self.records(), *self._elsewhere.values()]
        boards, executors = self.settings.boards, self.settings.executors
        return sorted(
            merge_records(Record(**each) for each in data),
            key=lambda r: (r.model, boards.index(r.board), executors.index(r.executor)),
        )

    def publish(self) -> None:
        """Give the records to the hooks, and write them.

        Raises:
            ConfigError: The file cannot be written.
        """
        records = self.all_records()
        for record in records:
            self._config.hook.pytest_microtvm_record(config=self._config, record=record.to_json())
        if self.settings.json_path is not None:
            from pytest_microtvm.measure.records import write_records

            write_records(self.settings.json_path, records)

    def tell(self, line: str) -> None:
        """Print a line between the tests' own, whichever process this is."""
        self._tell(line, verbosity=0)

    def _detail(self, line: str) -> None:
        self._tell(line, verbosity=1)

    def _tell(self, line: str, *, verbosity: int) -> None:
        if self.worker is not None:
            send_line(self._shared_folder, self.worker, verbosity, line)
        elif self._config.get_verbosity() >= verbosity:
            self._print_line(line)

    def _print_workers_line(self, worker: str, verbosity: int, line: str) -> None:
        if self._config.get_verbosity() >= verbosity:
            self._print_line(f"[{worker}] {line}")

    def _print_line(self, line: str) -> None:
        """Print a line between the tests' own; also from a thread that is not pytest's."""
        terminal = self._config.pluginmanager.get_plugin("terminalreporter")
        if terminal is None:
            return
        with _uncaptured(self._config):
            terminal.ensure_newline()
            # In one piece, so that nothing comes between; dots of xdist may be before it.
            writer = self._config.get_terminal_writer()
            start = "\n" if writer.width_of_current_line else ""
            writer.write(f"{start}microtvm: {line}\n", flush=True)


@contextlib.contextmanager
def _uncaptured(config: pytest.Config) -> Iterator[None]:
    capture = config.pluginmanager.get_plugin("capturemanager")
    if capture is None:
        yield
        return
    with capture.global_and_fixture_disabled():
        yield
