"""Programs on a pseudo-terminal, and whether they leave anything behind."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
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
def on_terminal(
    *command: str, env: Mapping[str, str] = os.environ
) -> Iterator[tuple[Terminal, subprocess.Popen[bytes]]]:
    """A command with a terminal; killed at the end if it is still there."""
    ours, theirs = pty.openpty()
    # A terminal of its own, which a session has by opening it first; gdb wants to be in front.
    start = (
        "import os, sys; os.close(os.open(os.ttyname(0), os.O_RDWR)); "
        "os.execv(sys.executable, sys.argv[1:])"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", start, *command],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
        env={**env, "PYTHONPATH": str(ROOT), "TERM": "dumb"},
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
