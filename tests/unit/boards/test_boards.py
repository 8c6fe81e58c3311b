"""Board definitions: what is read, what is refused, and that every refusal names file and key."""

from __future__ import annotations

import importlib.metadata
import json
from pathlib import Path

import pytest

from pytest_microtvm.boards import Board, board_from_json, load_board, load_boards
from pytest_microtvm.errors import ConfigError
from pytest_microtvm.project.server.method_names import METHOD_NAMES

MINIMAL = 'name = "demo"\nhost = {}\n[cpu]\narch = "host"\n'
ARM = 'name = "demo"\nhost = {}\n[cpu]\narch = "arm"\n'
OLD = 'name = "demo"\nplatform = "host"\n[cpu]\narch = "host"\n'
MEMORY = '[[memory]]\nname = "ram"\nkind = "ram"\norigin = 0x1000\nbytes = 0x1000\n'


def write(directory: Path, text: str, name: str = "demo") -> Path:
    path = directory / f"{name}.toml"
    path.write_text(text)
    return path


def test_our_own_boards() -> None:
    boards = load_boards()
    assert list(boards) == sorted(boards)
    assert {"host", "qemu_x86"} <= set(boards)
    qemu = boards["qemu_x86"]
    assert qemu.platform == "baremetal"
    assert qemu.emulator is not None
    assert qemu.emulator.program == "qemu-system-i386"
    assert qemu.memory_bytes("flash") == 16 << 20
    assert qemu.memory_bytes("ram") == 32 << 20
    assert "apt-get install" in qemu.settings["toolchain"]["install"]
    microbit = boards["microbit"]
    assert (microbit.cpu.arch, microbit.settings["startup"]) == ("arm", "cortex_m")
    assert microbit.memory_bytes("ram") == 16 << 10
    assert microbit.settings["timer"]["hz"] == 16_000_000


REAL = (
    "b_u585i_iot02a",
    "due",
    "esp32c3_devkitm",
    "feathers2",
    "giga",
    "metrom4",
    "mimxrt1050_evk",
    "nano33ble",
    "nrf52840dk",
    "nrf5340dk",
    "nucleo_f746zg",
    "nucleo_l4r5zi",
    "portentah7",
    "pybadge",
    "rpipico",
    "spresense",
    "stm32f746g_disco",
    "teensy40",
    "teensy41",
    "wioterminal",
)


def test_real_boards() -> None:
    boards = load_boards()
    assert tuple(name for name, board in boards.items() if board.is_only_real) == REAL
    for name in REAL:
        flash = boards[name].flash
        assert flash is not None
        assert bool(flash.usb_ids) == (name != "spresense"), name  # a converter as any other
        assert flash.method in METHOD_NAMES
        assert boards[name].platform in ("arduino", "zephyr")
    assert boards["nucleo_l4r5zi"].memory_bytes("ram") == 640 << 10
    netduino = boards["netduinoplus2"]
    assert not netduino.is_only_real
    assert netduino.flash is not None
    assert netduino.settings["setup"][0]["address"] == 0x4002_3830


def test_minimal_board_gets_defaults(tmp_path: Path) -> None:
    board = load_board(write(tmp_path, MINIMAL))
    assert (board.name, board.platform, board.memory, board.flash) == ("demo", "host", (), None)
    assert board.settings == {}


def test_json_is_canonical_and_whole(tmp_path: Path) -> None:
    text = MINIMAL + MEMORY
    board = load_board(write(tmp_path, text))
    assert board.to_json() == load_board(write(tmp_path, "# a comment\n" + text)).to_json()
    values = json.loads(board.to_json())
    speeds = dict.fromkeys(
        ("read_bandwidth", "write_bandwidth", "read_latency", "write_latency"), 0
    )
    region = {"name": "ram", "kind": "ram", "origin": 4096, "bytes": 4096, **speeds}
    assert values["memory"] == [region]
    assert values["flash"] is None
    assert values["host"] == {}
    assert board_from_json(board.to_json()) == board


TWO_PLATFORMS = """
name = "demo"

[cpu]
arch = "arm"

[zephyr]
board = "demo/soc"

[baremetal]
stack_bytes = 4096

[baremetal.uart]
driver = "pl011"
base = 0x4000_c000
"""


