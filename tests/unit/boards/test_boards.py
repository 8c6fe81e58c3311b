"""Board definitions: what is read, what is refused, and that every refusal names file and key."""

from __future__ import annotations

import importlib.metadata
import json
from pathlib import Path

import pytest

from pytest_microtvm.boards import Board, load_board, load_boards
from pytest_microtvm.errors import ConfigError
from pytest_microtvm.project.server.method_names import METHOD_NAMES

MINIMAL = 'name = "demo"\nplatform = "host"\n[cpu]\narch = "host"\n'
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
    assert "apt-get install" in qemu.toolchain.install
    microbit = boards["microbit"]
    assert (microbit.cpu.arch, microbit.cpu.startup) == ("arm", "cortex_m")
    assert microbit.memory_bytes("ram") == 16 << 10
    assert microbit.timer is not None
    assert microbit.timer.hz == 16_000_000


REAL = (
    "b_u585i_iot02a",
    "esp32c3_devkitm",
    "mimxrt1050_evk",
    "nrf52840dk",
    "nrf5340dk",
    "nucleo_f746zg",
    "nucleo_l4r5zi",
    "rpipico",
    "stm32f746g_disco",
)


def test_real_boards() -> None:
    boards = load_boards()
    assert tuple(name for name, board in boards.items() if board.is_only_real) == REAL
    for name in REAL:
        flash = boards[name].flash
        assert flash is not None
        assert flash.usb_ids, name
        assert flash.method in METHOD_NAMES
        assert boards[name].platform in ("arduino", "zephyr")
    assert boards["nucleo_l4r5zi"].memory_bytes("ram") == 640 << 10
    netduino = boards["netduinoplus2"]
    assert not netduino.is_only_real
    assert netduino.flash is not None
    assert netduino.setup[0].address == 0x4002_3830


def test_minimal_board_gets_defaults(tmp_path: Path) -> None:
    board = load_board(write(tmp_path, MINIMAL))
    assert (board.name, board.target, board.memory, board.uart) == ("demo", "c", (), None)
    assert board.firmware.stack_bytes > 0


def test_json_is_canonical_and_whole(tmp_path: Path) -> None:
    text = MINIMAL + MEMORY
    board = load_board(write(tmp_path, text))
    assert board.to_json() == load_board(write(tmp_path, "# a comment\n" + text)).to_json()
    values = json.loads(board.to_json())
    assert values["memory"] == [{"name": "ram", "kind": "ram", "origin": 4096, "bytes": 4096}]
    assert values["uart"] is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (MINIMAL + 'colour = "red"\n', "unknown key cpu.colour"),
        (MINIMAL + 'simd = "neon"\n', "cpu.simd must be one of none, dsp, helium"),
        ('nmae = "demo"\n' + MINIMAL, "unknown key nmae"),
        (MINIMAL + MEMORY + "size = 1\n", "unknown key memory[0].size"),
        ('name = "demo"\nplatform = "host"\n', "key cpu is missing"),
        (MINIMAL + "[uart]\nbase = 1\n", "key uart.driver is missing"),
        (MINIMAL + "[timer]\ndriver = 'd'\nbase = 1\n", "key timer.hz is missing"),
        (MINIMAL + "[[setup]]\naddress = 4\n", "key setup[0].set is missing"),
        (MINIMAL + "[[setup]]\naddress = 4\nset = 1\nmask = 1\n", "unknown key setup[0].mask"),
        (MINIMAL + "[firmware]\nstack_bytes = '1k'\n", "firmware.stack_bytes must be a whole"),
        (MINIMAL + "[firmware]\nstack_bytes = true\n", "firmware.stack_bytes must be a whole"),
        (MINIMAL + "[firmware]\nstack_bytes = -1\n", "firmware.stack_bytes must not be negative"),
        (MINIMAL + "[firmware]\npacket_bytes = 8\n", "firmware.packet_bytes must be at least 256"),
        (MINIMAL + "[toolchain]\nflags = '-O2'\n", "toolchain.flags must be a list"),
        (MINIMAL + "[toolchain]\nflags = [1]\n", "toolchain.flags[0] must be a string"),
        ("uart = 3\n" + MINIMAL, "uart must be a table"),
        (MINIMAL.replace("demo", "other"), "name is 'other'"),
        (MINIMAL.replace("demo", "a b"), "name must be letters"),
        (MINIMAL + MEMORY.replace('kind = "ram"', 'kind = "rom"'), "memory[0].kind must be one of"),
        (MINIMAL + MEMORY.replace('kind = "ram"', 'kind = "flash"'), "no region of kind ram"),
        (MINIMAL + MEMORY.replace("bytes = 0x1000", "bytes = 0"), "memory[0].bytes must not be 0"),
        (MINIMAL + MEMORY + MEMORY, "memory[1].name 'ram' is used twice"),
        (MINIMAL + MEMORY + MEMORY.replace('"ram"\nk', '"more"\nk'), "(more) overlaps ram"),
        (
            MINIMAL + "[uart]\ndriver = 'u'\nbase = 0\nreset = 'cts'\n",
            "uart.reset must be one of dtr, rts",
        ),
        ("name = \n", "not a TOML file"),
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
