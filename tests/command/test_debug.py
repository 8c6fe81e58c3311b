"""`debug` on a terminal: stops in the model, shows where, goes on, and leaves nothing behind."""

from __future__ import annotations

import os
import pty
import select
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pytest_microtvm.boards import load_boards
from tests.command.conftest import Microtvm
from tests.contract.running import need_tools

ROOT = Path(__file__).resolve().parents[2]
SINE = ROOT / "conftest_examples" / "models" / "sine_int8.tflite"
TIMEOUT_S = 60.0
PROMPT = "(gdb) "


class Terminal:
    """A program on a pseudo-terminal."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self.text = ""

    def read_to(self, wanted: str) -> str:
        """What was printed up to a text, from where the last call ended."""
        end = time.monotonic() + TIMEOUT_S
        while wanted not in self.text:
            ready, _, _ = select.select([self._fd], [], [], max(0.0, end - time.monotonic()))
            assert ready, f"no {wanted!r} in {self.text!r}"
            try:
                block = os.read(self._fd, 1 << 16)
            except OSError:  # how Linux tells that nobody has the other end any more
                block = b""
            assert block, f"it ended without {wanted!r}: {self.text!r}"
            self.text += block.decode("utf-8", "replace")
        before, _, self.text = self.text.partition(wanted)
        return before

    def write(self, text: str) -> None:
        """Type a line."""
        os.write(self._fd, f"{text}\n".encode())


@contextmanager
def on_terminal(*arguments: str) -> Iterator[tuple[Terminal, subprocess.Popen[bytes]]]:
    """`microtvm` with a terminal; killed at the end if it is still there."""
    ours, theirs = pty.openpty()
    # A terminal of its own, which a session has by opening it first; gdb wants to be in front.
    start = (
        "import os, sys; os.close(os.open(os.ttyname(0), os.O_RDWR)); "
        "os.execv(sys.executable, sys.argv[1:])"
    )
    command = [sys.executable, "-m", "pytest_microtvm.command", *arguments]
    process = subprocess.Popen(
        [sys.executable, "-c", start, *command],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
        env={**os.environ, "PYTHONPATH": str(ROOT), "TERM": "dumb"},
    )
    os.close(theirs)
    try:
        yield Terminal(ours), process
    finally:
        process.kill()
        process.wait()
        os.close(ours)


def processes_of(folder: Path) -> list[str]:
    """The command lines of processes that name a folder."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().split(b"\0")
        except OSError:  # it has ended meanwhile
            continue
        if any(bytes(folder) in word for word in words):
            found.append(b" ".join(words).decode("utf-8", "replace"))
    return found


def await_none(folder: Path) -> None:
    end = time.monotonic() + 10.0
    while found := processes_of(folder):
        assert time.monotonic() < end, found
        time.sleep(0.05)


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
    with on_terminal("debug", str(project)) as (terminal, process):
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
    with on_terminal("debug", str(project), "--", *leave) as (_, process):
        assert process.wait(TIMEOUT_S) == 0
    await_none(project)
    with on_terminal("debug", str(project)) as (terminal, process):
        terminal.read_to(PROMPT)
        process.kill()
        process.wait()
    await_none(project)


@pytest.mark.parametrize("project", ["mps2_an386"], indirect=True)
def test_it_serves_a_gdb_of_ones_own(project: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with on_terminal("debug", str(project), "--gdbserver-port", str(port)) as (terminal, process):
        terminal.read_to("waiting for gdb: gdb-multiarch")
        gdb = ["gdb-multiarch", "-batch", "-nx", "-ex", "set tcp connect-timeout 60"]
        gdb += ["-ex", f"target remote 127.0.0.1:{port}", "-ex", "continue"]
        subprocess.run(gdb, timeout=TIMEOUT_S, capture_output=True, stdin=subprocess.DEVNULL)
        terminal.read_to("the model has run: y = [")
        assert process.wait(TIMEOUT_S) == 0
    await_none(project)


def test_what_cannot_be_debugged(microtvm: Microtvm) -> None:
    microtvm("create", "p", SINE, "host", "-o", "board=host", status=0)
    assert "Could not find a build" in microtvm("debug", "p", status=2).err
    microtvm("build", "p", status=0)
    assert "nothing emulates host" in microtvm("debug", "p", status=2).err
