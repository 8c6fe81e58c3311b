"""The flash methods: command lines, proofs, deadlines, and what is said when a tool fails.

A stand-in takes the place of each tool: a script that notes its arguments and then prints and
exits as the tool is documented to. gdb is tested with a real target in tests/hil; tools of which
there is one on this machine are also run without a probe.
"""

from __future__ import annotations

import json
import os
import shutil
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from pytest_microtvm.boards import board_from_json, load_boards
from pytest_microtvm.project import server
from pytest_microtvm.project.server.flash_methods import METHODS
from pytest_microtvm.project.server.method_names import METHOD_NAMES
from pytest_microtvm.project.server.real_board import RealBoard
from tests.patience import PATIENCE_S, wait_until

PORT = "/dev/ttyACM7"


@dataclass
class Rig:
    """A project on a board, with stand-ins for the tools."""

    project: Path
    bin: Path

    @property
    def firmware(self) -> Path:
        return self.project / "build" / "firmware.elf"

    def tool(self, name: str, output: str = "", status: int = 0, then: str = "") -> None:
        """Put a tool there that prints something and ends."""
        log, printed = self.bin / f"{name}.args", self.bin / f"{name}.out"
        printed.write_text(output)
        script = f'#!/bin/sh\nprintf "%s\\0" "$@" >>{log}\n/bin/cat {printed}\n{then}\n'
        (self.bin / name).write_text(f"{script}exit {status}\n")
        (self.bin / name).chmod(0o755)

    def arguments(self, name: str) -> list[str]:
        """What the tool was called with."""
        return (self.bin / f"{name}.args").read_text().split("\0")[:-1]

    def board(self, flash: Mapping[str, Any], **options: object) -> RealBoard:
        definition = json.loads(load_boards()["netduinoplus2"].to_json())
        definition["flash"] = {"method": "", **flash}
        board = json.loads(board_from_json(json.dumps(definition)).to_json())
        return RealBoard(
            board,
            {"port": PORT, **options},
            self.project,
            self.firmware,
            baud=115200,
            tool_prefix="arm-none-eabi-",
            tool_install=board["baremetal"]["toolchain"]["install"],
        )


@pytest.fixture
def rig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Rig:
    rig = Rig(tmp_path / "project", tmp_path / "bin")
    rig.firmware.parent.mkdir(parents=True)
    rig.firmware.write_bytes(b"\x7fELF")
    rig.bin.mkdir()
    monkeypatch.setenv("PATH", str(rig.bin))
    # Makes the file that it is told to, of which the last argument is the name.
    rig.tool("arm-none-eabi-objcopy", then='for file; do :; done; echo image >"$file"')
    return rig


@dataclass(frozen=True)
class Tool:
    """What a method should do with its tool.

    `wrong` has what the tool prints and its exit status when something is wrong, and what the user
    is told then.
    """

    method: str
    program: str
    flash: dict[str, Any]
    arguments: list[str]
    success: str
    reset: list[str] | None
    wrong: tuple[tuple[str, int, str], ...]


