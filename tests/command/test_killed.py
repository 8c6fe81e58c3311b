"""The command killed while its device is open: nothing of it stays."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.command.conftest import Microtvm
from tests.patience import PATIENCE_S, wait_until
from tests.plugin.running import MODELS, plugin_environment


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
        wait_until(lambda: any(temporary.glob("microtvm-open-*")))
    finally:
        process.terminate()
        process.wait(PATIENCE_S)
    wait_until(lambda: not any(temporary.iterdir()))
