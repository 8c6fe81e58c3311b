"""A virtual board behaves like one on a desk: its port, probe, flash, power and cable."""

from __future__ import annotations

import os
import socket
import subprocess
from pathlib import Path

import pytest
import serial

from pytest_microtvm.boards import Board, load_boards
from pytest_microtvm.errors import ConfigError, LeaseError, MicroTVMError
from pytest_microtvm.lab.file import load_lab
from pytest_microtvm.project.firmware import Firmware
from pytest_microtvm.virtual_lab.client import VirtualLab
from tests.contract.libraries import DOUBLE
from tests.contract.running import children_of
from tests.contract.sessions import build_firmware
from tests.hil.conftest import Bench, elf_of
from tests.patience import await_end

STARTED = b"\xff\xfd\x03\x00\x00\x00\x00\x00\x02"  # what the firmware says first: it has started


def open_port(bench: Bench) -> serial.Serial:
    return serial.Serial(str(bench.switches.port), 115200, timeout=5.0)


def debug(bench: Bench, *commands: str, program: Path | None = None) -> str:
    """Run gdb by hand."""
    words = [word for command in commands for word in ("-ex", command)]
    words += [str(program)] if program else []
    target = f"target extended-remote {bench.options['probe']}"
    command = ["gdb-multiarch", "-nx", "-batch", "-ex", target, *words]
    return subprocess.run(command, text=True, capture_output=True, timeout=30).stdout


def test_the_program_runs_once_it_is_loaded_and_survives_reset_and_power(
    bench: Bench, double: Firmware, slow: Firmware
) -> None:
    with open_port(bench) as port:
        debug(bench, "load", "monitor reset", "detach", program=elf_of(slow))
        assert STARTED in port.read_until(STARTED)
        bench.switches.reset()
        assert STARTED in port.read_until(STARTED)
        debug(bench, "monitor system_reset", "detach")  # as QEMU calls it
        assert STARTED in port.read_until(STARTED)
        bench.switches.power_off()
        bench.switches.power_on()
        assert STARTED in port.read_until(STARTED)
    assert "matched" in debug(bench, "compare-sections", program=elf_of(slow))
    assert "MIS-MATCHED" in debug(bench, "compare-sections", program=elf_of(double))


def test_flash_outlives_the_lab(definition: Board, double: Firmware, tmp_path: Path) -> None:
    for flashed in (1, 0):
        with VirtualLab({"one": definition}, tmp_path) as lab:
            target = f"target extended-remote {lab.probes['one']}"
            commands = ["load"] if flashed else ["compare-sections"]
            words = [word for command in (target, *commands) for word in ("-ex", command)]
            gdb = ["gdb-multiarch", "-nx", "-batch", *words, str(elf_of(double))]
            output = subprocess.run(gdb, text=True, capture_output=True, timeout=30).stdout
            assert lab["one"].flashed == flashed
    assert ": matched." in output
    assert "MIS-MATCHED" not in output
    assert not (tmp_path / "microtvm-lab.toml").exists()


def test_an_erased_board_is_silent_and_can_be_loaded(definition: Board, double: Firmware) -> None:
    with (
        VirtualLab({"blank": definition}) as lab,
        serial.Serial(str(lab["blank"].port), timeout=0.3) as port,
    ):
        lab["blank"].reset()
        assert port.read(100) == b""
        port.write(b"nobody listens")
        port.timeout = 5.0
        gdb = ["gdb-multiarch", "-nx", "-batch"]
        gdb += ["-ex", f"target extended-remote {lab.probes['blank']}", "-ex", "load"]
        gdb += ["-ex", "monitor reset", "-ex", "detach", str(elf_of(double))]
        subprocess.run(gdb, check=True, capture_output=True, timeout=30)
        assert STARTED in port.read_until(STARTED)


def test_pulling_the_cable_takes_port_and_probe_away(bench: Bench, double: Firmware) -> None:
    bench.flash(double)
    host, _, number = str(bench.options["probe"]).partition(":")
    port = open_port(bench)
    port.reset_input_buffer()
    bench.switches.unplug()
    assert not bench.switches.port.exists()
    with port, pytest.raises((serial.SerialException, OSError)):
        port.read(100)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((host, int(number)), timeout=5)
    bench.switches.plug()
    with open_port(bench) as port:
        bench.switches.reset()
        assert STARTED in port.read_until(STARTED)
    assert "PC" in debug(bench, "info registers pc").upper()