ELF, HEX, BIN = "{firmware}.elf", "{made}.hex", "{made}.bin"
NO_PORTS = "gdb_port disabled; tcl_port disabled; telnet_port disabled"
NOT_WHAT_WAS_WRITTEN = "the flash of netduinoplus2 does not hold what was written to it"
TOOLS = [
    Tool(
        "openocd",
        "openocd",
        {"target": "board/st_nucleo_f7.cfg", "arguments": ["-d0"]},
        [
            *("-f", "board/st_nucleo_f7.cfg", "-c", NO_PORTS, "-c", "adapter serial P7", "-d0"),
            *("-c", f"program {{{ELF}}} verify reset exit"),
        ],
        "** Programming Finished **\n** Verify Started **\n** Verified OK **\n",
        [
            *("-f", "board/st_nucleo_f7.cfg", "-c", NO_PORTS, "-c", "adapter serial P7", "-d0"),
            *("-c", "init; reset run; shutdown"),
        ],
        (
            ("Error: open failed\n** OpenOCD init failed **\n", 1, "openocd finds no probe (P7)"),
            ("Error: checksum mismatch\n** Verify Failed **\n", 1, NOT_WHAT_WAS_WRITTEN),
            (
                "Error: init mode failed (unable to connect to the target)\n",
                1,
                "openocd reaches the probe, but not the chip of netduinoplus2",
            ),
            ("** Programming Finished **\n", 0, "openocd did not confirm what it wrote"),
            (
                "Error: couldn't bind to socket\n",
                1,
                "openocd ended with exit status 1: Error: couldn't bind to socket",
            ),
        ),
    ),
    Tool(
        "pyocd",
        "pyocd",
        {"target": "stm32f746zg"},
        [
            *("load", "--no-wait", "--target", "stm32f746zg", "--uid", "P7"),
            *("--format", "elf", ELF),
        ],
        "0000001 I Erased 32768 bytes, programmed 23552 bytes\n",
        ["reset", "--no-wait", "--target", "stm32f746zg", "--uid", "P7"],
        (
            (
                "No connected debug probe matches unique ID 'P7'\n"
                "0000300 E No target device available [load_cmd]\n",
                1,
                "pyocd finds no probe (P7)",
            ),
            (
                "0000712 C Target type stm32f746zg not recognized. ... is not recognized\n",
                1,
                "pyocd does not know the target of netduinoplus2",
            ),
            ("0000500 C SWD/JTAG communication failure (No ACK)\n", 1, "pyocd reaches the probe"),
        ),
    ),
    Tool(
        "st-flash",
        "st-flash",
        {},
        ["--serial", "P7", "--reset", "--format", "ihex", "write", HEX],
        "INFO common.c: Flash written and verified! jolly good!\n",
        ["--serial", "P7", "reset"],
        (
            ("WARN usb.c: Couldn't find any ST-Link devices\n", 255, "st-flash finds no probe"),
            ("Failed to connect to target\n", 255, "st-flash reaches the probe, but no chip"),
            ("ERROR common.c: Verification of flash failed at 0x0\n", 255, NOT_WHAT_WAS_WRITTEN),
        ),
    ),
    Tool(
        "esptool",
        "esptool",
        {"target": "esp32c3"},
        [
            *("--chip", "esp32c3", "--port", PORT, "--baud", "460800", "--after", "hard-reset"),
            *("write-flash", "0x0", BIN),
        ],
        "Hash of data verified.\nHard resetting via RTS pin...\n",
        None,
        (
            (
                f"A fatal error occurred: Could not open {PORT}, the port is busy or doesn't "
                "exist.\n",
                2,
                f"esptool cannot open the port {PORT}",
            ),
            (
                "A fatal error occurred: Failed to connect to ESP32-C3: No serial data received.\n",
                2,
                f"the boot loader of netduinoplus2 does not answer at {PORT}",
            ),
            ("Wrote 100 bytes\n", 0, "esptool did not confirm what it wrote"),
        ),
    ),
    Tool(
        "dfu-util",
        "dfu-util",
        {"target": "0483:df11"},
        [
            *("--device", "0483:df11", "--serial", "P7", "--alt", "0"),
            *("--dfuse-address", "0x08000000:leave", "--download", BIN),
        ],
        "Download done.\nFile downloaded successfully\n",
        None,
        (
            ("dfu-util: No DFU capable USB device available\n", 74, "dfu-util finds no board"),
            ("Cannot open DFU device 0483:df11\n", 74, "dfu-util may not use the board"),
        ),
    ),
    Tool(
        "west",
        "west",
        {"target": "jlink", "arguments": ["--softreset"]},
        [
            *("flash", "--build-dir", "{build}", "--skip-rebuild", "--runner", "jlink"),
            *("--dev-id", "P7", "--softreset"),
        ],
        "-- west flash: using runner jlink\n",
        None,
        (
            (
                'west: unknown command "flash"; do you need to run this inside a workspace?\n',
                1,
                "west does not run inside a Zephyr workspace",
            ),
            ("FATAL ERROR: command exited\n", 2, "west ended with exit status 2: FATAL ERROR"),
        ),
    ),
    Tool(
        "command",
        "mine",
        {"command": ["mine", "--to={port}", "{probe}", "{board}", "{elf}", "{hex}", "{bin}"]},
        [f"--to={PORT}", "P7", "netduinoplus2", ELF, HEX, BIN],
        "",
        None,
        (("nothing went well: error 7\n", 3, "mine ended with exit status 3: nothing went"),),
    ),
]
tools = pytest.mark.parametrize("tool", TOOLS, ids=lambda tool: tool.method)


def test_the_option_offers_every_method() -> None:
    assert (*METHODS, "mass-storage", "command") == METHOD_NAMES


