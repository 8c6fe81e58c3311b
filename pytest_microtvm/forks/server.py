"""The fork server: `python -m pytest_microtvm.forks.server FD ROOM`; the package says what for.

A request is the length of a JSON text in four bytes, with files attached (the fork's channel, its
three standard streams, what else it is passed), and the text: see `client.Forks.start`. On the
channel the server answers with lines: the fork's process id, or why there is none, and its exit
status once it has ended. A fork that has ended stays a zombie until the client closes the channel,
so that its process id is nobody else's; one that runs then is killed with its process group.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import selectors
import signal
import socket
import sys
from functools import partial
from typing import Any

from pytest_microtvm.forks.become import become, run_module, run_script
from pytest_microtvm.process import die_with_parent

HEADER_BYTES = 4
MAX_FILES = 16
_STREAMS = 3


class _Child:
    """A fork, as long as its client has not let go of it."""

    def __init__(self, pid: int, channel: socket.socket) -> None:
        self.pid = pid
        self.channel = channel
        self.pidfd = os.pidfd_open(pid)
        self.has_ended = False
        self.is_released = False


class _Server:
    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._selector = selectors.DefaultSelector()
        self._selector.register(control, selectors.EVENT_READ, None)
        self._children: set[_Child] = set()
        self._imported: set[str] = set()

    def serve(self) -> None:
        """Fork until the client is gone; then end all forks."""
        try:
            while True:
                for key, _ in self._selector.select():
                    if key.data is None:
                        if not self._take_request():
                            return
                    elif key.fileobj == key.data.pidfd:
                        self._hear_end(key.data)
                    else:
                        self._release(key.data)
        finally:
            for child in self._children:
                _kill_group(child.pid)

    def _take_request(self) -> bool:
        """Take a request; False when there are no more."""
        header, fds, _, _ = socket.recv_fds(self._control, HEADER_BYTES, MAX_FILES)
        if not header:
            return False
        text = b""
        size = int.from_bytes(header, "little")
        while len(text) < size:
            block = self._control.recv(size - len(text))
            if not block:
                return False
            text += block
        if fds:  # else there was no room for files: the client sees its channel closed
            self._start(json.loads(text), fds)
        return True

    def _start(self, request: dict[str, Any], fds: list[int]) -> None:
        self._import(request["preload"])
        channel = socket.socket(fileno=fds[0])
        server_pid = os.getpid()
        try:
            if len(fds) != 1 + _STREAMS + len(request["pass_fds"]):
                raise OSError(None, "too many open files")
            pid = os.fork()
            if pid == 0:
                _run(request, fds, server_pid)
            child = _Child(pid, channel)
        except OSError as error:
            _tell(channel, {"error": error.strerror})
            channel.close()
        else:
            self._children.add(child)
            self._selector.register(child.pidfd, selectors.EVENT_READ, child)
            self._selector.register(channel, selectors.EVENT_READ, child)
            _tell(channel, {"pid": pid})
        for fd in fds[1:]:
            os.close(fd)

    def _import(self, modules: list[str]) -> None:
        wanted = [name for name in modules if name not in self._imported]
        for name in wanted:
            self._imported.add(name)
            with contextlib.suppress(Exception):  # the fork will say what is wrong with it
                importlib.import_module(name)
        if wanted:
            gc.collect()
            gc.freeze()  # else a collection in a fork copies all of that memory

    def _hear_end(self, child: _Child) -> None:
        self._selector.unregister(child.pidfd)
        os.close(child.pidfd)
        child.has_ended = True
        if child.is_released:
            self._reap(child)
            return
        end = os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert end is not None
        _tell(
            child.channel,
            {"status": end.si_status if end.si_code == os.CLD_EXITED else -end.si_status},
        )

    def _release(self, child: _Child) -> None:
        """The client has closed the channel, on which it says nothing."""
        self._selector.unregister(child.channel)
        child.is_released = True
        _kill_group(child.pid)
        if child.has_ended:
            self._reap(child)

    def _reap(self, child: _Child) -> None:
        os.waitpid(child.pid, 0)
        child.channel.close()  # so the client knows
        self._children.remove(child)


def _run(request: dict[str, Any], fds: list[int], server_pid: int) -> None:
    """Be the fork; never returns."""
    try:
        die_with_parent(server_pid)
        os.environ.clear()
        os.environ.update(request["environment"])
        # The program knows its files by the numbers that they have in the client.
        numbers = request["pass_fds"]
        above = max([*numbers, *fds]) + 1
        for offset, fd in enumerate(fds[1:]):
            os.dup2(fd, above + offset)
        for offset, number in enumerate(numbers):
            os.dup2(above + _STREAMS + offset, number)
        run = run_script if request["is_script"] else run_module
        become(
            partial(run, request["program"], request["arguments"]),
            (above, above + 1, above + 2),
            numbers,
            request["folder"],
        )
    finally:
        os._exit(1)


def _tell(channel: socket.socket, message: dict[str, Any]) -> None:
    with contextlib.suppress(OSError):  # the client is gone
        channel.sendall(json.dumps(message).encode() + b"\n")


def _kill_group(pid: int) -> None:
    # It leads no group yet when it was forked just now.
    for kill in (os.killpg, os.kill):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            kill(pid, signal.SIGKILL)


def main() -> int:
    """Serve on the socket whose number is the argument."""
    if not getattr(sys.flags, "safe_path", False):
        del sys.path[0]  # the folder that it was started in is none to import from
    with socket.socket(fileno=int(sys.argv[1])) as control:
        control.set_inheritable(False)
        _Server(control).serve()
    return 0


if __name__ == "__main__":
    sys.exit(main())
