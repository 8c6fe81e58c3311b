"""Fork servers and forks as the process that uses them sees them."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest_microtvm.deadline import Deadline
from pytest_microtvm.process import fill_standard_streams, package_environment, signals_held

_SERVER = "pytest_microtvm.forks.server"
_HEADER_BYTES = 4
_ROOM = " " * 400  # on the command line, where each fork writes what it is
_START_TIMEOUT_S = 600.0
_END_TIMEOUT_S = 5.0
# Threads of libraries would not be there in a fork.
_ONE_THREAD = ("TVM_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


@dataclass(frozen=True)
class Program:
    """A Python program that can be a fork.

    Args:
        name: Its module, which has a function `main`; or the absolute path of its file.
        preload: The modules that its fork server imports first.
        family: Programs of one family are forks of one server.
    """

    name: str
    preload: tuple[str, ...] = ()
    family: str = "small"


class ForkError(Exception):
    """A program was not started.

    Args:
        what: Why, as the rest of a sentence about it.
        is_late: Whether there was no time left.
    """

    def __init__(self, what: str, *, is_late: bool = False) -> None:
        super().__init__(what)
        self.what = what
        self.is_late = is_late


class Fork:
    """A program that runs; has of `subprocess.Popen` what our callers need.

    Attributes:
        pid: The process, which leads a session and a process group of its own.
        returncode: How it ended, once that is known; minus the signal's number if by a signal.
    """

    def __init__(self, pid: int, channel: socket.socket) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._channel = channel

    def poll(self) -> int | None:
        """How it ended; None while it runs."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.wait(0.0)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end.

        Raises:
            TimeoutExpired: It goes on.
        """
        if self.returncode is None:
            if not _readable(self._channel, timeout):
                assert timeout is not None
                raise subprocess.TimeoutExpired(f"process {self.pid}", timeout)
            message = _read_line(self._channel)
            # Where its server was killed, so was it.
            self.returncode = int(message["status"]) if message else -signal.SIGKILL
        return self.returncode

    def kill(self) -> None:
        """Kill it and all of its process group."""
        if self._channel.fileno() < 0:  # the number may be another's
            return
        for kill in (os.killpg, os.kill):  # it leads no group yet when it was forked just now
            with contextlib.suppress(ProcessLookupError, PermissionError):
                kill(self.pid, signal.SIGKILL)

    def end(self) -> None:
        """Kill it, wait for its end, and let go of it; may be called again."""
        self.kill()
        if self._channel.fileno() >= 0:
            self.wait()
            with self._channel, contextlib.suppress(OSError):
                self._channel.shutdown(socket.SHUT_WR)
                self._channel.recv(1)  # ends when nothing is left of it


class Forks:
    """Starts programs as forks; as a context, it ends them all.

    The servers are started when they are needed first.
    """

    def __init__(self) -> None:
        self._servers: dict[tuple[str, ...], _Server] = {}
        self._lock = threading.Lock()

    def __enter__(self) -> Forks:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def start(
        self,
        program: Program,
        arguments: Sequence[str],
        streams: tuple[int, int, int],
        *,
        deadline: Deadline,
        pass_fds: Sequence[int] = (),
        folder: str | Path = "/",
        environment: Mapping[str, str] | None = None,
    ) -> Fork:
        """Start a program.

        Args:
            program: The program.
            arguments: For its command line.
            streams: What it has as standard input, output and error output.
            deadline: For its start.
            pass_fds: The files that it has besides, by the same numbers.
            folder: The folder that it runs in.
            environment: Its environment; this process's where None.

        Raises:
            ForkError: It cannot be started.
        """
        environment = package_environment() if environment is None else environment
        is_script = program.name.endswith(".py")
        request = {
            "program": program.name,
            "is_script": is_script,
            "preload": program.preload if is_script else (*program.preload, program.name),
            "arguments": list(arguments),
            "pass_fds": list(pass_fds),
            "folder": str(folder),
            "environment": dict(environment),
        }
        text = json.dumps(request).encode()
        try:
            ours, theirs = socket.socketpair()
        except OSError as error:
            raise _cannot_start(error) from error
        try:
            with theirs, self._lock:
                server = self._server(program.family, environment)
                try:
                    with signals_held():  # half a request would be no request
                        server.send(text, [theirs.fileno(), *streams, *pass_fds])
                except OSError as error:  # it was killed just now
                    raise ForkError(server.how_it_ended()) from error
            if not _readable(ours, deadline.at_most(_START_TIMEOUT_S)):
                raise ForkError("did not start in time", is_late=True)
            answer = _read_line(ours)
            if "pid" in answer:
                return Fork(int(answer["pid"]), ours)
            raise ForkError(str(answer.get("error") or server.how_it_ended()))
        except BaseException:
            ours.close()
            raise

    def close(self) -> None:
        """End all servers, and what they forked. Never raises, may be called again."""
        with self._lock:
            for server in self._servers.values():
                server.close()
            self._servers.clear()

    def _server(self, family: str, environment: Mapping[str, str]) -> _Server:
        # Python has read its variables when it has started.
        own = [f"{name}={environment[name]}" for name in environment if name.startswith("PYTHON")]
        key = (family, *sorted(own))
        known = self._servers.get(key)
        if known is not None and known.is_alive:
            return known
        if known is not None:
            known.close()
        self._servers[key] = server = _Server(environment)
        return server


class _Server:
    """A fork server.

    Raises:
        ForkError: It cannot be started.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        with contextlib.ExitStack() as undo:
            try:
                fill_standard_streams()
                self._control, theirs = socket.socketpair()
                undo.callback(self._control.close)
                with theirs:
                    self._process = subprocess.Popen(
                        [sys.executable, "-m", _SERVER, str(theirs.fileno()), _ROOM],
                        stdin=subprocess.DEVNULL,
                        stdout=subprocess.DEVNULL,
                        stderr=subprocess.DEVNULL,
                        pass_fds=(theirs.fileno(),),
                        start_new_session=True,  # Ctrl-C is for its client
                        cwd="/",
                        env={**environment, **dict.fromkeys(_ONE_THREAD, "1")},
                    )
            except OSError as error:
                raise _cannot_start(error) from error
            undo.pop_all()

    @property
    def is_alive(self) -> bool:
        return self._process.poll() is None

    def send(self, text: bytes, fds: Sequence[int]) -> None:
        header = len(text).to_bytes(_HEADER_BYTES, "little")
        socket.send_fds(self._control, [header], list(fds))
        self._control.sendall(text)

    def how_it_ended(self) -> str:
        """What to say of a server that does not answer."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            status = self._process.wait(_END_TIMEOUT_S)
            if status < 0:
                return f"ended by signal {signal.Signals(-status).name}"
            return f"ended with status {status}"
        return "cannot be started: there are too many open files"

    def close(self) -> None:
        self._control.close()
        try:
            self._process.wait(_END_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def _cannot_start(error: OSError) -> ForkError:
    return ForkError(f"cannot be started: {error.strerror or error}")


def _readable(channel: socket.socket, timeout: float | None) -> bool:
    poll = select.poll()
    poll.register(channel, select.POLLIN)
    return bool(poll.poll(None if timeout is None else timeout * 1000.0))


def _read_line(channel: socket.socket) -> dict[str, Any]:
    """What the server says next; nothing where it is gone."""
    line = b""
    with contextlib.suppress(ConnectionError):
        while not line.endswith(b"\n"):
            byte = channel.recv(1)
            if not byte:
                return {}
            line += byte
    return dict(json.loads(line or b"{}"))
