"""Child processes that never outlive the process that started them."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

_STDERR_FD = 2
PR_SET_PDEATHSIG = 1
"""From <linux/prctl.h>: the signal that the kernel sends when the parent dies."""


def die_with_parent(parent_pid: int, signal_number: int = signal.SIGKILL) -> None:
    """Have the kernel kill this process as soon as its parent is gone.

    Call it first thing in a child. On systems other than Linux it does nothing: there a child
    notices the end of its standard input.

    Args:
        parent_pid: The parent, as the parent knows itself; leaves at once if it died meanwhile.
        signal_number: By which signal.
    """
    if not sys.platform.startswith("linux"):
        return
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal_number, 0, 0, 0)
    if os.getppid() != parent_pid:
        os._exit(1)


def package_environment() -> dict[str, str]:
    """The environment for a child that imports this package, wherever it was imported from."""
    environment = dict(os.environ)
    package = Path(__file__).absolute().parent
    if package.parent.name not in ("site-packages", "dist-packages"):
        # Relative entries mean something else in another folder.
        inherited = filter(None, environment.get("PYTHONPATH", "").split(os.pathsep))
        paths = [package.parent, *(Path(entry).absolute() for entry in inherited)]
        environment["PYTHONPATH"] = os.pathsep.join(map(str, paths))
    return environment


def fill_standard_streams() -> None:
    """Open those of the three standard streams that are closed, to and from nowhere.

    Call it before a child is started with pipes: else a pipe takes the number of a stream, and the
    child's stream takes the place of the pipe.
    """
    while (fd := os.open(os.devnull, os.O_RDWR)) <= _STDERR_FD:
        os.set_inheritable(fd, True)
    os.close(fd)


@contextlib.contextmanager
def interrupts_for_child() -> Iterator[None]:
    """Leave Ctrl-C to a child on the same terminal.

    By a handler: what is ignored would be ignored by the child as well.
    """
    before = signal.signal(signal.SIGINT, lambda _signal, _frame: None)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@contextlib.contextmanager
def signals_held() -> Iterator[None]:
    """Keep back what signals raise until the block is left; put it around a fork.

    Python runs handlers wherever it happens to be. In a hook of `os.register_at_fork`, as libraries
    have them, it prints the exception and goes on, so that the signal is lost.
    """
    if threading.current_thread() is not threading.main_thread():  # no handler runs here
        yield
        return
    came: list[int] = []
    held = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.getsignal(number) for number in held}
    handled = {number: handler for number, handler in before.items() if callable(handler)}
    try:
        for number in handled:
            signal.signal(number, lambda number, _frame: came.append(number))
        yield
    finally:
        for number, handler in handled.items():
            signal.signal(number, handler)
        for caught in dict.fromkeys(came):
            signal.raise_signal(caught)


def kill_group(process: subprocess.Popen[str] | subprocess.Popen[bytes]) -> None:
    """Kill a child started with `start_new_session=True` and its own children; reap it."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