def test_a_board_has_a_table_for_each_platform(tmp_path: Path) -> None:
    board = load_board(write(tmp_path, TWO_PLATFORMS))
    assert board.platforms == ("zephyr", "baremetal")
    assert (board.platform, board.settings) == ("zephyr", {"board": "demo/soc"})
    assert (board.label, board.file_label) == ("demo", "demo")
    other = board.on("baremetal")
    assert other.settings["uart"] == {"driver": "pl011", "base": 0x4000_C000}
    assert (other.platform, other.label) == ("baremetal", "demo/baremetal")
    assert other.file_label == "demo-baremetal"
    assert other.platforms == board.platforms
    assert (other.on("zephyr"), other == board, hash(other) == hash(board)) == (board, False, False)
    with pytest.raises(ConfigError, match="no table for the platform host, only for zephyr, bare"):
        board.on("host")


def test_a_server_is_given_the_chosen_table_only(tmp_path: Path) -> None:
    board = load_board(write(tmp_path, TWO_PLATFORMS)).on("baremetal")
    values = json.loads(board.to_json())
    assert values["baremetal"]["stack_bytes"] == 4096
    assert "zephyr" not in values
    again = board_from_json(board.to_json())
    assert (again.platforms, again.settings) == (("baremetal",), board.settings)


LIKE = """
[freertos]
like = "baremetal"
stack_bytes = 8192

[freertos.uart]
base = 1
"""


def test_a_table_may_be_like_another_platforms(tmp_path: Path) -> None:
    board = load_board(write(tmp_path, TWO_PLATFORMS + LIKE))
    assert board.platforms == ("zephyr", "baremetal", "freertos")
    uart = {"driver": "pl011", "base": 1}
    assert board.on("freertos").settings == {"stack_bytes": 8192, "uart": uart}
    assert board.on("baremetal").settings["uart"]["base"] == 0x4000_C000


@pytest.mark.parametrize("name", ["host", "freertos", "chained", 3])
def test_a_table_that_is_like_none_is_refused(tmp_path: Path, name: object) -> None:
    text = TWO_PLATFORMS + LIKE.replace('"baremetal"', repr(name)) + '[chained]\nlike = "zephyr"\n'
    with pytest.raises(ConfigError, match=r"freertos\.like is .*, but must name another") as caught:
        load_board(write(tmp_path, text))
    assert caught.value.cure == "the other tables are zephyr, baremetal, chained"


OLD_FORM = """
name = "demo"
platform = "baremetal"
target = "c"
cpu = { arch = "arm", startup = "cortex_m", core = "cortex-m3" }
uart = { driver = "pl011", base = 1 }
firmware = { stack_bytes = 4096 }

[[setup]]
address = 1
set = 2

[toolchain]
prefix = "arm-none-eabi-"

[emulator]
program = "qemu"
machine = "m"
"""


