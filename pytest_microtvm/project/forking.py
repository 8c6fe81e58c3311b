"""Starts the servers of this package's own platforms as forks: most of a start is imports.

A bridge, which has no threads, forks itself; others have a fork server (see `forks`). The servers
of other platforms, and any that a user changed, run in a Python of their own: nobody knows what
they expect of it.
"""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Collection, Sequence
from functools import partial
from pathlib import Path
from typing import IO, Any

from pytest_microtvm.forks import Program
from pytest_microtvm.forks.become import become, run_script
from pytest_microtvm.process import signals_held

_PLATFORMS = Path(__file__).absolute().parents[1] / "platforms"
_SERVER = "pytest_microtvm.project.server"
_POLL_S = 0.001

PRELOAD = (
    *("argparse", "serial", "tarfile", _SERVER),
    *(f"{_SERVER}.{name}" for name in ("archive", "compiler_cache", "interface", "standalone")),
    *(f"{_SERVER}.{name}" for name in ("flash_methods", "gdb_remote", "mass_storage")),
    f"{_SERVER}.serial_port",
)
"""What a server imports that makes a project, builds it, opens a device or flashes a board."""


def server_program(server: Path) -> Program | None:
    """A server as a program that can be a fork; None where it is not our own.

    Args:
        server: Its `microtvm_api_server.py`, of a template or of a project.
    """
    text = server.read_bytes()
    if any(text == own.read_bytes() for own in _PLATFORMS.glob(f"*/{server.name}")):
        return Program(str(server), PRELOAD)
    return None


def can_fork(server: Path) -> bool:
    """Whether a server may be a fork of this process: it is ours, and this process has no threads.

    Args:
        server: Its `microtvm_api_server.py`, of a template or of a project.
    """
    return threading.active_count() == 1 and server_program(server) is not None


class ForkedServer:
    """A server as a fork; has of `subprocess.Popen` what the client needs.

    Args:
        server: Its `microtvm_api_server.py`; the fork's working directory is its folder.
        arguments: For its command line.
        log: Gets what it prints.
        pass_fds: The files of this process that it has besides.

    Attributes:
        pid: The process, which leads a session of its own.
        returncode: How it ended, once it was waited for; minus the signal's number if by a signal.
    """

    def __init__(
        self, server: Path, arguments: Sequence[str], log: IO[Any], pass_fds: Collection[int]
    ) -> None:
        self.returncode: int | None = None
        with signals_held():
            self.pid = os.fork()
            if self.pid == 0:
                null = os.open(os.devnull, os.O_RDONLY)
                streams = (null, log.fileno(), log.fileno())
                become(
                    partial(run_script, str(server), arguments), streams, pass_fds, server.parent
                )

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
                    raise subprocess.TimeoutExpired("the server", timeout)
                time.sleep(_POLL_S)
        return self.returncode

    def kill(self) -> None:
        """Kill it, if it has not been waited for."""
        if self.returncode is None:
            os.kill(self.pid, signal.SIGKILL)
