"""An emulator that dies, stops or never answers, in the middle of a call."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from pytest_microtvm.boards import load_boards
from pytest_microtvm.errors import TransportClosed, TransportTimeout
from pytest_microtvm.session.device import Session
from tests.contract.libraries import FloatModel
from tests.contract.running import need_tools
from tests.contract.sessions import running
from tests.patience import PATIENCE_S

TIMEOUT_S = 4.0
ENDLESS = FloatModel(
    name="endless",
    kernel="""\
void kernel(const float *x, float *y);
void kernel(const float *x, float *y) {
  volatile int turns = 1;
  while (turns != 0) turns = 1;
  y[0] = x[0];
}
""",
    count=1,
)
X = {"x": np.zeros(1, np.float32)}


@pytest.fixture
def session(tmp_path: Path) -> Iterator[Session]:
    board = load_boards()["qemu_x86"]
    need_tools(board)
    with running(tmp_path, ENDLESS, board, TIMEOUT_S) as session:
        yield session


def emulator_of(session: Session) -> int:
    """The emulator that runs the session's firmware."""
    project = os.fsencode(session.firmware.project_dir)
    for process in Path("/proc").iterdir():
        if process.name.isdigit() and int(process.name) != os.getpid():
            try:
                command = (process / "cmdline").read_bytes()
            except OSError:
                continue
            if command.startswith(b"/") and b"qemu-system" in command and project in command:
                return int(process.name)
    raise AssertionError("no emulator runs")


def later(seconds: float, pid: int, number: signal.Signals) -> list[float]:
    """Send a signal in a while; the list gets the time at which it was sent."""
    sent: list[float] = []

    def send() -> None:
        sent.append(time.monotonic())
        os.kill(pid, number)

    threading.Timer(seconds, send).start()
    return sent


def test_killing_the_emulator_in_a_call_is_an_error_within_two_seconds(session: Session) -> None:
    sent = later(0.5, emulator_of(session), signal.SIGKILL)
    with pytest.raises(TransportClosed, match="is gone during a call") as caught:
        session.run(X)
    assert time.monotonic() - sent[0] < PATIENCE_S
    assert "qemu-system-i386 was ended by SIGKILL" in caught.value.message
    start = time.monotonic()
    session.close()
    assert time.monotonic() - start < PATIENCE_S


def test_a_stopped_emulator_is_silent(session: Session) -> None:
    pid = emulator_of(session)
    os.kill(pid, signal.SIGSTOP)
    start = time.monotonic()
    with pytest.raises(TransportTimeout, match="is silent: no byte of an answer"):
        session.run(X)
    assert time.monotonic() - start < TIMEOUT_S + PATIENCE_S
    session.close()
    assert not Path(f"/proc/{pid}").exists()


def test_a_kernel_that_never_ends_is_named(session: Session) -> None:
    start = time.monotonic()
    with pytest.raises(TransportTimeout) as caught:
        session.run(X)
    assert time.monotonic() - start < TIMEOUT_S + PATIENCE_S
    assert "a call of microtvm.model.run" in caught.value.message
    assert "nor the start of a session: it is stuck, or gone" in caught.value.message
