"""What can go wrong with a real board: each is a clear error, and the board works afterwards."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from pytest_microtvm.deadline import Deadline
from pytest_microtvm.errors import (
    FlashError,
    LeaseError,
    ProtocolError,
    TransportClosed,
    TransportError,
)
from pytest_microtvm.project import flash_project
from pytest_microtvm.project.firmware import Firmware
from pytest_microtvm.session.bridges import CLOSE_TIMEOUT_S, Bridges
from pytest_microtvm.session.device import Session
from tests.hil.conftest import TIMEOUT_S, Bench, X

UNUSUAL_S = 61.27
UNPLUGGED_IN_S = 5.0
"""How long it may take to notice that a port is not there: it might come back."""


def test_a_board_is_flashed_and_runs_the_model(bench: Bench, double: Firmware) -> None:
    flashed = bench.switches.flashed
    bench.flash(double)
    assert bench.switches.flashed == flashed + 1
    for _ in range(2):
        with bench.session(double) as session:
            np.testing.assert_array_equal(session.run(X)["y"], 2 * X["x"])
    assert bench.switches.flashed == flashed + 1


def test_unplugged_before_it_is_flashed(bench: Bench, double: Firmware) -> None:
    bench.switches.unplug()
    start = time.monotonic()
    with pytest.raises(FlashError, match="no gdb server answers at 127") as caught:
        bench.flash(double)
    assert time.monotonic() - start < UNPLUGGED_IN_S
    assert "start the probe's gdb server" in caught.value.cure
    assert "onnection" in caught.value.details


def test_unplugged_before_it_is_opened(bench: Bench, double: Firmware) -> None:
    bench.flash(double)
    bench.switches.unplug()
    session = bench.session(double, reset=False)
    with pytest.raises(TransportError, match=r"the port \S+left is not there") as caught:
        session.open()
    assert caught.value.cure == "plug the board in, or name its port"


def test_unplugged_during_a_call(bench: Bench, slow: Firmware) -> None:
    bench.flash(slow)
    with bench.session(slow) as session:
        threading.Timer(0.3, bench.switches.unplug).start()
        start = time.monotonic()
        with pytest.raises(TransportClosed) as caught:
            session.run(X)
        assert time.monotonic() - start < TIMEOUT_S
    assert "is gone during a call of microtvm.model.run: the port" in caught.value.message
    assert caught.value.cure == "was the board unplugged, or did it lose power?"


def test_unplugged_after_a_call(bench: Bench, double: Firmware) -> None:
    bench.flash(double)
    with bench.session(double) as session:
        session.run(X)
        bench.switches.unplug()
        with pytest.raises(TransportClosed, match="is gone"):
            session.run(X)
    bench.switches.plug()  # as another device: the link to it is the same
    with bench.session(double) as session:
        np.testing.assert_array_equal(session.run(X)["y"], 2 * X["x"])


def test_a_port_that_comes_back_late_is_waited_for(bench: Bench, double: Firmware) -> None:
    bench.flash(double)
    bench.switches.unplug()
    threading.Timer(1.5, bench.switches.plug).start()
    with bench.session(double, reset=False) as session:
        session.run(X)


def test_power_lost_while_it_is_flashed(bench: Bench, double: Firmware, slow: Firmware) -> None:
    bench.flash(slow)
    bench.switches.fail_power_after(3)
    with pytest.raises(FlashError, match="broke the connection off") as caught:
        bench.flash(double)
    assert "does the board have power" in caught.value.cure
    with pytest.raises(FlashError, match="broke the connection off"):
        bench.flash(double)
    bench.switches.power_on()
    # Half of one firmware and half of the other: whatever it says is no verdict.
    session = bench.session(double)
    with pytest.raises((ProtocolError, TransportError)):
        session.open()


def test_power_lost_in_a_call(bench: Bench, slow: Firmware) -> None:
    bench.flash(slow)
    with bench.session(slow) as session:
        threading.Timer(0.3, bench.switches.power_off).start()
        with pytest.raises(TransportError, match="is silent: no byte of an answer"):
            session.run(X)


def test_wrong_firmware_is_no_verdict(bench: Bench, double: Firmware, slow: Firmware) -> None:
    bench.flash(slow)
    session = bench.session(double)
    with pytest.raises(ProtocolError, match="runs build 510e, this test needs d0b1e"):
        session.open()


def test_a_port_that_another_program_has(bench: Bench, double: Firmware) -> None:
    bench.flash(double)
    script = "import serial, sys; s = serial.Serial(sys.argv[1]); print(flush=True); input()"
    command = [sys.executable, "-c", script, str(bench.switches.port)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        other.stdout.readline()
        session = bench.session(double)
        with pytest.raises(LeaseError) as caught:
            session.open()
        other.communicate(b"\n")
    assert f"is in use by process {other.pid} (" in caught.value.message
    assert "import serial" in caught.value.message


def test_two_sessions_with_one_board(bench: Bench, double: Firmware) -> None:
    bench.flash(double)
    with bench.session(double) as session:
        second = bench.session(double, reset=False)
        with pytest.raises(LeaseError, match="is in use by process"):
            second.open()
        np.testing.assert_array_equal(session.run(X)["y"], 2 * X["x"])


def test_a_probe_that_is_not_there(bench: Bench, double: Firmware) -> None:
    with pytest.raises(FlashError, match="no gdb server answers at localhost:1 "):
        bench.flash(double, probe="localhost:1")
    with pytest.raises(FlashError, match="no gdb server answers at /nowhere"):
        bench.flash(double, probe="/nowhere")


def test_a_missing_flash_tool(
    bench: Bench, double: Firmware, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(FlashError) as caught:
        bench.flash(double, flash_method="openocd")
    assert caught.value.message == "openocd is not installed"
    assert caught.value.cure == "install it: apt-get install openocd"
    monkeypatch.undo()


def test_flashing_that_takes_too_long(bench: Bench, double: Firmware) -> None:
    command = ["sh", "-c", f"echo begun; sleep {UNUSUAL_S}"]
    deadline = Deadline(3)
    options = {**bench.options, "flash_method": "command", "flash_command": command}
    with pytest.raises(FlashError):
        flash_project(double.project_dir, options, deadline)
    assert deadline.elapsed_s < 6
    assert f"sleep {UNUSUAL_S}".encode() not in b"".join(_command_lines())


def test_flashing_that_is_interrupted(bench: Bench, double: Firmware) -> None:
    bench.flash(double)
    command = ["sh", "-c", f"echo begun; sleep {UNUSUAL_S}"]
    options = {**bench.options, "flash_method": "command", "flash_command": command}
    bridges = Bridges()
    session = Session(double, TIMEOUT_S, options=options, bridges=bridges)
    timer = threading.Timer(1.5, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    start = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        session.flash()
    assert time.monotonic() - start < CLOSE_TIMEOUT_S  # the bridge was told, and not killed
    assert f"sleep {UNUSUAL_S}".encode() not in b"".join(_command_lines())
    with Session(double, TIMEOUT_S, options=bench.options, bridges=bridges) as session:
        np.testing.assert_array_equal(session.run(X)["y"], 2 * X["x"])
    bridges.close()


def test_one_server_flashes_and_opens(bench: Bench, double: Firmware) -> None:
    flashed = bench.switches.flashed
    session = bench.session(double, reset=False)
    session.flash()
    assert bench.switches.flashed == flashed + 1
    with session:
        np.testing.assert_array_equal(session.run(X)["y"], 2 * X["x"])
    assert bench.switches.flashed == flashed + 1


def test_a_session_that_cannot_flash_says_so(bench: Bench, double: Firmware) -> None:
    session = bench.session(double, probe="localhost:1")
    with pytest.raises(FlashError, match="no gdb server answers at localhost:1 ") as caught:
        session.flash()
    assert caught.value.operation == "flash"
    assert not session.is_open


def _command_lines() -> list[bytes]:
    lines = []
    for process in Path("/proc").iterdir():
        if process.name.isdecimal() and int(process.name) != os.getpid():
            try:
                lines.append((process / "cmdline").read_bytes().replace(b"\0", b" "))
            except OSError:
                continue
    return lines
