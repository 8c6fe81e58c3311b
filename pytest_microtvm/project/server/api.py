"""The published Project API: what a platform implements.

The names and argument orders are those of Apache TVM v0.16 to v0.18. What is ours besides has a
default, so that a handler written for TVM does without.
"""

from __future__ import annotations

import abc
import collections
import os
import pathlib
import select
import time
from typing import Any, NamedTuple

from .board_keys import BoardKey
from .errors import ErrorCode, IoTimeoutError, JSONRPCError, TransportClosedError

ServerInfo = collections.namedtuple(
    "ServerInfo",
    ("platform_name", "is_template", "model_library_format_path", "project_options"),
)

# Seconds; 0 means no limit: between two session start attempts, for the start as a whole, and for
# a reply in an established session.
TransportTimeouts = collections.namedtuple(
    "TransportTimeouts",
    (
        "session_start_retry_timeout_sec",
        "session_start_timeout_sec",
        "session_established_timeout_sec",
    ),
)

BUILD, EMULATE = "build", "emulate"
"""What a tool is for."""

COUNT_INSTRUCTIONS, DEBUG, FLASH = "count_instructions", "debug", "flash"
"""What a platform can do with a board, beside `EMULATE`."""


class Tool(NamedTuple):
    """A program or file that firmware for a board takes.

    Attributes:
        name: What the user knows it by.
        path: Where it is; None if it is not on this machine.
        install: The command that installs it.
        purpose: `BUILD`, or `EMULATE` for what only an emulated board takes.
    """

    name: str
    path: str | None
    install: str = ""
    purpose: str = BUILD


class BoardSupport(NamedTuple):
    """What a platform can do for a board on this machine.

    Attributes:
        tools: What it takes. All that decides what the firmware will be has to be among them once
            the toolchain is identified: a new file at one of the paths means another toolchain.
        toolchain: An id of the toolchain, which is another one whenever the same sources may give
            another firmware; None where it is not known.
        abilities: Of `COUNT_INSTRUCTIONS` (by the option `qemu_plugin`), `DEBUG` (of an emulated
            board, by the option `gdbserver_port`), `EMULATE`, `FLASH`.
        environment: The variables, beside PATH, that decide which toolchain is used.
        lasting: Whether the answer may be kept for later runs: it is another one only when one of
            `tools` or of `environment` is.
    """

    tools: tuple[Tool, ...] = ()
    toolchain: str | None = None
    abilities: tuple[str, ...] = ()
    environment: tuple[str, ...] = ()
    lasting: bool = True


class BuiltFiles(NamedTuple):
    """What a build makes; paths are relative to the project.

    Attributes:
        artifact: What is flashed or run.
        elf: The linked program with its symbols; None where there is none.
    """

    artifact: str
    elf: str | None = None


class ProjectAPIHandler(abc.ABC):
    """What a platform implements. `options` maps option names to values."""

    @abc.abstractmethod
    def server_info_query(self, tvm_version: str) -> ServerInfo:
        """Describe this server and, when it stands in a generated project, the project.

        Raises:
            UnsupportedTVMVersionError: It cannot work with that TVM version.
        """

    @abc.abstractmethod
    def generate_project(
        self,
        model_library_format_path: pathlib.Path,
        standalone_crt_dir: pathlib.Path,
        project_dir: pathlib.Path,
        options: dict[str, Any],
    ) -> None:
        """Create `project_dir` from an MLF archive and the C runtime's sources."""

    @abc.abstractmethod
    def build(self, options: dict[str, Any]) -> None:
        """Compile and link the project this server stands in."""

    @abc.abstractmethod
    def flash(self, options: dict[str, Any]) -> None:
        """Write the firmware to the board; nothing to do for an emulator."""

    @abc.abstractmethod
    def open_transport(self, options: dict[str, Any]) -> TransportTimeouts:
        """Start or connect to the device, so that bytes can be exchanged."""

    @abc.abstractmethod
    def close_transport(self) -> None:
        """Let go of the device; does nothing when no transport is open."""

    @abc.abstractmethod
    def read_transport(self, n: int, timeout_sec: float | None) -> bytes:
        """Read 1 to `n` bytes; `timeout_sec` None waits for ever, 0 does not wait.

        Raises:
            IoTimeoutError: Nothing came in time.
            TransportClosedError: Nothing can come any more.
        """

    @abc.abstractmethod
    def write_transport(self, data: bytes, timeout_sec: float | None) -> None:
        """Write all of `data`.

        Raises:
            IoTimeoutError: Not all of it was taken in time.
            TransportClosedError: Nothing can be written any more.
        """

    # Not in the published API: a handler need not have these.

    def board_keys(self) -> list[BoardKey] | None:
        """What this platform's table of a board may hold; None if that is not told."""
        return None

    def board_query(self, board: dict[str, Any], identify: bool) -> BoardSupport:
        """Tell what the platform can do for a board on this machine; quickly.

        Args:
            board: Its definition, with this platform's table under the platform's name.
            identify: Tell the toolchain's id, too; its programs may be run for it.

        Raises:
            OptionError: The platform cannot serve such a board.
        """
        raise JSONRPCError(ErrorCode.METHOD_NOT_FOUND, "board_query: no such method")

    def built_files(self) -> BuiltFiles | None:
        """What a build of this project makes; None for a template, or if that is not told."""
        return None


def _await_ready(fd: int, event: int, end_time: float | None) -> None:
    """Wait until `fd` is ready for `event` (or broken); IoTimeoutError at `end_time`."""
    poll = select.poll()
    poll.register(fd, event)
    wait_ms = None if end_time is None else max(0.0, end_time - time.monotonic()) * 1000.0
    if not poll.poll(wait_ms):
        raise IoTimeoutError()


def read_with_timeout(fd: int, n: int, timeout_sec: float | None) -> bytes:
    """Read 1 to `n` bytes from `fd`, which should be non-blocking.

    Raises:
        IoTimeoutError: Nothing came in `timeout_sec` seconds.
        TransportClosedError: End of file; `fd` has been closed.
    """
    end_time = None if timeout_sec is None else time.monotonic() + timeout_sec
    while True:
        _await_ready(fd, select.POLLIN, end_time)
        try:
            data = os.read(fd, n)
        except BlockingIOError:
            continue
        except (ConnectionResetError, BrokenPipeError):
            data = b""
        if not data:
            os.close(fd)
            raise TransportClosedError()
        return data


def write_with_timeout(fd: int, data: bytes, timeout_sec: float | None) -> int:
    """Write `data` to `fd`, which should be non-blocking.

    Returns:
        Bytes written; fewer than `len(data)` only when the time ran out in between.

    Raises:
        IoTimeoutError: Not one byte was taken in `timeout_sec` seconds.
        TransportClosedError: The far end is gone; `fd` has been closed.
    """
    end_time = None if timeout_sec is None else time.monotonic() + timeout_sec
    written = 0
    while written < len(data):
        try:
            _await_ready(fd, select.POLLOUT, end_time)
            written += os.write(fd, data[written:])
        except IoTimeoutError:
            if written:
                return written
            raise
        except BlockingIOError:
            continue
        except (ConnectionResetError, BrokenPipeError) as exc:
            os.close(fd)
            raise TransportClosedError() from exc
    return written