@tools
def test_a_tool_is_called_as_its_manual_says(rig: Rig, tool: Tool) -> None:
    rig.tool(tool.program, tool.success)
    rig.board({"method": tool.method, **tool.flash}, probe="P7").flash()
    build, name = rig.firmware.parent, rig.firmware.stem
    words = {"{firmware}": build / name, "{made}": build / "flash" / name, "{build}": build}
    expected = list(tool.arguments)
    for word, path in words.items():
        expected = [argument.replace(word, str(path)) for argument in expected]
    assert rig.arguments(tool.program) == expected


@tools
def test_what_a_tool_says_is_understood_and_kept(rig: Rig, tool: Tool) -> None:
    for output, status, message in tool.wrong:
        rig.tool(tool.program, output, status)
        with pytest.raises(server.ProjectError) as caught:
            rig.board({"method": tool.method, **tool.flash}, probe="P7").flash()
        assert str(caught.value).startswith(message)
        assert caught.value.data["details"] == output


@tools
def test_a_missing_tool_is_named(rig: Rig, tool: Tool) -> None:
    with pytest.raises(server.ProjectError, match=f"^{tool.program} is not installed$") as caught:
        rig.board({"method": tool.method, **tool.flash}, probe="P7").flash()
    if tool.method != "command":
        assert caught.value.data["cure"].startswith("install it: ")


@tools
def test_a_tool_that_hangs_is_ended(rig: Rig, tool: Tool) -> None:
    rig.tool(tool.program, "begun\n", then="(/bin/sleep 60; echo late) & wait")
    start = time.monotonic()
    board = rig.board({"method": tool.method, **tool.flash, "timeout_s": 1}, probe="P7")
    with pytest.raises(server.ProjectError, match="did not end within 1 s") as caught:
        board.flash()
    assert time.monotonic() - start < PATIENCE_S
    assert caught.value.data["details"] == "begun\n"


@tools
def test_the_tool_resets_the_board_where_it_can(rig: Rig, tool: Tool) -> None:
    rig.tool(tool.program, tool.success)
    board = rig.board({"method": tool.method, **tool.flash}, probe="P7", port="gopher://no")
    with pytest.raises(server.OptionError, match="gopher"):  # the port comes after the reset
        board.open(reset=True)
    called = (rig.bin / f"{tool.program}.args").exists()
    assert called == (tool.reset is not None)
    if tool.reset is not None:
        assert rig.arguments(tool.program) == tool.reset


def test_the_users_command_resets_before_all_else(rig: Rig) -> None:
    rig.tool("openocd")
    rig.tool("press", "the button is stuck\n", 4)
    board = rig.board({"method": "openocd", "target": "x"}, reset_command=["press", "hard"])
    with pytest.raises(server.ProjectError, match="press ended with exit status 4") as caught:
        board.open(reset=True)
    assert caught.value.data["details"] == "the button is stuck\n"
    assert rig.arguments("press") == ["hard"]
    assert not (rig.bin / "openocd.args").exists()


def test_an_unnecessary_exit_status_of_dfu_util(rig: Rig) -> None:
    output = "File downloaded successfully\ndfu-util: Error during download get_status\n"
    rig.tool("dfu-util", output, 74)
    rig.board({"method": "dfu-util", "target": "0483:df11"}).flash()


def test_the_options_go_before_the_definition(rig: Rig) -> None:
    rig.tool("mine")
    options = {"flash_method": "command", "flash_command": ["mine", "{project}"]}
    rig.board({"method": "openocd"}, **options).flash()
    assert rig.arguments("mine") == [str(rig.project)]


@pytest.mark.parametrize(
    ("flash", "message"),
    [
        ({"method": "magic"}, "there is no flash method 'magic'"),
        ({"method": "gdb"}, "is flashed by gdb, but its probe is not named"),
        ({"method": "openocd"}, "has no flash.target: openocd needs it"),
        ({"method": "command"}, "has no flash.command"),
        ({"method": "command", "command": ["mine", "{exe}"]}, "unknown placeholder {exe}"),
        ({"method": "mass-storage"}, "has no flash.volume"),
    ],
)
def test_what_a_definition_lacks(rig: Rig, flash: dict[str, Any], message: str) -> None:
    for program in ("gdb-multiarch", "openocd", "mine"):
        rig.tool(program)
    with pytest.raises(server.OptionError) as caught:
        rig.board(flash).flash()
    assert message in str(caught.value)


def test_a_file_is_made_anew_for_each_job(rig: Rig) -> None:
    """What is left of an earlier one may be damaged, whatever the clock said when it was made."""
    rig.tool("mine")
    board = rig.board({"method": "command", "command": ["mine", "{hex}"]})
    board.flash()
    made = Path(rig.arguments("mine")[0])
    made.write_bytes(b"damaged")
    os.utime(made, (2**32, 2**32))
    board.flash()
    assert Path(rig.arguments("mine")[0]).read_bytes() == b"image\n"


