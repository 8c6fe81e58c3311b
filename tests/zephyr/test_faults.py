"""The report of a fault compiles without a warning for CPUs that the stand-in is not for."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from pytest_microtvm.project import runtime_directory
from tests.zephyr.conftest import STANDIN

WARNINGS = ("-Wall", "-Wextra", "-Werror", "-Wno-unused-parameter")


@pytest.mark.parametrize(
    ("cpu", "setting"),
    [
        ("cortex-m0", "CONFIG_ARMV6_M_ARMV8_M_BASELINE=1"),
        ("cortex-m3", "CONFIG_ARMV7_M_ARMV8_M_MAINLINE=1"),
    ],
)
def test_no_warning_on_any_cortex_m(cpu: str, setting: str, tmp_path: Path) -> None:
    runtime = runtime_directory()
    folders = (runtime / "include", runtime / "zephyr" / "include", STANDIN / "include")
    settings = ("CONFIG_ARM=1", "CONFIG_CPU_CORTEX_M=1", setting)
    command = [
        *("arm-none-eabi-gcc", f"-mcpu={cpu}", "-mthumb", "-O2", "-std=gnu11", *WARNINGS),
        *(f"-I{folder}" for folder in folders),
        *(f"-D{each}" for each in settings),
        *("-c", "-o", str(tmp_path / "fault.o"), str(runtime / "zephyr" / "fault.c")),
    ]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
