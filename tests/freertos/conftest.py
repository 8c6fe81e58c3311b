"""The stand-in for FreeRTOS as the FreeRTOS of a test."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_microtvm.boards import load_boards
from tests.contract.running import need_tools

STANDIN = Path(__file__).with_name("standin")
BOARD = "mps2_an385"


@pytest.fixture(scope="module")
def standin():
    """FREERTOS_PATH names the stand-in."""
    need_tools(load_boards()[BOARD])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FREERTOS_PATH", str(STANDIN))
        yield STANDIN
