"""Signals and forks."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading

import pytest

from pytest_microtvm.process import signals_held

# A library's hook in which a signal arrives; Python swallows what a handler raises there.
HOOKED = """
import os, signal, subprocess
from pytest_microtvm.process import signals_held

def leave(number, frame):
    raise SystemExit(128 + number)

signal.signal(signal.SIGTERM, leave)
os.register_at_fork(after_in_parent=lambda: signal.raise_signal(signal.{name}))
try:
    with signals_held():
        child = subprocess.Popen(["true"], preexec_fn=lambda: None)
except KeyboardInterrupt:
    raise SystemExit(128 + signal.SIGINT)
finally:
    child.wait()
raise SystemExit("the signal was lost")
"""


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_a_signal_in_a_hook_of_a_fork_is_not_lost(name: str) -> None:
    program = [sys.executable, "-c", HOOKED.format(name=name)]
    result = subprocess.run(program, stderr=subprocess.PIPE, text=True, timeout=30, check=False)
    assert (result.returncode, result.stderr) == (128 + getattr(signal, name), "")


def test_handlers_are_as_before() -> None:
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = [signal.getsignal(number) for number in numbers]
    with signals_held():
        pass
    assert [signal.getsignal(number) for number in numbers] == before


def test_other_threads_hold_nothing() -> None:
    """Only the main thread may set handlers, and only it runs them."""
    reached = []

    def hold() -> None:
        with signals_held():
            reached.append(True)

    thread = threading.Thread(target=hold)
    thread.start()
    thread.join(10)
    assert reached
