"""What passes its test here goes into a firmware of one's own, which prints the same."""

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from pytest_microtvm import export

HERE = Path(__file__).parent
PROGRAMS = ["firmware", "firmware_cxx"]
QEMU = ["qemu-system-arm", "-machine", "mps2-an386", "-nographic", "-semihosting", "-kernel"]

pytestmark = pytest.mark.microtvm_model("../models/keyword_int8.tflite")


def command(*words: str | Path) -> str:
    done = subprocess.run(list(map(str, words)), capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture
def build(microtvm_mlf, microtvm_board, tmp_path: Path) -> Path:
    """The firmware, built with the archive under test."""
    if shutil.which("cmake") is None:
        pytest.skip("cmake is missing; install it: apt-get install cmake")
    model = export(microtvm_mlf, tmp_path / "model", format="cmake", board=microtvm_board)
    toolchain = f"-DCMAKE_TOOLCHAIN_FILE={HERE / 'arm-none-eabi.cmake'}"
    folder = tmp_path / "build"
    command("cmake", "-S", HERE, "-B", folder, toolchain, f"-DMODEL_DIR={model}")
    command("cmake", "--build", folder)
    return folder


def test_the_firmware_prints_what_the_test_sees(microtvm, build: Path) -> None:
    microtvm.check()  # the board computes what this computer does
    pattern = (np.arange(640) * 7 % 256).astype(np.uint8).view(np.int8).reshape(1, 32, 20, 1)
    scores = microtvm.run(pattern)["scores"].reshape(-1)
    for program in PROGRAMS:
        printed = command(*QEMU, build / program)
        assert [int(line) for line in printed.split()] == scores.tolist()
