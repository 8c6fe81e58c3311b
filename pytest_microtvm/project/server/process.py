"""Tools and emulators that a platform runs: none of them outlives the server."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import IO, Protocol

from .api import read_with_timeout, write_with_timeout
from .errors import IoTimeoutError, ProjectError, TransportClosedError

_PR_SET_PDEATHSIG = 1  # linux/prctl.h

# Tool output sent to the client: the first errors are the ones that matter.
_KEPT_OUTPUT_CHARACTERS = 64_000


def die_with_parent(signal_number: int = signal.SIGKILL) -> Callable[[], None]:
    """A `preexec_fn` that has the kernel signal the child when this process ends."""
    import ctypes  # costs some milliseconds, and only for those who start something

    prctl = ctypes.CDLL(None, use_errno=True).prctl
    parent = os.getpid()

    def prepare() -> None:
        prctl(_PR_SET_PDEATHSIG, signal_number, 0, 0, 0)
        if os.getppid() != parent:  # it ended before the request was in place
            os._exit(1)

    return prepare


def find_tool(program: str, cure: str) -> str:
    """The path of a program.

    Raises:
        ProjectError: It is not installed; `cure` says how to.
    """
    path = shutil.which(program)
    if path is None:
        raise ProjectError(f"{program} is not installed", cure=cure)
    return path


def run_tool(
    command: Sequence[str],
    cwd: Path,
    timeout_s: float | None = None,
    variables: Mapping[str, str | None] = MappingProxyType({}),
    on_line: Callable[[str], object] | None = None,
) -> tuple[int | None, str]:
    """Run a tool to its end.

    Args:
        command: Program and arguments.
        cwd: Where it runs.
        timeout_s: After how long it is killed, with all that it started; None for no limit.
        variables: For its environment, beside those of this process; None removes one.
        on_line: Told each line as it is printed, where there is no limit of time.

    Returns:
        Its exit status, None when its time ran out, and what it printed, shortened when very long.
    """
    environment = {**os.environ, "LC_ALL": "C", **variables}  # messages are read by programs, too
    die = die_with_parent(signal.SIGTERM)  # make passes it on to its compilers

    def prepare() -> None:
        die()
        if timeout_s is not None:
            os.setpgid(0, 0)

    with subprocess.Popen(
        command,
        cwd=cwd,
        env={name: value for name, value in environment.items() if value is not None},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        preexec_fn=prepare,
    ) as process:
        status: int | None
        try:
            output = _lines_of(process, on_line) if timeout_s is None and on_line else ""
            output += process.communicate(timeout=timeout_s)[0]
            status = process.returncode
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            output, _ = process.communicate()
            status = None
    if len(output) > _KEPT_OUTPUT_CHARACTERS:
        left_out = len(output) - _KEPT_OUTPUT_CHARACTERS
        output = f"{output[:_KEPT_OUTPUT_CHARACTERS]}\n[{left_out} more characters]\n"
    return status, output


def _lines_of(process: subprocess.Popen[str], on_line: Callable[[str], object]) -> str:
    """All that a process prints, told line by line."""
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        on_line(line.rstrip("\n"))
        lines.append(line)
    return "".join(lines)


class DeviceTransport(Protocol):
    """Bytes to and from a device that has been started or connected."""

    def read(self, size: int, timeout_s: float | None) -> bytes:
        """Read 1 to `size` bytes.

        Raises:
            IoTimeoutError: Nothing came in `timeout_s` seconds.
            TransportClosedError: Nothing can come any more.
        """

    def write(self, data: bytes, timeout_s: float | None) -> None:
        """Write all of `data`.

        Raises:
            IoTimeoutError: Not all was taken in `timeout_s` seconds.
            TransportClosedError: Nothing can be written any more.
        """

    def close(self) -> None:
        """Let go of the device; may be called again."""


class ChildTransport:
    """A device that is a child process, spoken to over its standard input and output.

    They are pipes: an emulator writes byte by byte, and of single bytes a pipe holds 65,536 where a
    socket holds some 280.

    Args:
        command: Program and arguments.
        statuses: What exit statuses of the child mean, for those that mean something.
    """

    def __init__(self, command: Sequence[str], statuses: Mapping[int, str] | None = None) -> None:
        self._statuses = statuses or {}
        self._program = Path(command[0]).name
        try:
            self._process = subprocess.Popen(
                command,
                bufsize=0,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                preexec_fn=die_with_parent(),
            )
        except OSError as exc:
            raise ProjectError(f"cannot start {command[0]}: {exc.strerror}") from exc
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._write_fd: int | None = _take_fd(self._process.stdin)
        self._read_fd: int | None = _take_fd(self._process.stdout)

    def read(self, size: int, timeout_s: float | None) -> bytes:
        """Read 1 to `size` bytes.

        Raises:
            IoTimeoutError: Nothing came in `timeout_s` seconds.
            TransportClosedError: The child is gone, and all it wrote has been read.
        """
        if self._read_fd is None:
            raise self._closed()
        try:
            return read_with_timeout(self._read_fd, size, timeout_s)
        except TransportClosedError as exc:
            self._read_fd = None
            raise self._closed() from exc

    def write(self, data: bytes, timeout_s: float | None) -> None:
        """Write all of `data`.

        Raises:
            IoTimeoutError: Not all was taken in `timeout_s` seconds.
            TransportClosedError: The child is gone; what it wrote can still be read.
        """
        if self._write_fd is None:
            raise self._closed()
        try:
            written = write_with_timeout(self._write_fd, data, timeout_s)
        except TransportClosedError as exc:
            self._write_fd = None
            raise self._closed() from exc
        if written < len(data):
            raise IoTimeoutError(
                data={"message": f"{self._program} took {written} of {len(data)} bytes"}
            )

    def close(self) -> None:
        """Kill the child; may be called again."""
        for fd in (self._write_fd, self._read_fd):
            if fd is not None:
                os.close(fd)
        self._write_fd = self._read_fd = None
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()

    def _closed(self) -> TransportClosedError:
        """The error that says what became of the child."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(0.2)  # its last bytes may come before its end
        status = self._process.returncode
        if status is None:
            message = f"{self._program} closed its end of the link"
        elif status < 0:
            message = f"{self._program} was ended by {signal.Signals(-status).name}"
        else:
            message = f"{self._program} ended with exit status {status}"
            if status in self._statuses:
                message += f": {self._statuses[status]}"
        return TransportClosedError(data={"message": message})


def _take_fd(file: IO[bytes]) -> int:
    """A file's descriptor, non-blocking and no longer the file's."""
    fd = os.dup(file.fileno())
    file.close()
    os.set_blocking(fd, False)
    return fd
