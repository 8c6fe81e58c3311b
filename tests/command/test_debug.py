"""`debug` on a terminal: stops in the model, shows where, goes on, and leaves nothing behind."""

from __future__ import annotations

import shlex
import shutil
import socket
import subprocess
import sys
import time
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from pytest_microtvm.boards import load_boards
from pytest_microtvm.virtual_lab.client import VirtualLab
from tests.command.conftest import Microtvm
from tests.contract.running import need_tools
from tests.terminal import PROMPT, ROOT, TIMEOUT_S, Terminal, await_none, on_terminal

SINE = ROOT / "conftest_examples" / "models" / "sine_int8.tflite"


def debug(*arguments: str) -> AbstractContextManager[tuple[Terminal, subprocess.Popen[bytes]]]:
    """`microtvm debug` on a terminal."""
    return on_terminal(sys.executable, "-m", "pytest_microtvm.command", "debug", *arguments)


@pytest.fixture
def project(microtvm: Microtvm, request: pytest.FixtureRequest) -> Path:
    """A built project for the board in the test's parameter."""
    need_tools(load_boards()[request.param])
    if shutil.which("gdb-multiarch") is None:
        pytest.skip("gdb-multiarch is missing; install it: apt-get install gdb-multiarch")
    microtvm("create", "p", SINE, "baremetal", "-o", f"board={request.param}", status=0)
    microtvm("build", "p", status=0)
    return Path("p").absolute()


@pytest.mark.parametrize("project", ["qemu_x86", "mps2_an386", "qemu_riscv32"], indirect=True)
def test_it_stops_in_the_model_and_goes_on(project: Path) -> None:
    with debug(str(project)) as (terminal, process):
        stopped = terminal.read_to(PROMPT)
        assert "Breakpoint 1, tvmgen_sine_int8_fully_connected_0" in stopped
        terminal.write("bt 2")
        trace = terminal.read_to(PROMPT)
        assert "#0  tvmgen_sine_int8_fully_connected_0" in trace
        assert "codegen/host/src/sine_int8_lib" in trace
        assert "#1 " in trace
        terminal.write("delete 1")
        terminal.read_to(PROMPT)
        terminal.write("continue")
        terminal.read_to("the model has run: y = [")
        terminal.read_to(PROMPT)
        terminal.write("quit")
        assert process.wait(TIMEOUT_S) == 0
    await_none(project)


@pytest.mark.parametrize("project", ["mps2_an386"], indirect=True)
def test_leaving_gdb_ends_all_of_it(project: Path) -> None:
    leave = ("-ex", "set confirm off", "-ex", "quit")
    with debug(str(project), "--", *leave) as (_, process):
        assert process.wait(TIMEOUT_S) == 0
    await_none(project)
    with debug(str(project)) as (terminal, process):
        terminal.read_to(PROMPT)
        process.kill()
        process.wait()
    await_none(project)


@pytest.mark.parametrize("project", ["mps2_an386"], indirect=True)
def test_it_serves_a_gdb_of_ones_own(project: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with debug(str(project), "--gdbserver-port", str(port)) as (terminal, process):
        terminal.read_to("waiting for gdb: gdb-multiarch")
        gdb = ["gdb-multiarch", "-batch", "-nx", "-ex", "set tcp connect-timeout 60"]
        gdb += ["-ex", f"target remote 127.0.0.1:{port}", "-ex", "continue"]
        subprocess.run(gdb, timeout=TIMEOUT_S, capture_output=True, stdin=subprocess.DEVNULL)
        terminal.read_to("the model has run: y = [")
        assert process.wait(TIMEOUT_S) == 0
    await_none(project)


@pytest.mark.parametrize("project", ["mps2_an386"], indirect=True)
def test_it_stops_where_it_is_told_to(project: Path) -> None:
    stop = ("--break", "tvmgen_sine_int8_fully_connected_1", "--ignore", "0")
    with debug(str(project), *stop) as (terminal, process):
        assert "Breakpoint 1, tvmgen_sine_int8_fully_connected_1" in terminal.read_to(PROMPT)
        process.kill()
        process.wait()
    await_none(project)


def test_what_cannot_be_debugged(microtvm: Microtvm) -> None:
    microtvm("create", "p", SINE, "host", "-o", "board=host", status=0)
    assert "Could not find a build" in microtvm("debug", "p", status=2).err
    microtvm("build", "p", status=0)
    assert "the platform host cannot run host under gdb" in microtvm("debug", "p", status=2).err


def test_a_real_board_is_left_to_its_probe(
    microtvm: Microtvm, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And the error has the two command lines that debug it."""
    board = load_boards()["netduinoplus2"]
    need_tools(board)
    if shutil.which("gdb-multiarch") is None:
        pytest.skip("gdb-multiarch is missing; install it: apt-get install gdb-multiarch")
    microtvm("create", "p", SINE, "baremetal", "-o", "board=netduinoplus2", status=0)
    microtvm("build", "p", status=0)
    with VirtualLab({"left": board}) as lab:
        monkeypatch.setenv("MICROTVM_LAB", str(lab.lab_file))
        [line] = microtvm("debug", "p", status=2).err.splitlines()
        assert "netduinoplus2 is a real board, and only emulated ones are started under" in line
        run, gdb = (shlex.split(command) for command in line.split("`")[1::2])
        assert run[0] == "microtvm"
        with on_terminal(sys.executable, "-m", "pytest_microtvm.command", *run[1:], "-v") as (
            terminal,
            process,
        ):
            end = time.monotonic() + TIMEOUT_S
            while lab["left"].flashed == 0:
                assert time.monotonic() < end, terminal.text
                time.sleep(0.1)
            shown = ""
            while "Breakpoint 1, tvmgen_sine_int8_fully_connected_0" not in shown:
                assert time.monotonic() < end, shown  # the flashing gdb has the probe at first
                shown = subprocess.run(
                    [gdb[0], "-batch", "-nx", *gdb[1:], "-ex", "detach"],
                    timeout=TIMEOUT_S,
                    capture_output=True,
                    text=True,
                    stdin=subprocess.DEVNULL,
                ).stdout
            process.kill()
            process.wait()
