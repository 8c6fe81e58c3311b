"""Firmware without the RPC server, by the user's own Zephyr: where ZEPHYR_BASE is set."""

from __future__ import annotations

import os

import pytest

from pytest_microtvm.boards import Board, load_boards
from tests.contract import test_project_types as contract

if not os.environ.get("ZEPHYR_BASE"):
    pytest.skip("ZEPHYR_BASE is not set: no Zephyr to build with", allow_module_level=True)

test_floats_are_printed_to_the_last_bit = contract.test_floats_are_printed_to_the_last_bit
test_images_are_loaded_as_pixels = contract.test_images_are_loaded_as_pixels


@pytest.fixture(params=["mps2_an385", "qemu_riscv32"])
def board(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Board:
    monkeypatch.setattr(contract, "BUILD_TIMEOUT_S", 900.0)
    return load_boards()[request.param].on("zephyr")
