"""A virtual lab, and firmware for it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from pytest_microtvm.boards import Board, load_boards
from pytest_microtvm.deadline import Deadline
from pytest_microtvm.lab.file import LabBoard, load_lab
from pytest_microtvm.project import flash_project
from pytest_microtvm.project.firmware import Firmware
from pytest_microtvm.session.device import Session
from pytest_microtvm.virtual_lab.client import BoardSwitches, VirtualLab
from tests.contract.libraries import DOUBLE, FloatModel
from tests.contract.running import need_tools
from tests.contract.sessions import build_firmware

KIND = "netduinoplus2"
TIMEOUT_S = 5.0
X = {"x": np.arange(4, dtype=np.float32)}

SLOW = FloatModel(
    name="slow",
    kernel="""\
void kernel(const float *x, float *y);
void kernel(const float *x, float *y) {
  volatile int turns = 1;
  while (turns != 0) turns = 1;
  y[0] = x[0];
}
""",
    count=4,
)


class Bench:
    """One board of a virtual lab, and what tests do with it."""

    def __init__(self, lab: VirtualLab, name: str, board: LabBoard) -> None:
        self.switches: BoardSwitches = lab[name]
        self.board = board

    @property
    def options(self) -> dict[str, object]:
        """The project options that mean the board."""
        return self.board.project_options

    def flash(self, firmware: Firmware, **options: object) -> None:
        """Flash it."""
        flash_project(firmware.project_dir, {**self.options, **options}, Deadline(30))

    def session(self, firmware: Firmware, **options: object) -> Session:
        """A session with it; not open yet."""
        return Session(firmware, TIMEOUT_S, options={**self.options, **options})

    def check(self, firmware: Firmware) -> None:
        """Make sure that it can be used, whatever was done to it."""
        self.switches.plug()
        self.switches.power_on()
        self.flash(firmware)
        with self.session(firmware) as session:
            np.testing.assert_array_equal(session.run(X)["y"], 2 * X["x"])


@pytest.fixture(scope="session")
def definition() -> Board:
    """The definition of all boards of the lab."""
    board = load_boards()[KIND]
    need_tools(board)
    if shutil.which("gdb-multiarch") is None:
        pytest.skip("gdb-multiarch is missing; install it: apt-get install gdb-multiarch")
    return board


@pytest.fixture(scope="module")
def lab(definition: Board) -> Iterator[VirtualLab]:
    """A lab of one board."""
    with VirtualLab({"left": definition}) as lab:
        yield lab


@pytest.fixture(scope="session")
def double(definition: Board, tmp_path_factory: pytest.TempPathFactory) -> Firmware:
    """Firmware that doubles four numbers."""
    return build_firmware(tmp_path_factory.mktemp("double"), DOUBLE, definition, "d0b1e")


@pytest.fixture(scope="session")
def slow(definition: Board, tmp_path_factory: pytest.TempPathFactory) -> Firmware:
    """Firmware whose model never ends."""
    return build_firmware(tmp_path_factory.mktemp("slow"), SLOW, definition, "510e")


@pytest.fixture
def bench(lab: VirtualLab, double: Firmware) -> Iterator[Bench]:
    """The board of the lab; after the test it has to be as good as before."""
    (board,) = load_lab(lab.lab_file)
    bench = Bench(lab, "left", board)
    bench.switches.plug()
    bench.switches.power_on()
    yield bench
    bench.check(double)


def elf_of(firmware: Firmware) -> Path:
    """The built program."""
    return firmware.project_dir / "build" / "firmware.elf"
