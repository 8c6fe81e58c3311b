"""The command killed while its device is open: nothing of it stays."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from tests.command.conftest import Microtvm
from tests.plugin.running import MODELS, plugin_environment

WITHIN_S = 30.0


def wait_until(is_so: Callable[[], bool]) -> bool:
    end = time.monotonic() + WITHIN_S
    while not is_so() and time.monotonic() < end:
        time.sleep(0.05)
    return is_so()


def test_a_killed_run_leaves_no_folder(microtvm: Microtvm, tmp_path: Path) -> None:
    sine = MODELS / "sine_int8.tflite"
    microtvm("create", "p", sine, "host", "-o", "board=host", status=0)
    microtvm("build", "p", status=0)
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    process = subprocess.Popen(
        [sys.executable, "-m", "pytest_microtvm.command", "run", "p", "--repeat", "1000000"],
        env=plugin_environment(TMPDIR=str(temporary)),
    )
    try:
        assert wait_until(lambda: any(temporary.glob("microtvm-open-*")))
    finally:
        process.terminate()
        process.wait(WITHIN_S)
    assert wait_until(lambda: not any(temporary.iterdir()))
