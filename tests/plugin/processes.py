"""Processes that a test started, and the processes that those started."""

from __future__ import annotations

import contextlib
import os
import subprocess
import threading
import time
from pathlib import Path

from tests.patience import PATIENCE_S

GONE_WITHIN_S = PATIENCE_S
START_WITHIN_S = 120.0


def descendants(token: str) -> dict[int, str]:
    """The processes that inherited an environment variable of ours, with their command lines."""
    found = {}
    for process in Path("/proc").iterdir():
        if not process.name.isdigit() or int(process.name) == os.getpid():
            continue
        with contextlib.suppress(OSError):
            if token.encode() in (process / "environ").read_bytes():
                state = (process / "stat").read_text().rsplit(")", 1)[1].split()[0]
                if state != "Z":
                    found[int(process.name)] = (
                        (process / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                    )
    return found


def wait_until_gone(token: str) -> None:
    end = time.monotonic() + GONE_WITHIN_S
    while descendants(token) and time.monotonic() < end:
        time.sleep(0.05)
    assert descendants(token) == {}


def wait_for_line(process: subprocess.Popen[str], text: str) -> str:
    """Read output until a line has a text."""
    assert process.stdout is not None
    output = ""
    killer = _Timer(process)
    with killer:
        for line in process.stdout:
            output += line
            if text in line:
                return output
    raise AssertionError(f"{text!r} never came: {output}")


class _Timer:
    """Kills a process that takes too long, so that reading its output ends."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._timer = threading.Timer(START_WITHIN_S, process.kill)

    def __enter__(self) -> None:
        self._timer.start()

    def __exit__(self, *_exc: object) -> None:
        self._timer.cancel()


def parent_of(pid: int) -> int:
    """The parent of a process."""
    return int(Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1])
