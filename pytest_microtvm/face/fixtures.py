"""The fixtures: `microtvm` gives a test everything, the others are what it is made of."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from pytest_microtvm.errors import ConfigError
from pytest_microtvm.face.markers import marked_model
from pytest_microtvm.face.stash import run_of

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_microtvm.boards import Board
    from pytest_microtvm.face.run import Run
    from pytest_microtvm.flow.model_under_test import ModelUnderTest
    from pytest_microtvm.mlf.library import ModelLibrary
    from pytest_microtvm.project.firmware import Firmware
    from pytest_microtvm.session.device import Session
    from pytest_microtvm.virtual_lab.client import VirtualLab


@pytest.fixture(scope="session")
def microtvm_board(request: pytest.FixtureRequest) -> Board:
    """The board a test runs on: one of those that `--microtvm-board` names."""
    return _run(request).board(request.param)


@pytest.fixture(scope="session")
def microtvm_platform(microtvm_board: Board) -> str:
    """The name of the board's platform."""
    return microtvm_board.platform


@pytest.fixture(scope="session")
def microtvm_executor(request: pytest.FixtureRequest) -> str:
    """The executor a test runs with: one of those that `--microtvm-executor` names."""
    _run(request)
    executor: str = request.param
    return executor


@pytest.fixture
def microtvm_model(request: pytest.FixtureRequest) -> Path:
    """The model that the marker of the same name names: one of them, if there are several."""
    _run(request)
    path, _reading = marked_model(request.node)
    return path


@pytest.fixture
def microtvm(
    request: pytest.FixtureRequest,
    microtvm_model: Path,
    microtvm_board: Board,
    microtvm_executor: str,
) -> ModelUnderTest:
    """The marked model on a board: run it, check it against the host, see what it costs."""
    run = _run(request)
    _path, reading = marked_model(request.node)
    return run.model_under_test(
        request.node, microtvm_model, microtvm_board, microtvm_executor, reading
    )


@pytest.fixture(scope="session")
def microtvm_models(
    request: pytest.FixtureRequest, microtvm_board: Board, microtvm_executor: str
) -> Callable[[str | os.PathLike[str]], ModelUnderTest]:
    """Models for fixtures of any scope, and for Hypothesis: `microtvm_models("kws.tflite")`.

    A path is relative to pytest's root folder; what comes back is as of `microtvm`, and the same
    for the same model.
    """
    from pytest_microtvm.model_files import plain_path

    run = _run(request)
    known: dict[Path, ModelUnderTest] = {}

    def model(path: str | os.PathLike[str]) -> ModelUnderTest:
        file = plain_path(request.config.rootpath / path)
        if not file.is_file():
            raise ConfigError(
                f"there is no model {file}", cure="name a file relative to pytest's root folder"
            )
        if file not in known:
            known[file] = run.shared_model(file, microtvm_board, microtvm_executor)
        return known[file]

    return model


@pytest.fixture
def microtvm_mlf(microtvm: ModelUnderTest) -> ModelLibrary:
    """The marked model, compiled to a Model Library Format archive."""
    return microtvm.library


@pytest.fixture
def microtvm_project(microtvm: ModelUnderTest) -> Firmware:
    """The firmware project of the marked model, generated and built for the board."""
    return microtvm.firmware


@pytest.fixture
def microtvm_session(microtvm: ModelUnderTest, microtvm_project: Firmware) -> Session:
    """The device, open, running the marked model's firmware."""
    return microtvm.session


@pytest.fixture
def microtvm_virtual_lab(request: pytest.FixtureRequest) -> Iterator[Callable[..., VirtualLab]]:
    """Starts labs of virtual boards: `microtvm_virtual_lab("netduinoplus2=2")`.

    Each argument is a kind of board, or "KIND=COUNT"; the boards are called KIND-1, KIND-2 and so
    on. They are blank at first, and gone when the test ends.
    """
    from pytest_microtvm.face.settings import load_known_boards
    from pytest_microtvm.virtual_lab.client import VirtualLab
    from pytest_microtvm.virtual_lab.command import boards_of

    known = load_known_boards(request.config)
    with ExitStack() as labs:
        yield lambda *kinds: labs.enter_context(VirtualLab(boards_of(kinds, known)))


def _run(request: pytest.FixtureRequest) -> Run:
    run = run_of(request.config)
    if run is None:
        pytest.skip("no board is named: run pytest with --microtvm-board=NAME")
    return run
