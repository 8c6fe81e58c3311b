"""A Project API server as a process: started, asked, and ended with all that it started."""

from __future__ import annotations

import contextlib
import os
import re
import select
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from ..deadline import Deadline
from ..errors import ConfigError
from ..forks import Fork, ForkError, Forks, OwnFork, Program
from ..process import fill_standard_streams, package_environment
from .forking import server_program

SERVER_FILE = "microtvm_api_server.py"
LAUNCH_SCRIPT = "launch_microtvm_api_server.sh"

# A reply may be as long as this; what is longer is not a reply.
_MAX_REPLY_BYTES = 256 * 1024 * 1024
_KEPT_LOG_BYTES = 16 * 1024
# An idle server ends at once when its pipe closes; one that does not is killed.
_CLOSE_TIMEOUT_S = 0.5
# The longest single wait for the server, so that whoever wants it to end is heard.
_SLICE_S = 0.25
# What ninja prints before each of its steps.
_PROGRESS = re.compile(rb"^\[\d+/\d+\]", re.MULTILINE)


class ServerTrouble(Exception):
    """The process does not do its part.

    Args:
        what: What it does instead, as the rest of a sentence about it.
        is_late: Whether it only takes too long.
    """

    def __init__(self, what: str, *, is_late: bool = False) -> None:
        super().__init__(what)
        self.what = what
        self.is_late = is_late