def test_a_file_that_the_build_did_not_give(rig: Rig) -> None:
    flash = {"method": "command", "command": ["mine", "{uf2}"]}
    rig.tool("mine")
    with pytest.raises(server.ProjectError, match=r"the build gave no firmware\.uf2"):
        rig.board(flash).flash()
    (rig.firmware.with_suffix(".uf2")).write_bytes(b"UF2")
    rig.board(flash).flash()


@pytest.mark.parametrize(
    ("method", "program", "target", "message"),
    [
        ("openocd", "openocd", "board/st_nucleo_f7.cfg", "openocd finds no probe"),
        ("st-flash", "st-flash", "", "st-flash finds no probe"),
        ("dfu-util", "dfu-util", "0483:df11", "dfu-util finds no board"),
    ],
)
def test_the_real_tool_without_a_probe(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, method: str, program: str, target: str, message: str
) -> None:
    path = shutil.which(program, path="/usr/bin:/usr/local/bin")
    if path is None:
        pytest.skip(f"{program} is missing; install it: docker/install/flash.sh")
    (rig.bin / program).symlink_to(path)
    with pytest.raises(server.ProjectError) as caught:
        rig.board({"method": method, "target": target}, probe="NO-SUCH-PROBE").flash()
    assert str(caught.value).startswith(message)


@dataclass
class Volume:
    """A volume of a board that takes files away."""

    folder: Path
    taken: bytes = b""

    def take(self, name: str, report: str | None = None, *, comes_back: bool = True) -> None:
        """Wait until a file is whole, and unmount; then mount anew, perhaps with a report."""
        file = self.folder / name
        wait_until(lambda: file.exists() and file.read_bytes())
        self.taken = file.read_bytes()
        shutil.rmtree(self.folder)
        if comes_back:
            time.sleep(0.2)
            new = self.folder.with_name("new")
            new.mkdir()
            if report is not None:
                (new / "FAIL.TXT").write_text(report)
            new.rename(self.folder)


@pytest.fixture
def volume(tmp_path: Path) -> Volume:
    folder = tmp_path / "VOLUME"
    folder.mkdir()
    return Volume(folder)


def in_background(function: Callable[..., None], *arguments: Any, **named: Any) -> threading.Thread:
    thread = threading.Thread(target=function, args=arguments, kwargs=named, daemon=True)
    thread.start()
    return thread


def test_drag_and_drop(rig: Rig, volume: Volume) -> None:
    thread = in_background(volume.take, "firmware.hex")
    rig.board({"method": "mass-storage"}, probe=str(volume.folder)).flash()
    thread.join(10)
    assert volume.taken == b"image\n"


def test_drag_and_drop_that_the_board_refuses(rig: Rig, volume: Volume) -> None:
    in_background(volume.take, "firmware.bin", "The hex file cannot be decoded.\n")
    flash = {"method": "mass-storage", "format": "bin"}
    with pytest.raises(server.ProjectError, match=r"refuses firmware.bin: The hex file cannot"):
        rig.board(flash, probe=str(volume.folder)).flash()


def test_a_uf2_boot_loader_is_gone_afterwards(rig: Rig, volume: Volume) -> None:
    rig.firmware.with_suffix(".uf2").write_bytes(b"UF2\n")
    in_background(volume.take, "firmware.uf2", comes_back=False)
    rig.board({"method": "mass-storage", "format": "uf2"}, probe=str(volume.folder)).flash()
    assert volume.taken == b"UF2\n"


def test_a_volume_that_keeps_the_file(rig: Rig, volume: Volume) -> None:
    flash = {"method": "mass-storage", "timeout_s": 1}
    with pytest.raises(server.ProjectError, match=r"does not take firmware\.hex: it"):
        rig.board(flash, probe=str(volume.folder)).flash()


def test_a_volume_that_is_not_there(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pytest_microtvm.project.server.mass_storage.MOUNTED_IN_S", 0.2)
    with pytest.raises(server.ProjectError, match="no volume NO-SUCH-LABEL is mounted"):
        rig.board({"method": "mass-storage", "volume": "NO-SUCH-LABEL"}).flash()
    with pytest.raises(server.ProjectError, match="the volume /no/such/folder is not there"):
        rig.board({"method": "mass-storage"}, probe="/no/such/folder").flash()
