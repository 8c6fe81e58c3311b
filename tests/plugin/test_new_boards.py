"""A board that nobody has prepared: a TOML file, nothing else, and a model passes on it."""

import shutil

import pytest

from pytest_microtvm.boards import load_board
from tests.contract.running import need_tools
from tests.plugin.running import MODELS

TOOLCHAIN = """
[toolchain]
prefix = "arm-none-eabi-"
flags = ["-mcpu=cortex-m3", "-mthumb"]
libraries = ["-lm", "-lc"]
install = "apt-get install gcc-arm-none-eabi libnewlib-arm-none-eabi make"
"""

# Arm's application note AN511: a Cortex-M3 of the DesignStart programme on the MPS2 board.
MPS2_AN511 = f"""
name = "my_an511"
platform = "baremetal"
cpu = {{ arch = "arm", startup = "cortex_m", core = "cortex-m3" }}
uart = {{ driver = "cmsdk", base = 0x4000_4000, interrupt = 0, clock_hz = 25_000_000 }}
timer = {{ driver = "cmsdk", base = 0x4000_0000, hz = 25_000_000 }}

[[memory]]
name = "flash"
kind = "flash"
origin = 0x0000_0000
bytes = 0x0004_0000

[[memory]]
name = "ram"
kind = "ram"
origin = 0x2000_0000
bytes = 0x0002_0000
{TOOLCHAIN}
[emulator]
program = "qemu-system-arm"
machine = "mps2-an511"
arguments = ["-semihosting"]
install = "apt-get install qemu-system-arm"
"""

# ST's value line discovery board: 8 KB of RAM, and no timer in QEMU but the CPU's.
STM32VLDISCOVERY = f"""
name = "my_discovery"
platform = "baremetal"
cpu = {{ arch = "arm", startup = "cortex_m", core = "cortex-m3" }}
uart = {{ driver = "stm32", base = 0x4001_3800, interrupt = 37, clock_hz = 24_000_000 }}
timer = {{ driver = "systick", base = 0xe000_e010, hz = 3_000_000 }}
firmware = {{ stack_bytes = 2048, packet_bytes = 512 }}

[[memory]]
name = "flash"
kind = "flash"
origin = 0x0800_0000
bytes = 0x0002_0000

[[memory]]
name = "ram"
kind = "ram"
origin = 0x2000_0000
bytes = 0x0000_2000
{TOOLCHAIN}
[emulator]
program = "qemu-system-arm"
machine = "stm32vldiscovery"
arguments = ["-semihosting"]
install = "apt-get install qemu-system-arm"
"""


@pytest.mark.parametrize(
    ("name", "definition"),
    [("my_an511", MPS2_AN511), ("my_discovery", STM32VLDISCOVERY)],
)
def test_a_toml_makes_a_board(run_pytest, workspace, name, definition):
    path = workspace / "boards" / f"{name}.toml"
    path.parent.mkdir()
    path.write_text(definition)
    need_tools(load_board(path))
    shutil.copy(MODELS / "sine_int8.tflite", workspace)
    outcome = run_pytest(
        "sine_int8.tflite", f"--microtvm-boards-dir={path.parent}", f"--microtvm-board={name}"
    )
    assert outcome.status == 0, outcome.output
    (record,) = outcome.records
    assert record["board"] == name
    assert record["outcome"] == "passed"
