"""Model files as tests: `pytest model.tflite --microtvm-board=NAME`.

A model is collected when it is named on the command line, or is anywhere below a folder that is
named there. A plain `pytest`, which looks for tests by itself, leaves models alone: they may be the
data of other tests.
"""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_microtvm.errors import OutputMismatch
from pytest_microtvm.face.markers import exclusion
from pytest_microtvm.face.run import Run
from pytest_microtvm.face.stash import run_of
from pytest_microtvm.model_files import is_model, is_surely_model

if TYPE_CHECKING:  # NumPy and all that compares: the controlling process of xdist needs none
    from pytest_microtvm.flow.model_under_test import ModelUnderTest
    from pytest_microtvm.verify.compare import Comparison

NAMED = "microtvm_named"
WORKERS = "microtvm_workers"


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> ModelFile | None:
    """Collect a model file, if it was asked for."""
    if not is_model(file_path):
        return None
    named = parent.session.isinitpath(file_path)
    if not named:
        below = any(file_path.is_relative_to(folder) for folder in _named_paths(parent.config))
        if not below or not is_surely_model(file_path):
            return None
    if file_path.is_relative_to(parent.config.rootpath):
        return ModelFile.from_parent(parent, path=file_path)
    # Left to pytest, models of one name in several folders would have one node id.
    return ModelFile.from_parent(parent, path=file_path, nodeid=file_path.as_posix())


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: object) -> None:
    """Tell a worker of pytest-xdist what was named; it sees other arguments."""
    worker_input, config = node.workerinput, node.config  # type: ignore[attr-defined]
    worker_input[NAMED] = list(map(str, _named_paths(config)))
    # In other modes every worker runs every test as it is, or all of a file are one worker's.
    is_spread = config.getoption("dist") in ("load", "worksteal")
    worker_input[WORKERS] = worker_input["workercount"] if is_spread else 1
    run = run_of(config)
    assert run is not None
    spec = node.gateway.spec  # type: ignore[attr-defined]
    # Of a worker on another machine, or behind a program that the user names, nobody knows.
    worker_input.update(run.share_with_worker(is_child=bool(spec.popen) and not spec.python))


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the repetitions on further boards of a pool, but for workers without a test.

    So `-n 2` uses two boards though there is one test: what differs between them shows.
    """
    workers = getattr(config, "workerinput", {}).get(WORKERS, 1)
    named = [argument.rpartition("::")[2] for argument in config.args]
    spare = [
        item
        for item in items
        if isinstance(item, ModelItem) and item.repetition > 1 and item.name not in named
    ]
    spare.sort(key=lambda item: item.repetition)  # stable: each test twice before one is thrice
    idle = max(0, workers - (len(items) - len(spare)))
    left_out = set(spare[idle:])
    items[:] = [item for item in items if item not in left_out]
    run = run_of(config)
    if run is not None and run.processes.worker == "gw0" and spare[:idle]:
        run.console.tell(f"fewer tests than workers ({workers}): repeating some on further boards")


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Keep a test from the boards that its markers exclude."""
    run = run_of(item.config)
    if run is not None:
        run.current = item
    callspec = getattr(item, "callspec", None)
    if run is None or callspec is None or "microtvm_board" not in callspec.params:
        return
    board = run.board(callspec.params["microtvm_board"])
    reason = exclusion(item, board, run.boards, {each.kind for each in run.settings.lab})
    if reason:
        pytest.skip(reason)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item) -> Generator[None]:
    """Give a board of the lab back after the test and its fixtures: others may wait for it."""
    try:
        return (yield)
    finally:
        run = run_of(item.config)
        if run is not None:
            run.release_board()


class ModelFile(pytest.File):
    """A model file: one test per board and executor, and its repetitions on boards of a pool."""

    def collect(self) -> Iterator[ModelItem]:
        """The tests."""
        run = run_of(self.config)
        assert run is not None
        for executor, board in run.names:
            for repetition in range(1, run.pool_size(board) + 1):
                place = board if repetition == 1 else f"{board}#{repetition}"
                yield ModelItem.from_parent(
                    self,
                    name=f"{executor}[{place}]",
                    run=run,
                    executor=executor,
                    board=board,
                    repetition=repetition,
                )


class ModelItem(pytest.Item):
    """One model on one board with one executor, held to the host's reference.

    Everything that can break is done while setting up, so that it is an error; the test itself
    only compares, so that it is a verdict.

    Attributes:
        repetition: 1, and more for the same test on further boards of a pool at the same time.
    """

    def __init__(
        self,
        name: str,
        parent: ModelFile,
        run: Run,
        executor: str,
        board: str,
        repetition: int,
    ) -> None:
        super().__init__(name, parent)
        self.repetition = repetition
        self.fixturenames: list[str] = []  # other plugins ask every item, labgrid's for one
        self._run = run
        self._executor = executor
        self._board = board
        self._model: ModelUnderTest | None = None
        self._comparison: Comparison | None = None
        self._mismatch: OutputMismatch | None = None

    def setup(self) -> None:
        """Compile, build, open the device and run the model there and on this machine."""
        self._model = self._run.model_under_test(
            self, self.path, self._run.board(self._board), self._executor
        )
        try:
            self._comparison = self._model.compare()
        except OutputMismatch as mismatch:  # a verdict already, on the compiled model
            self._mismatch = mismatch

    def runtest(self) -> None:
        """Hold the device to the reference."""
        if self._mismatch is not None:
            raise self._mismatch
        assert self._comparison is not None
        self._comparison.raise_on_mismatch()

    def repr_failure(
        self, excinfo: pytest.ExceptionInfo[BaseException], style: object = None
    ) -> str:
        """The mismatch report is the failure; the way to it says nothing."""
        if isinstance(excinfo.value, OutputMismatch) and not self.config.option.fulltrace:
            return str(excinfo.value)
        return str(super().repr_failure(excinfo))

    def reportinfo(self) -> tuple[Path, None, str]:
        """What the report calls the test: no part of its id, which pytest would write otherwise."""
        return self.path, None, " ".join(self.nodeid.rsplit("::", 1))


def _named_paths(config: pytest.Config) -> list[Path]:
    worker_input = getattr(config, "workerinput", None)
    if worker_input is not None:
        return [Path(path) for path in worker_input[NAMED]]
    if config.args_source is not pytest.Config.ArgsSource.ARGS:
        return []
    here = config.invocation_params.dir
    # Without "..", as pytest has the paths that it collects; links stay as they are.
    return [Path(os.path.normpath(here / argument.split("::")[0])) for argument in config.args]
