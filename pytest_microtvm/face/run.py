"""One pytest run with boards: what was asked for, and the harness that does it."""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_microtvm.boards.selection import board_of
from pytest_microtvm.face.console import Console
from pytest_microtvm.face.results import SHARED, UNDER_TEST, Results
from pytest_microtvm.face.settings import Settings
from pytest_microtvm.face.workers import PARENT, Processes
from pytest_microtvm.flow.cache import Cache

if TYPE_CHECKING:
    from pytest_microtvm.boards import Board
    from pytest_microtvm.compiler.options import Reading
    from pytest_microtvm.flow.harness import Harness
    from pytest_microtvm.flow.model_under_test import ModelUnderTest


class Run:
    """The boards of one pytest process, and everything that was compiled, built and opened.

    Args:
        config: pytest's configuration.
        settings: What was asked for.
        boards: All known boards by name.

    Attributes:
        settings: What was asked for.
        boards: All known boards by name.
        processes: Those of the run.
        console: Where the run tells what it does.
        results: What came of the tests.
        trouble: Why the run itself failed; empty if it did not.
        notes: What is to be told with the table.
        current: The test that is run now.
    """

    def __init__(self, config: pytest.Config, settings: Settings, boards: dict[str, Board]) -> None:
        self.settings = settings
        self.processes = Processes(config)
        self.console = Console(config, self.processes)
        self.results = Results(settings.boards, settings.executors)
        self.trouble = ""
        self.notes: list[str] = []
        self.current: pytest.Item | None = None
        self._config = config
        self.boards = boards
        self._resources = contextlib.ExitStack()
        self._resources.callback(self.processes.close)
        self.processes.die_with_controller()
        self._harness: Harness | None = None

    @property
    def names(self) -> list[tuple[str, str]]:
        """Every (executor, board) that tests run with."""
        return [(e, b) for b in self.settings.boards for e in self.settings.executors]

    def board(self, label: str) -> Board:
        """A board by its label, which was checked."""
        return board_of(self.boards, label)

    def is_named(self, board: str | None) -> bool:
        """Whether a board was asked for by its own name, not found by a glob or a tag."""
        return board is None or board in self.settings.boards_by_name

    def pool_size(self, board: str) -> int:
        """How many boards can run the same test at the same time: 1, or those of the lab."""
        if self.settings.build_only:
            return 1
        return max(1, sum(each.kind == self.board(board).name for each in self.settings.lab))

    def open(self) -> None:
        """Make sure that the run can start.

        Raises:
            ConfigError: The cache cannot be written.
        """
        self._cache = Cache(
            self.cache_dir, self.settings.cache_limit_bytes, progress=self.console.tell
        )
        self._cache.open()
        self._resources.callback(self._cache.close)

    @property
    def harness(self) -> Harness:
        """What compiles, builds, runs and compares; made when a test first needs it."""
        if self._harness is None:
            from pytest_microtvm.flow.harness_options import HarnessOptions
            from pytest_microtvm.flow.opening import open_harness
            from pytest_microtvm.verify.compare import Tolerance

            settings = self.settings
            options = HarnessOptions(
                timeout_s=settings.timeout_s,
                lease_timeout_s=settings.lease_timeout_s,
                tolerance=Tolerance(settings.rtol, settings.atol, settings.equal_nan),
                inputs=settings.inputs,
                reference=settings.reference,
                input_shapes=settings.input_shapes,
                signature=settings.signature,
                custom_operators=settings.custom_operators,
                memory=settings.memory,
                tuning=settings.tuning,
                root=self._config.rootpath,
                keep_projects=settings.keep_projects,
                count_instructions=settings.count_instructions,
                check_models=settings.check_models,
                compile_timeout_s=settings.compile_timeout_s,
                compile_memory_bytes=settings.compile_memory_bytes,
            )
            self._harness = self._resources.enter_context(
                open_harness(
                    self._cache,
                    self.boards,
                    options,
                    platforms=settings.platforms,
                    lab=settings.lab,
                    quarantine=self.processes.folder / "quarantine",
                    command=self.processes.command,
                    progress=self.console.tell,
                    detail=self.console.detail,
                )
            )
        return self._harness

    def model_under_test(
        self,
        item: pytest.Item,
        model: Path,
        board: Board,
        executor: str,
        reading: Reading | None = None,
    ) -> ModelUnderTest:
        """What a test needs of a model, which may be read in its own way, a board, an executor."""
        from pytest_microtvm.flow.model_under_test import ModelUnderTest

        def on_log(line: str) -> None:
            sys.stdout.write(f"[{board.label}] {line}\n")  # into the test's captured output

        under_test = ModelUnderTest(self.harness, model, board, executor, on_log, reading)
        self.results.add(item, under_test.record)
        self.processes.note_test(item.nodeid, under_test.record.to_data())
        item.stash[UNDER_TEST] = under_test
        if self.settings.build_only:
            under_test.firmware  # noqa: B018 (a property that builds)
            pytest.skip(f"built for {board.label}, not run: --microtvm-build-only")
        return under_test

    def shared_model(self, model: Path, board: Board, executor: str) -> ModelUnderTest:
        """What tests need that share a model, in a fixture of a wider scope than a test.

        Each test that uses the device is recorded as one of the model's, and begins with its
        initial state.
        """
        from pytest_microtvm.flow.model_under_test import ModelUnderTest

        def on_log(line: str) -> None:
            sys.stdout.write(f"[{board.label}] {line}\n")

        def on_use(used: ModelUnderTest) -> None:
            item = self.current
            if item is None:
                return
            item.stash[UNDER_TEST] = used
            begun = item.stash.setdefault(SHARED, [])
            if any(each is used for each in begun):
                return
            begun.append(used)
            self.results.add(item, used.record)
            used.begin_anew()
            if self.settings.build_only:
                used.firmware  # noqa: B018 (a property that builds)
                pytest.skip(f"built for {board.label}, not run: --microtvm-build-only")

        under_test = ModelUnderTest(self.harness, model, board, executor, on_log)
        under_test.on_use = on_use
        return under_test

    def share_with_worker(self, *, is_child: bool) -> dict[str, str]:
        """What a worker gets with its configuration; its progress is printed from now on.

        Args:
            is_child: Whether this process is the worker's parent.
        """
        shared = self.processes.share_with_worker(self.console.print_workers_line)
        return {**shared, PARENT: str(os.getpid())} if is_child else shared

    @property
    def cache_dir(self) -> Path:
        """The build cache."""
        directory = self.settings.cache_dir
        return self.processes.folder / "cache" if directory is None else directory

    def release_board(self) -> None:
        """Give a board of the lab back, when a test is done with it."""
        if self._harness is not None:
            self._harness.release()

    def close(self) -> None:
        """Close every device and remove what was only for this run."""
        self._resources.close()
