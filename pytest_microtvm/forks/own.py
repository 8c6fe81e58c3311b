"""A program as a fork of this very process, which has its modules: no fork server is asked."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Collection, Sequence
from functools import partial
from pathlib import Path

from pytest_microtvm.forks.become import become, run_script
from pytest_microtvm.process import signals_held

_POLL_S = 0.001


class OwnFork:
    """A script that runs as a child of this process; has of `subprocess.Popen` what callers need.

    Args:
        script: The absolute path of its file.
        arguments: For its command line.
        streams: What it has as standard input, output and error output.
        pass_fds: The other files of this process that it has.
        folder: The folder that it runs in.

    Attributes:
        pid: The process, which leads a session of its own.
        returncode: How it ended, once it was waited for; minus the signal's number if by a signal.

    Raises:
        ValueError: This process has threads, which would not be there in a fork.
    """

    def __init__(
        self,
        script: Path,
        arguments: Sequence[str],
        streams: tuple[int, int, int],
        pass_fds: Collection[int],
        folder: Path,
    ) -> None:
        if not self.is_possible():
            raise ValueError("a process with threads cannot fork itself")
        self.returncode: int | None = None
        with signals_held():
            self.pid = os.fork()
            if self.pid == 0:
                become(partial(run_script, str(script), arguments), streams, pass_fds, folder)

    @staticmethod
    def is_possible() -> bool:
        """Whether this process has no threads."""
        return threading.active_count() == 1

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end.

        Raises:
            TimeoutExpired: It goes on.
        """
        end = None if timeout is None else time.monotonic() + timeout
        while self.returncode is None:
            pid, status = os.waitpid(self.pid, 0 if end is None else os.WNOHANG)
            if pid:
                self.returncode = os.waitstatus_to_exitcode(status)
            elif end is not None and timeout is not None:
                if time.monotonic() >= end:
                    raise subprocess.TimeoutExpired(f"process {self.pid}", timeout)
                time.sleep(_POLL_S)
        return self.returncode

    def kill(self) -> None:
        """Kill it, if it has not been waited for."""
        if self.returncode is None:
            os.kill(self.pid, signal.SIGKILL)
