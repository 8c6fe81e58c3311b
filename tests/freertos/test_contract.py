"""The firmware of the platform freertos keeps the contract of all firmware, over the stand-in."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pytest_microtvm.boards import load_boards
from pytest_microtvm.project.firmware import Firmware
from pytest_microtvm.session.device import Session
from tests.contract import test_firmware as contract
from tests.contract.libraries import FloatModel
from tests.contract.sessions import build_firmware
from tests.freertos.conftest import BOARD

test_every_byte_arrives = contract.test_every_byte_arrives
test_the_math_functions_that_kernels_need = contract.test_the_math_functions_that_kernels_need
test_special_values = contract.test_special_values
test_the_timer_measures_wall_clock_time = contract.test_the_timer_measures_wall_clock_time
test_crashes_in_a_kernel_are_readable_errors = contract.test_crashes_in_a_kernel_are_readable_errors


@pytest.fixture(scope="module")
def firmware(standin: Path, tmp_path_factory: pytest.TempPathFactory) -> Firmware:
    board = load_boards()[BOARD].on("freertos")
    model = FloatModel("probe", contract.kernel_source(), contract.COUNT)
    return build_firmware(tmp_path_factory.mktemp("freertos"), model, board)


@pytest.fixture(scope="module")
def session(firmware: Firmware) -> Iterator[Session]:
    with Session(firmware, timeout_s=20, on_log=print) as session:
        yield session


def test_the_stack_of_the_task_is_measured(session: Session) -> None:
    contract.run(session, "echo")
    used = session.stack_bytes
    assert used is not None
    assert 256 < used < 4096
