"""What the processes of one run share when pytest-xdist starts several.

    <temporary folder>/
        progress       a named pipe: workers write what takes time, the controlling process prints
        quarantine/    the boards of the lab that are sick; see `lab.pool.Quarantine`
        cache/         with --microtvm-no-cache: what this run compiles and builds

The controlling process makes the folder and removes it; workers get its path with their
configuration. A run without workers has one, too, when it needs one.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import shutil
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path

PIPE = "progress"
MAX_LINE_BYTES = 4096
"""A write to a pipe of up to this size (PIPE_BUF of Linux) is never mixed with another."""

OnLine = Callable[[str, int, str], None]


class SharedFolder:
    """The folder, in the process that makes it.

    Args:
        on_line: Told the lines of the workers: who, at which verbosity to show it, and the line; in
            a thread of its own.
    """

    def __init__(self, on_line: OnLine) -> None:
        self.path = Path(tempfile.mkdtemp(prefix="microtvm-run-"))
        (self.path / "quarantine").mkdir()
        self._on_line = on_line
        self._pipe = -1
        self._wake = (-1, -1)
        self._reader: threading.Thread | None = None

    def listen(self) -> None:
        """Pass the workers' lines on from now on; may be called again."""
        if self._reader is not None:
            return
        os.mkfifo(self.path / PIPE)
        # For writing as well: without workers it is not at its end.
        self._pipe = os.open(self.path / PIPE, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        self._wake = os.pipe()
        self._reader = threading.Thread(target=self._read, name="microtvm-workers", daemon=True)
        self._reader.start()

    def close(self) -> None:
        """Pass on what is left, and remove the folder."""
        if self._reader is not None:
            os.close(self._wake[1])
            self._reader.join()
            os.close(self._wake[0])
            os.close(self._pipe)
        shutil.rmtree(self.path, ignore_errors=True)

    def _read(self) -> None:
        received, open_ = b"", True
        while open_:
            ready, _, _ = select.select([self._pipe, self._wake[0]], [], [])
            open_ = self._wake[0] not in ready
            with contextlib.suppress(BlockingIOError):
                received += os.read(self._pipe, 1 << 16)
            *lines, received = received.split(b"\n")
            for line in lines:
                self._on_line(*json.loads(line))


def send_line(folder: Path, worker: str, verbosity: int, line: str) -> None:
    """Have the controlling process print a line; lost if it cannot, or is too slow.

    Args:
        folder: The shared folder.
        worker: Who says it.
        verbosity: From which verbosity of pytest on it is shown.
        line: The line.
    """
    shown = [worker, verbosity, line[: MAX_LINE_BYTES // 8]]
    data = json.dumps(shown, ensure_ascii=False).encode("utf-8", "replace") + b"\n"
    with contextlib.suppress(OSError):
        pipe = os.open(folder / PIPE, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            os.write(pipe, data)
        finally:
            os.close(pipe)
