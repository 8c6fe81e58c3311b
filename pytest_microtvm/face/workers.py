"""What the processes of one run share when pytest-xdist starts several.

    <temporary folder>/
        progress       a named pipe: workers write what takes time, the controlling process prints
        test-WORKER    the test that a worker runs, and its record: all that is left if it is killed
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
import shlex
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pytest_microtvm.process import die_with_parent
from pytest_microtvm.temporary import TemporaryFolder

FOLDER = "microtvm_folder"
COMMAND = "microtvm_command"
PARENT = "microtvm_parent"
PIPE = "progress"
MAX_LINE_BYTES = 4096
"""A write to a pipe of up to this size (PIPE_BUF of Linux) is never mixed with another."""

OnLine = Callable[[str, int, str], None]


class SharedFolder:
    """The folder, in the process that makes it."""

    def __init__(self) -> None:
        self._temporary = TemporaryFolder("run")
        self.path = self._temporary.path
        (self.path / "quarantine").mkdir()
        self._pipe = -1
        self._wake = (-1, -1)
        self._reader: threading.Thread | None = None

    def listen(self, on_line: OnLine) -> None:
        """Pass the workers' lines on from now on; may be called again.

        Args:
            on_line: Told the lines of the workers: who, at which verbosity to show it, and the
                line; in a thread of its own.
        """
        if self._reader is not None:
            return
        os.mkfifo(self.path / PIPE)
        # For writing as well: without workers it is not at its end.
        self._pipe = os.open(self.path / PIPE, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        self._wake = os.pipe()
        self._reader = threading.Thread(
            target=self._read, args=(on_line,), name="microtvm-workers", daemon=True
        )
        self._reader.start()

    def close(self) -> None:
        """Pass on what is left, and remove the folder."""
        if self._reader is not None:
            os.close(self._wake[1])
            self._reader.join()
            os.close(self._wake[0])
            os.close(self._pipe)
        self._temporary.close()

    def _read(self, on_line: OnLine) -> None:
        received, open_ = b"", True
        while open_:
            ready, _, _ = select.select([self._pipe, self._wake[0]], [], [])
            open_ = self._wake[0] not in ready
            with contextlib.suppress(BlockingIOError):
                received += os.read(self._pipe, 1 << 16)
            *lines, received = received.split(b"\n")
            for line in lines:
                on_line(*json.loads(line))


class Processes:
    """The processes of one run, as one of them sees them.

    Args:
        config: pytest's configuration; that of a worker of pytest-xdist says so.
    """

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._shared: SharedFolder | None = None

    @property
    def worker(self) -> str | None:
        """The name of this worker of pytest-xdist; None in the process that prints."""
        inherited = self._inherited
        return None if inherited is None else inherited["workerid"]

    @property
    def folder(self) -> Path:
        """The folder that the processes share; made when it is first asked for."""
        inherited = self._inherited
        return self._own_folder.path if inherited is None else Path(inherited[FOLDER])

    @property
    def command(self) -> str:
        """The command line of the run, for others who wait for its boards."""
        inherited = self._inherited
        if inherited is not None:
            return inherited[COMMAND]
        return shlex.join(["pytest", *map(str, self._config.invocation_params.args)])

    def share_with_worker(self, on_line: OnLine) -> dict[str, str]:
        """What a worker gets with its configuration; `on_line` hears it from now on."""
        self._own_folder.listen(on_line)
        return {FOLDER: str(self.folder), COMMAND: self.command}

    def die_with_controller(self) -> None:
        """In a worker: have the kernel end it with its parent; at once if that is gone already.

        A worker that waits for a device would not notice for long that nobody wants its results.
        """
        inherited = self._inherited
        if inherited is not None and PARENT in inherited:
            die_with_parent(int(inherited[PARENT]))

    def note_test(self, test: str, record: dict[str, Any]) -> None:
        """In a worker: leave word of the test that it runs now, for the case that it is killed.

        Args:
            test: Its node id.
            record: The record of what it uses, as JSON.
        """
        worker = self.worker
        if worker is not None:
            with contextlib.suppress(OSError):  # of a worker on another machine there is no folder
                (self.folder / f"test-{worker}").write_text(json.dumps([test, record]))

    def record_of_killed(self, worker: str, test: str) -> dict[str, Any] | None:
        """The record of a test whose worker was killed; None if it had not come to using a board.

        Args:
            worker: The worker.
            test: The node id of the test.
        """
        with contextlib.suppress(OSError, ValueError):  # it may have been killed while it wrote
            noted, record = json.loads((self.folder / f"test-{worker}").read_text())
            if noted == test:
                return dict(record)
        return None

    def close(self) -> None:
        """Remove the folder, in the process that made it."""
        shared, self._shared = self._shared, None
        if shared is not None:
            shared.close()

    @property
    def _own_folder(self) -> SharedFolder:
        if self._shared is None:
            self._shared = SharedFolder()
        return self._shared

    @property
    def _inherited(self) -> dict[str, str] | None:
        """What a worker got with its configuration; None in the controlling process."""
        return getattr(self._config, "workerinput", None)


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
