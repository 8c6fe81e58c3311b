"""The fixtures: `microtvm` gives a test everything, the others are what it is made of."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_microtvm.errors import ConfigError
from pytest_microtvm.face.stash import run_of

if TYPE_CHECKING:
    from pytest_microtvm.boards import Board
    from pytest_microtvm.compiler.options import Reading
    from pytest_microtvm.face.run import Run
    from pytest_microtvm.flow.model_under_test import ModelUnderTest
    from pytest_microtvm.mlf.library import ModelLibrary
    from pytest_microtvm.project.firmware import Firmware
    from pytest_microtvm.session.device import Session
    from pytest_microtvm.virtual_lab.client import VirtualLab

MODEL_MARKER = "microtvm_model"
BOARD_MARKER = "microtvm_board"


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
def microtvm(
    request: pytest.FixtureRequest, microtvm_board: Board, microtvm_executor: str
) -> ModelUnderTest:
    """The marked model on a board: run it, check it against the host, see what it costs."""
    run = _run(request)
    path, reading = _marked_model(request)
    return run.model_under_test(request.node, path, microtvm_board, microtvm_executor, reading)


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


def _marked_model(request: pytest.FixtureRequest) -> tuple[Path, Reading | None]:
    """The model that a test's marker names, and how it wants it to be read."""
    marker = request.node.get_closest_marker(MODEL_MARKER)
    if marker is None:
        raise ConfigError(
            f"{request.node.nodeid} uses a microtvm fixture but names no model",
            cure=f'mark it with @pytest.mark.{MODEL_MARKER}("path/to/model.tflite")',
        )
    if len(marker.args) != 1 or not isinstance(marker.args[0], str | Path):
        raise ConfigError(
            f"{request.node.nodeid}: the marker {MODEL_MARKER} takes one path",
            cure=f'write @pytest.mark.{MODEL_MARKER}("path/to/model.tflite")',
        )
    reading = _reading(request.node.nodeid, **marker.kwargs) if marker.kwargs else None
    named = Path(marker.args[0])
    beside, below_root = request.path.parent / named, request.config.rootpath / named
    for path in (beside, below_root):
        if path.is_file():
            return path, reading
    raise ConfigError(
        f"{request.node.nodeid}: there is no model {named}, neither beside the test nor below "
        f"{request.config.rootpath}",
        cure="name a file relative to one of them",
    )


def _reading(
    nodeid: str, *, input_shapes: object = None, signature: object = None, **others: object
) -> Reading:
    """How a marker wants its model to be read."""
    from pytest_microtvm.compiler.options import Reading

    shapes = {} if input_shapes is None else input_shapes
    is_right = (
        not others
        and (signature is None or isinstance(signature, str))
        and isinstance(shapes, Mapping)
        and all(isinstance(name, str) for name in shapes)
        and all(isinstance(shape, Sequence) for shape in shapes.values())
        and all(isinstance(extent, int) for shape in shapes.values() for extent in shape)
    )
    if not is_right or not isinstance(shapes, Mapping):
        raise ConfigError(
            f"{nodeid}: the marker {MODEL_MARKER} takes input_shapes and signature beside the path",
            cure='write input_shapes={"input": (1, 49, 10, 1)}, signature="serving_default"',
        )
    signature = signature if isinstance(signature, str) else None
    return Reading({name: tuple(shape) for name, shape in shapes.items()}, signature)
