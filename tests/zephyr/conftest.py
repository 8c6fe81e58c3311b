"""The stand-in for Zephyr as the Zephyr of a test."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

STANDIN = Path(__file__).with_name("standin")
TOOLS = {
    "cmake": "apt-get install cmake",
    "ninja": "apt-get install ninja-build",
    "dtc": "apt-get install device-tree-compiler",
    "west": "pip install west",
    "arm-none-eabi-gcc": "apt-get install gcc-arm-none-eabi",
    "qemu-system-arm": "apt-get install qemu-system-arm",
}
VARIABLES = (
    *("ZEPHYR_TOOLCHAIN_VARIANT", "ZEPHYR_SDK_INSTALL_DIR", "CROSS_COMPILE", "CMSIS_PATH"),
    *("ZEPHYR_EXTRA_MODULES", "EXTRA_ZEPHYR_MODULES", "BOARD_ROOT"),
)


@pytest.fixture(scope="module")
def standin(tmp_path_factory: pytest.TempPathFactory):
    """ZEPHYR_BASE names the stand-in, with the one module that its board takes."""
    for program, install in TOOLS.items():
        if shutil.which(program) is None:
            pytest.skip(f"{program} is missing; install it: {install}")
    module = tmp_path_factory.mktemp("modules") / "cmsis"
    module.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        for name in VARIABLES:
            patch.delenv(name, raising=False)
        patch.setenv("ZEPHYR_BASE", str(STANDIN))
        patch.setenv("ZEPHYR_MODULES", str(module))
        patch.setenv("ZEPHYR_TOOLCHAIN_VARIANT", "cross-compile")
        yield STANDIN
