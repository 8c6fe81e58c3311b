"""Starts the servers of this package's own platforms as forks: most of a start is imports.

A process that starts one server after the other has loaded what they import once and for all. The
servers of other platforms, and any that a user changed, run in a Python of their own: nobody knows
what they expect of it.
"""

from __future__ import annotations

import functools
import gc
import importlib
import os
import signal
import subprocess
import sys
import threading
import time
import traceback
import types
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import IO, Any

from pytest_microtvm.process import signals_held

_PLATFORMS = Path(__file__).absolute().parents[1] / "platforms"
_SERVER = "pytest_microtvm.project.server"
# What a server that opens a device, flashes a board or opens its port imports.
_MODULES = (
    *("argparse", "serial", _SERVER),
    *(f"{_SERVER}.{name}" for name in ("flash_methods", "gdb_remote", "mass_storage")),
    f"{_SERVER}.serial_port",
)
_POLL_S = 0.001
_FIRST_FREE_FD = 3


def preload() -> None:
    """Import what the servers import."""
    for name in _MODULES:
        importlib.import_module(name)
    gc.freeze()  # else a collection in a fork copies all of that memory


def can_fork(server: Path) -> bool:
    """Whether a server may be a fork of this process: it is ours, and this process has no threads.

    Args:
        server: Its `microtvm_api_server.py`, of a template or of a project.
    """
    if not sys.platform.startswith("linux") or threading.active_count() > 1:
        return False
    text = server.read_bytes()
    return any(text == own.read_bytes() for own in _PLATFORMS.glob(f"*/{server.name}"))


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
        code = _compile(server.read_bytes(), server.name)
        with signals_held():
            self.pid = os.fork()
            if self.pid == 0:
                _run(server, code, arguments, log.fileno(), pass_fds)

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


@functools.cache
def _compile(text: bytes, name: str) -> types.CodeType:
    return compile(text, name, "exec", dont_inherit=True)


def _run(
    server: Path,
    code: types.CodeType,
    arguments: Sequence[str],
    log_fd: int,
    pass_fds: Collection[int],
) -> None:
    """Become the server; never returns."""
    status = 1
    try:
        os.setsid()
        signal.signal(signal.SIGINT, signal.default_int_handler)
        for number in (signal.SIGTERM, signal.SIGHUP):
            if callable(signal.getsignal(number)):  # it is this process's; a new Python has none
                signal.signal(number, signal.SIG_DFL)
        null = os.open(os.devnull, os.O_RDONLY)
        for source, target in ((null, 0), (log_fd, 1), (log_fd, 2)):
            os.dup2(source, target)
        first = _FIRST_FREE_FD
        for fd in sorted(pass_fds):
            os.set_inheritable(fd, True)
            os.closerange(first, fd)
            first = fd + 1
        os.closerange(first, os.sysconf("SC_OPEN_MAX"))
        os.chdir(server.parent)
        sys.argv = [str(server), *arguments]
        if not getattr(sys.flags, "safe_path", False):
            sys.path[:1] = [str(server.parent)]  # as Python does for a script
        sys.modules["__main__"] = module = types.ModuleType("__main__")
        module.__file__ = str(server)
        exec(code, module.__dict__)
        status = 0
    except SystemExit as exc:
        status = exc.code if isinstance(exc.code, int) else int(exc.code is not None)
    except BaseException:  # noqa: BLE001 - what a Python of its own would do
        traceback.print_exc()
    finally:
        try:
            sys.stdout.flush()
            sys.stderr.flush()
        finally:
            os._exit(status)
