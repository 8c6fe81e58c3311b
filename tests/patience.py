"""How long tests wait for what comes at once where nothing else runs, and for processes to end."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from pytest_microtvm.deadline import Deadline

PATIENCE_S = 30.0
"""On a machine with many times as much to do as it has processors.

What a test shows to end soon would go on for longer than that, or for ever, if it did not.
"""


def is_running(pid: int) -> bool:
    """Whether a process is there and not a zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def wait_until(condition: Callable[[], object]) -> None:
    """Wait until that is true."""
    deadline = Deadline(PATIENCE_S)
    while not condition():
        assert not deadline.expired, "waited in vain"
        time.sleep(0.01)


def await_end(*pids: int) -> None:
    """Wait until none of the processes runs."""
    wait_until(lambda: not any(map(is_running, pids)))