def test_definitions_of_one_platform_go_on_working(tmp_path: Path) -> None:
    board = load_board(write(tmp_path, OLD_FORM))
    assert (board.platforms, board.label) == (("baremetal",), "demo")
    assert board.cpu.core == "cortex-m3"
    assert board.emulator is not None
    assert board.settings == {
        "startup": "cortex_m",
        "stack_bytes": 4096,
        "uart": {"driver": "pl011", "base": 1},
        "setup": [{"address": 1, "set": 2}],
        "toolchain": {"prefix": "arm-none-eabi-"},
    }
    assert load_board(write(tmp_path, OLD)) == load_board(write(tmp_path, MINIMAL))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (MINIMAL + 'colour = "red"\n', "unknown key cpu.colour"),
        (MINIMAL + 'simd = "neon"\n', "cpu.simd must be one of none, dsp, helium"),
        (MINIMAL + 'core = "cortex-m4f"\n', "cpu.core is 'cortex-m4f', which is no core of Arm's"),
        (MINIMAL + 'core = "Cortex-M4"\n', "cpu.core is 'Cortex-M4', which is no core of Arm's"),
        (ARM + 'float_abi = "lp64"\n', "on arm it must be one of soft, softfp, hard"),
        ('nmae = "demo"\n' + MINIMAL, "unknown key nmae"),
        (MINIMAL + MEMORY + "size = 1\n", "unknown key memory[0].size"),
        ('name = "demo"\n[host]\n', "key cpu is missing"),
        ('name = "demo"\n[cpu]\narch = "arm"\n', "no platform has a table"),
        (MINIMAL + "[uart]\nbase = 1\n", "uart is a part of a platform's table"),
        (MINIMAL + "[flahs]\nmethod = 'gdb'\n", "unknown key flahs"),
        (MINIMAL + "[memory_]\n", "unknown key memory_"),
        (MINIMAL + "[flash]\ntimeout_s = '1'\nmethod = ''\n", "flash.timeout_s must be a whole"),
        (MINIMAL + "[flash]\ntimeout_s = true\nmethod = ''\n", "flash.timeout_s must be a whole"),
        (MINIMAL + "[flash]\ntimeout_s = -1\nmethod = ''\n", "timeout_s must not be negative"),
        (MINIMAL + "[flash]\nusb_ids = '1'\nmethod = ''\n", "flash.usb_ids must be a list"),
        (MINIMAL + "[flash]\nusb_ids = [1]\nmethod = ''\n", "usb_ids[0] must be a string"),
        ("emulator = 3\n" + MINIMAL, "emulator must be a table"),
        (MINIMAL + "[zephyr]\nday = 2020-01-01\n", "zephyr has a value that no platform takes"),
        ('target = "c"\n' + MINIMAL, "unknown key target"),
        ('target = "llvm -mcpu=there-is-no-such-cpu"\n' + OLD, "target was never used"),
        ("platform = 1\n" + MINIMAL, "platform must be a string"),
        ('platform = "host"\n' + MINIMAL, "both platform = 'host' and a table [host]"),
        ("firmware = 1\n" + OLD, "firmware must be a table"),
        (MINIMAL.replace("demo", "other"), "name is 'other'"),
        (MINIMAL.replace("demo", "a b"), "name must be letters"),
        (MINIMAL + MEMORY.replace('kind = "ram"', 'kind = "rom"'), "memory[0].kind must be one of"),
        (MINIMAL + MEMORY.replace('kind = "ram"', 'kind = "flash"'), "no region of kind ram"),
        (MINIMAL + MEMORY.replace("bytes = 0x1000", "bytes = 0"), "memory[0].bytes must not be 0"),
        (MINIMAL + MEMORY + MEMORY, "memory[1].name 'ram' is used twice"),
        (MINIMAL + MEMORY + MEMORY.replace('"ram"\nk', '"more"\nk'), "(more) overlaps ram"),
        (MINIMAL + MEMORY.replace("bytes = 0x1000", f"bytes = {1 << 64}"), "beyond the addresses"),
        ("name = \n", "not a TOML file"),
        ("name = " + "[" * 100_000, "not a TOML file"),
    ],
)
def test_mistakes_name_file_and_key(tmp_path: Path, text: str, expected: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(ConfigError) as caught:
        load_board(path)
    assert str(path) in caught.value.message
    assert expected in caught.value.message
    assert "\n" not in str(caught.value)


def test_a_binary_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "demo.toml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="not a TOML file"):
        load_board(path)


def test_a_users_folder_adds_and_replaces(tmp_path: Path) -> None:
    write(tmp_path, MINIMAL)
    write(tmp_path, MINIMAL.replace("demo", "host") + "core = 'mine'\n", "host")
    boards = load_boards([tmp_path])
    assert isinstance(boards["demo"], Board)
    assert boards["host"].cpu.core == "mine"
    assert "qemu_x86" in boards


def test_a_missing_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="does not exist"):
        load_boards([tmp_path / "nowhere"])


class FakeEntryPoint:
    value = "other_package:boards"

    def __init__(self, result: object) -> None:
        self.result = result

    def load(self) -> object:
        if isinstance(self.result, Exception):
            raise self.result
        return lambda: self.result


def test_entry_points_offer_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, MINIMAL)
    found: list[object] = [FakeEntryPoint(tmp_path)]
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda group: found)
    assert "demo" in load_boards()
    found[:] = [FakeEntryPoint(ImportError("gone"))]
    with pytest.raises(ConfigError, match="other_package:boards"):
        load_boards()
