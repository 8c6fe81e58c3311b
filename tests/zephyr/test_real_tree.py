"""The contract of all firmware, kept by the user's own Zephyr: where ZEPHYR_BASE is set."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from zephyr_tree import ZephyrTree

import pytest_microtvm as microtvm
from pytest_microtvm.boards import load_boards
from pytest_microtvm.errors import TargetError
from pytest_microtvm.project.firmware import Firmware
from pytest_microtvm.session.device import Session
from tests.contract import test_firmware as contract
from tests.contract.libraries import FloatModel
from tests.contract.sessions import build_firmware

BUILD_TIMEOUT_S = 900
EMULATED = [
    name
    for name, board in load_boards().items()
    if "zephyr" in board.platforms and board.emulator is not None
]
KEYWORD = Path(__file__).parents[2] / "conftest_examples" / "models" / "keyword_int8.tflite"
WITHOUT_MPU = "qemu_cortex_m3"
# What Zephyr does not notice, or tells otherwise, on these architectures and boards.
UNNOTICED: dict[str, set[str]] = {
    "null pointer": {"armv7-m", "riscv"},
    "write to a constant": {"armv8-m", "armv7-r", "riscv", WITHOUT_MPU},
    "division by zero": set(),
    "invalid instruction": set(),
    "stack overflow": {"armv6-m", "armv7-r", WITHOUT_MPU},
}

if not os.environ.get("ZEPHYR_BASE"):
    pytest.skip("ZEPHYR_BASE is not set: no Zephyr to build with", allow_module_level=True)

test_every_byte_arrives = contract.test_every_byte_arrives
test_the_math_functions_that_kernels_need = contract.test_the_math_functions_that_kernels_need
test_special_values = contract.test_special_values
test_the_timer_measures_wall_clock_time = contract.test_the_timer_measures_wall_clock_time


@pytest.fixture(scope="module", params=EMULATED)
def firmware(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Firmware:
    board = load_boards()[request.param].on("zephyr")
    model = FloatModel("probe", contract.kernel_source(), contract.COUNT)
    directory = tmp_path_factory.mktemp(board.name)
    return build_firmware(directory, model, board, build_timeout_s=BUILD_TIMEOUT_S)


@pytest.fixture(scope="module")
def session(firmware: Firmware) -> Iterator[Session]:
    with Session(firmware, timeout_s=20, on_log=print) as session:
        yield session


def test_no_path_of_this_machine_is_in_the_firmware(firmware: Firmware) -> None:
    tree = ZephyrTree.open(os.environ["ZEPHYR_BASE"])
    assert firmware.elf is not None
    program = firmware.elf.read_bytes()
    for folder in (tree.base, *tree.modules().values(), firmware.project_dir):
        assert os.fsencode(folder) not in program, folder


def test_crashes_in_a_kernel_are_readable_errors(firmware: Firmware) -> None:
    architecture = contract.architecture(firmware.board)
    for number, (name, fault) in enumerate(contract.FAULTS.items()):
        kind = fault.kinds.get(architecture)
        if kind is None or UNNOTICED[name] & {architecture, firmware.board.name}:
            continue
        with (
            Session(firmware, timeout_s=20, on_log=print) as session,
            pytest.raises(TargetError) as caught,
        ):
            contract.run(session, name)
        message = caught.value.message
        assert message.startswith(f"the device crashed: {kind}"), name
        assert "registers: pc 0x" in caught.value.details
        if fault.places:
            assert f" in fault_{number} (codegen/host/src/probe_lib0.c:" in message, name


@pytest.mark.parametrize(
    "board", [name for name in EMULATED if "baremetal" in load_boards()[name].platforms]
)
def test_a_model_takes_as_many_instructions_as_on_bare_metal(board: str) -> None:
    counts = {}
    for platform in ("zephyr", "baremetal"):
        verdict = microtvm.check(KEYWORD, board=board, platform=platform)
        assert verdict.passed, verdict.report()
        assert verdict.metrics.instructions is not None
        counts[platform] = verdict.metrics.instructions.value
    assert counts["zephyr"] == pytest.approx(counts["baremetal"], rel=0.01)