def test_without_power_the_probe_sees_no_chip_and_the_port_stays(bench: Bench) -> None:
    bench.switches.power_off()
    assert bench.switches.command("status")["powered"] is False
    with open_port(bench) as port:
        port.timeout = 0.2
        port.write(b"anybody?")
        assert port.read(1) == b""
    assert "rip" not in debug(bench, "info registers")


def test_a_chip_that_locks_up_stands_still_and_keeps_its_flash(
    definition: Board, double: Firmware
) -> None:
    before = set(children_of(os.getpid()))
    with VirtualLab({"one": definition}) as lab:
        (server,) = set(children_of(os.getpid())) - before
        (emulator,) = children_of(server)
        gdb = ["gdb-multiarch", "-nx", "-batch"]
        gdb += ["-ex", f"target extended-remote {lab.probes['one']}"]
        # Without a stack, at an address that is none: QEMU gives up. A chip would stand still.
        crash = [
            "-ex",
            "load",
            "-ex",
            "set $sp = 0",
            "-ex",
            "set $pc = 0xfffffff0",
            "-ex",
            "detach",
        ]
        subprocess.run([*gdb, *crash, str(elf_of(double))], capture_output=True, timeout=30)
        await_end(emulator)
        with serial.Serial(str(lab["one"].port), timeout=0.3) as port:
            assert port.read(1) == b""
            check = [*gdb, "-ex", "compare-sections", str(elf_of(double))]
            output = subprocess.run(check, text=True, capture_output=True, timeout=30).stdout
            assert ": matched." in output
            assert "MIS-MATCHED" not in output
            port.timeout = 5.0
            lab["one"].reset()
            assert STARTED in port.read_until(STARTED)


def test_two_boards_of_a_kind_are_apart(definition: Board, double: Firmware) -> None:
    with VirtualLab({"left": definition, "right": definition}) as lab:
        target = f"target extended-remote {lab.probes['right']}"
        gdb = ["gdb-multiarch", "-nx", "-batch", "-ex", target, "-ex", "load"]
        subprocess.run([*gdb, str(elf_of(double))], check=True, capture_output=True, timeout=30)
        assert (lab["left"].flashed, lab["right"].flashed) == (0, 1)


def test_a_folder_is_for_one_lab_at_a_time(definition: Board, tmp_path: Path) -> None:
    with VirtualLab({"one": definition}, tmp_path), pytest.raises(LeaseError, match="another"):
        VirtualLab({"one": definition}, tmp_path).open()


def test_only_boards_with_emulator_and_flash_can_be_virtual() -> None:
    with pytest.raises(ConfigError, match="there is no virtual host"):
        VirtualLab({"one": load_boards()["host"]}).open()


def test_a_flash_that_qemu_restores_at_a_reset_is_refused() -> None:
    with pytest.raises(MicroTVMError, match="there is no virtual microbit: at a reset, QEMU"):
        VirtualLab({"one": load_boards()["microbit"]}).open()


def test_a_program_that_protects_its_flash_is_replaced(definition: Board, tmp_path: Path) -> None:
    board = load_boards()["qemu_cortex_m3"]  # its flash begins at 0, which no program may read
    firmware = build_firmware(tmp_path, DOUBLE, board)
    with VirtualLab({"m3": board}) as lab:
        bench = Bench(lab, "m3", *load_lab(lab.lab_file))
        for _ in range(2):
            bench.check(firmware)


def test_no_process_outlives_the_lab(definition: Board) -> None:
    before = set(children_of(os.getpid()))
    with VirtualLab({"one": definition}):
        (server,) = set(children_of(os.getpid())) - before
        (emulator,) = children_of(server)
    await_end(server, emulator)


def test_no_emulator_outlives_a_lab_that_is_killed(definition: Board) -> None:
    before = set(children_of(os.getpid()))
    with VirtualLab({"one": definition}):
        (server,) = set(children_of(os.getpid())) - before
        (emulator,) = children_of(server)
        os.kill(server, 9)
        await_end(emulator)