class ServerProcess:
    """The process of one server.

    Args:
        directory: A template or project folder.
        debug: Have the server log its requests.
        keep_waiting: Called between waits for the server; may raise to end them.
        fork: Let a server of this package's own be a fork of this process, where that has no
            threads; see `forking`.
        forks: Start one there instead.
    """

    def __init__(
        self,
        directory: Path,
        *,
        debug: bool,
        keep_waiting: Callable[[], None],
        fork: bool,
        forks: Forks | None,
    ) -> None:
        self._directory = directory
        self._debug = debug
        self._keep_waiting = keep_waiting
        self._fork = fork
        self._forks = forks
        self._process: subprocess.Popen[bytes] | OwnFork | Fork | None = None
        self._request_fd = -1
        self._reply_fd = -1
        self._received = bytearray()
        self._log: Any = None  # what the server prints

    @property
    def is_open(self) -> bool:
        """Whether it was started and not closed."""
        return self._process is not None

    @property
    def pid(self) -> int:
        """The process, which leads a session of its own.

        Raises:
            ValueError: It is not open.
        """
        if self._process is None:
            raise ValueError("the server is not open")
        return self._process.pid

    def start(self, deadline: Deadline) -> None:
        """Start it.

        Args:
            deadline: For its start.

        Raises:
            ConfigError: The folder holds no server, or it cannot be started.
        """
        command = self._command()
        fill_standard_streams()
        request_read, request_write = os.pipe()
        reply_read, reply_write = os.pipe()
        try:
            self._log = tempfile.TemporaryFile(prefix="microtvm-")  # noqa: SIM115 - see close()
            arguments = ["--read-fd", str(request_read), "--write-fd", str(reply_write)]
            if self._debug:
                arguments.append("--debug")
            passed = (request_read, reply_write)
            self._process = self._start_process(command, arguments, passed, deadline)
        except BaseException as exc:
            os.close(request_write)
            os.close(reply_read)
            if self._log is not None:
                self._log.close()
            if isinstance(exc, OSError):
                raise ConfigError(f"cannot start {command[0]}: {exc.strerror}") from exc
            if isinstance(exc, ForkError):
                raise ConfigError(f"the server in {self._directory} {exc.what}") from exc
            raise
        finally:
            os.close(request_read)
            os.close(reply_write)
        self._request_fd, self._reply_fd = request_write, reply_read
        os.set_blocking(request_write, False)
        os.set_blocking(reply_read, False)

    def _start_process(
        self,
        command: list[str],
        arguments: list[str],
        pass_fds: tuple[int, int],
        deadline: Deadline,
    ) -> subprocess.Popen[bytes] | OwnFork | Fork:
        program = self._own_program(command)
        if program is not None:
            with Path(os.devnull).open("rb") as null:
                streams = null.fileno(), self._log.fileno(), self._log.fileno()
                if self._forks is None:
                    script = Path(program.name)
                    return OwnFork(script, arguments, streams, pass_fds, self._directory)
                return self._forks.start(
                    program,
                    arguments,
                    streams,
                    deadline=deadline,
                    pass_fds=pass_fds,
                    folder=self._directory,
                )
        return subprocess.Popen(
            [*command, *arguments],
            cwd=self._directory,
            env=package_environment(),
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=subprocess.STDOUT,
            pass_fds=pass_fds,
            start_new_session=True,  # Ctrl-C is for us; and so its descendants are found
        )

    def _own_program(self, command: list[str]) -> Program | None:
        """The server as a program that is started as a fork; None where it is not."""
        can_fork = self._forks is not None or (self._fork and OwnFork.is_possible())
        if not can_fork or command[0] != sys.executable:
            return None
        return server_program(Path(command[1]))

    def close(self, *, at_once: bool) -> None:
        """End the server and every process it started; may be called again.

        Args:
            at_once: Do not wait for it to end by itself.
        """
        if self._process is None:
            return
        process, self._process = self._process, None
        try:
            os.close(self._request_fd)
            os.close(self._reply_fd)
            if not at_once:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(_CLOSE_TIMEOUT_S)
        finally:
            _kill_session(process.pid)
            process.kill()
            process.wait()
            if isinstance(process, Fork):
                process.end()
            self._log.close()

    def exchange(self, request: bytes, limit: Deadline) -> bytes:
        """Send a line, and wait for the line that answers.

        Raises:
            ServerTrouble: There is no answer.
        """
        self._send(request, limit)
        return self._receive(limit)

    def log_tail(self) -> str:
        """The last of what the server printed."""
        return self._log_end().decode("utf-8", "replace").strip()

    def progress(self) -> str:
        """How far the tools are by the last of what they printed: "[57/153]"; empty if unknown."""
        steps = _PROGRESS.findall(self._log_end())
        return steps[-1].decode() if steps else ""

    def _log_end(self) -> bytes:
        size = os.fstat(self._log.fileno()).st_size
        return os.pread(self._log.fileno(), _KEPT_LOG_BYTES, max(0, size - _KEPT_LOG_BYTES))

    def _command(self) -> list[str]:
        script = self._directory / LAUNCH_SCRIPT
        server = self._directory / SERVER_FILE
        if script.is_file():  # is given the server's path first, as TVM's own scripts expect
            shell = [] if os.access(script, os.X_OK) else ["/bin/sh"]
            return [*shell, str(script), str(server)]
        if server.is_file():
            return [sys.executable, str(server)]
        raise ConfigError(
            f"{self._directory} holds no {SERVER_FILE}",
            cure="name the folder of a template or of a generated project",
        )

    def _send(self, request: bytes, limit: Deadline) -> None:
        remaining = memoryview(request)
        while remaining:
            self._await(self._request_fd, select.POLLOUT, limit)
            try:
                remaining = remaining[os.write(self._request_fd, remaining) :]
            except BlockingIOError:
                continue
            except BrokenPipeError as exc:
                raise self._ended() from exc

    def _receive(self, limit: Deadline) -> bytes:
        searched = 0
        while (end := self._received.find(b"\n", searched)) < 0:
            searched = len(self._received)
            if searched > _MAX_REPLY_BYTES:
                raise ServerTrouble("sent an endless reply")
            self._await(self._reply_fd, select.POLLIN, limit)
            try:
                chunk = os.read(self._reply_fd, 1 << 20)
            except BlockingIOError:
                continue
            if not chunk:
                raise self._ended()
            self._received += chunk
        line = bytes(self._received[:end])
        del self._received[: end + 1]
        return line

    def _await(self, fd: int, event: int, limit: Deadline) -> None:
        poll = select.poll()
        poll.register(fd, event)
        while not poll.poll(limit.at_most(_SLICE_S) * 1000.0):
            if limit.expired:
                raise ServerTrouble("does not answer", is_late=True)
            self._keep_waiting()

    def _ended(self) -> ServerTrouble:
        assert self._process is not None
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_CLOSE_TIMEOUT_S)
        status = self._process.returncode
        if status is None:
            return ServerTrouble("closed its pipes")
        if status < 0:
            return ServerTrouble(f"was ended by {signal.Signals(-status).name}")
        return ServerTrouble(f"ended with exit status {status}")


def _session_members(session_id: int) -> Iterator[int]:
    """The processes of a session, as the kernel lists them."""
    for name in os.listdir("/proc"):  # noqa: PTH208 - at every close, through all processes
        if not name.isdecimal():
            continue
        with contextlib.suppress(OSError):  # it has ended meanwhile
            if os.getsid(int(name)) != session_id:
                continue
            # pid (name) state ...; the name may hold anything
            stat = Path("/proc", name, "stat").read_text(errors="replace")
            if stat.rpartition(")")[2].split()[0] != "Z":
                yield int(name)


def _kill_session(session_id: int) -> None:
    """Kill every process of a session, including those that are started meanwhile."""
    for _ in range(20):
        members = list(_session_members(session_id))
        if not members:
            return
        for pid in members:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
