"""The contract of all firmware, kept by the user's own FreeRTOS: where FREERTOS_PATH is set."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from pytest_microtvm.boards import load_boards
from pytest_microtvm.project.firmware import Firmware
from pytest_microtvm.session.device import Session
from tests.contract import test_firmware as contract
from tests.contract.libraries import FloatModel
from tests.contract.sessions import build_firmware

EMULATED = [
    name
    for name, board in load_boards().items()
    if "freertos" in board.platforms and board.emulator is not None
]

if not os.environ.get("FREERTOS_PATH"):
    pytest.skip("FREERTOS_PATH is not set: no FreeRTOS to build with", allow_module_level=True)

test_every_byte_arrives = contract.test_every_byte_arrives
test_the_math_functions_that_kernels_need = contract.test_the_math_functions_that_kernels_need
test_special_values = contract.test_special_values
test_the_timer_measures_wall_clock_time = contract.test_the_timer_measures_wall_clock_time
test_crashes_in_a_kernel_are_readable_errors = contract.test_crashes_in_a_kernel_are_readable_errors


@pytest.fixture(scope="module", params=EMULATED)
def firmware(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Firmware:
    board = load_boards()[request.param].on("freertos")
    model = FloatModel("probe", contract.kernel_source(), contract.COUNT)
    return build_firmware(tmp_path_factory.mktemp(board.name), model, board)


@pytest.fixture(scope="module")
def session(firmware: Firmware) -> Iterator[Session]:
    with Session(firmware, timeout_s=20, on_log=print) as session:
        yield session
