"""Drives a Project API server, which runs as a process of its own."""

from __future__ import annotations

import base64
import contextlib
import functools
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from ..deadline import Deadline
from ..errors import (
    BuildError,
    ConfigError,
    DoesNotFit,
    FlashError,
    LeaseError,
    MicroTVMError,
    ProtocolError,
    TransportClosed,
    TransportError,
    TransportTimeout,
)
from ..process import package_environment
from .forking import ForkedServer, can_fork
from .server.api import BoardSupport, BuiltFiles, Tool
from .server.board_keys import BoardKey
from .server.errors import ErrorCode

SERVER_FILE = "microtvm_api_server.py"
LAUNCH_SCRIPT = "launch_microtvm_api_server.sh"
MODEL_FILE = "model.tar"

# A reply may be as long as this; what is longer is not a reply.
_MAX_REPLY_BYTES = 256 * 1024 * 1024
_KEPT_LOG_BYTES = 16 * 1024
# An idle server ends at once when its pipe closes; one that does not is killed.
_CLOSE_TIMEOUT_S = 0.5
# A transport call must outlast the wait it asks the server for.
_REPLY_MARGIN_S = 2.0
# The longest single wait for the server, so that whoever wants it to end is heard.
_SLICE_S = 0.25

_ERROR_OF_METHOD: dict[str, type[MicroTVMError]] = {
    "server_info_query": BuildError,
    "generate_project": BuildError,
    "build": BuildError,
    "flash": FlashError,
}
_ERROR_OF_CLASS: dict[str, type[MicroTVMError]] = {
    "DoesNotFitError": DoesNotFit,
    "OptionError": ConfigError,
    "PortBusyError": LeaseError,
    "UnsupportedTVMVersionError": ConfigError,
    "TransportClosedError": TransportClosed,
    "IoTimeoutError": TransportTimeout,
}
_MESSAGE_OF_CLASS = {
    "TransportClosedError": "the device closed the link",
    "IoTimeoutError": "the device did not send or take anything in time",
}


@dataclass(frozen=True)
class Option:
    """What a platform tells about one of its options; see `server.ProjectOption`."""

    name: str
    type: str
    required: tuple[str, ...]
    optional: tuple[str, ...]
    choices: tuple[Any, ...] | None
    default: Any
    help: str


@dataclass(frozen=True)
class ServerDescription:
    """What a server tells about itself.

    Attributes:
        platform_name: The platform.
        is_template: Whether it is a template's server, not a project's.
        model_library_path: The project's MLF archive; None for a template.
        options: The project options that it takes.
        board_keys: What the platform's table of a board may hold; None if it does not tell.
        built_files: What a build of the project makes; None if it does not tell.
    """

    platform_name: str
    is_template: bool
    model_library_path: Path | None
    options: tuple[Option, ...]
    board_keys: tuple[BoardKey, ...] | None
    built_files: BuiltFiles | None


@dataclass(frozen=True)
class RecommendedTimeouts:
    """Waits a platform recommends, in seconds; 0 means no limit."""

    session_start_retry_timeout_s: float
    session_start_timeout_s: float
    session_established_timeout_s: float


class UnknownMethod(ProtocolError):
    """The server does not have the method that was called."""


class ProjectAPIClient:
    """One Project API server, as a context manager.

    Entering starts the server; leaving ends it and all it started, whatever it is doing.

    Args:
        directory: A template or project folder, which holds `microtvm_api_server.py` or
            `launch_microtvm_api_server.sh`.
        deadline: For the start of the server, up to its telling what it is.
        debug: Have the server log its requests.
        keep_waiting: Called between waits for the server; may raise to end them.
        fork: Let a server of this package's own be a fork of this process; see `forking`.

    Attributes:
        info: What the server told about itself; there once it is open.
    """

    info: ServerDescription

    def __init__(
        self,
        directory: Path,
        deadline: Deadline,
        *,
        debug: bool = False,
        keep_waiting: Callable[[], None] = lambda: None,
        fork: bool = False,
    ) -> None:
        self._directory = directory.absolute()
        self._deadline = deadline
        self._debug = debug
        self._keep_waiting = keep_waiting
        self._fork = fork
        self._name = self._directory.name
        self._process: subprocess.Popen[bytes] | ForkedServer | None = None
        self._request_fd = -1
        self._reply_fd = -1
        self._received = bytearray()
        self._next_id = 0
        self._broken = False
        self._base64 = False  # whether the server knows more than the published base85
        self._log: Any = None  # what the server prints

    def __enter__(self) -> ProjectAPIClient:
        self.open()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        self.close()

    def open(self) -> None:
        """Start the server and ask what it is.

        Raises:
            ConfigError: The folder holds no server, or it cannot be started.
            BuildError: The server does not answer.
            ProtocolError: Its answer makes no sense.
        """
        self._start()
        try:
            self.info = self._query_info(self._deadline)
        except BaseException:
            self.close()
            raise

    def _start(self) -> None:
        command = self._command()
        request_read, request_write = os.pipe()
        reply_read, reply_write = os.pipe()
        try:
            self._log = tempfile.TemporaryFile(prefix="microtvm-")  # noqa: SIM115 - see close()
            arguments = ["--read-fd", str(request_read), "--write-fd", str(reply_write)]
            if self._debug:
                arguments.append("--debug")
            self._process = self._start_process(command, arguments, (request_read, reply_write))
        except BaseException as exc:
            os.close(request_write)
            os.close(reply_read)
            if self._log is not None:
                self._log.close()
            if isinstance(exc, OSError):
                raise ConfigError(f"cannot start {command[0]}: {exc.strerror}") from exc
            raise
        finally:
            os.close(request_read)
            os.close(reply_write)
        self._request_fd, self._reply_fd = request_write, reply_read
        os.set_blocking(request_write, False)
        os.set_blocking(reply_read, False)

    def _start_process(
        self, command: list[str], arguments: list[str], pass_fds: tuple[int, int]
    ) -> subprocess.Popen[bytes] | ForkedServer:
        if self._fork and command[0] == sys.executable and can_fork(Path(command[1])):
            return ForkedServer(Path(command[1]), arguments, self._log, pass_fds)
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

    def close(self) -> None:
        """End the server and every process it started; may be called again."""
        if self._process is None:
            return
        process, self._process = self._process, None
        try:
            os.close(self._request_fd)
            os.close(self._reply_fd)
            if not self._broken:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(_CLOSE_TIMEOUT_S)
        finally:
            _kill_session(process.pid)
            process.kill()
            process.wait()
            self._log.close()

    def _query_info(self, deadline: Deadline) -> ServerDescription:
        reply = self._call("server_info_query", {"tvm_version": _tvm_version()}, deadline)
        try:
            if reply["protocol_version"] != 1:
                raise ProtocolError(
                    f"platform {self._name} speaks Project API version "
                    f"{reply['protocol_version']}, not 1"
                )
            self._name = str(reply["platform_name"])
            self._base64 = "base64" in reply.get("transport_encodings", ())
            path = reply["model_library_format_path"]
            return ServerDescription(
                platform_name=self._name,
                is_template=bool(reply["is_template"]),
                model_library_path=Path(path) if path else None,  # templates say None or ""
                options=tuple(_parse_option(option) for option in reply["project_options"]),
                board_keys=_parse_board_keys(reply.get("board_keys")),
                built_files=_parse_built_files(reply.get("built_files")),
            )
        except (KeyError, TypeError, ValueError) as exc:
            raise ProtocolError(
                f"platform {self._name}: malformed reply to server_info_query: {exc!r}"
            ) from exc

    def generate_project(
        self,
        library_path: Path,
        runtime_dir: Path,
        project_dir: Path,
        options: Mapping[str, Any],
        deadline: Deadline,
    ) -> None:
        """Have the template create `project_dir` from an MLF archive."""
        parameters = {
            "model_library_format_path": str(library_path.absolute()),
            "standalone_crt_dir": str(runtime_dir.absolute()),
            "project_dir": str(project_dir.absolute()),
            "options": dict(options),
        }
        self._call("generate_project", parameters, deadline)

    def board_query(
        self, board: Mapping[str, Any], deadline: Deadline, *, identify: bool
    ) -> BoardSupport | None:
        """Ask what the platform can do for a board on this machine.

        Args:
            board: Its definition.
            deadline: Ends it.
            identify: Ask for the toolchain's id, too.

        Returns:
            None if the server does not know this question, which is not in the published API.
        """
        parameters = {"board": dict(board), "identify": identify}
        try:
            reply = self._call("board_query", parameters, deadline)
        except UnknownMethod:
            return None
        try:
            return BoardSupport(
                tools=tuple(Tool(**tool) for tool in reply["tools"]),
                toolchain=None if reply["toolchain"] is None else str(reply["toolchain"]),
                abilities=tuple(map(str, reply["abilities"])),
                environment=tuple(map(str, reply["environment"])),
            )
        except (KeyError, TypeError, ValueError) as exc:
            raise ProtocolError(
                f"platform {self._name}: malformed reply to board_query: {exc!r}"
            ) from exc

    def build(self, options: Mapping[str, Any], deadline: Deadline) -> BuiltFiles | None:
        """Have the project compiled; says what that made, if the server does."""
        reply = self._call("build", {"options": dict(options)}, deadline)
        try:
            return None if reply is None else _parse_built_files(reply.get("built_files"))
        except (AttributeError, TypeError, ValueError) as exc:
            raise ProtocolError(
                f"platform {self._name}: malformed reply to build: {exc!r}"
            ) from exc

    def flash(self, options: Mapping[str, Any], deadline: Deadline) -> None:
        """Have the firmware written to the board."""
        self._call("flash", {"options": dict(options)}, deadline)

    def open_transport(self, options: Mapping[str, Any], deadline: Deadline) -> RecommendedTimeouts:
        """Have the device started or connected."""
        reply = self._call("open_transport", {"options": dict(options)}, deadline)
        try:
            timeouts = reply["timeouts"]
            return RecommendedTimeouts(
                float(timeouts["session_start_retry_timeout_sec"]),
                float(timeouts["session_start_timeout_sec"]),
                float(timeouts["session_established_timeout_sec"]),
            )
        except (KeyError, TypeError, ValueError) as exc:
            raise ProtocolError(
                f"platform {self._name}: malformed reply to open_transport: {exc!r}"
            ) from exc

    def close_transport(self, deadline: Deadline) -> None:
        """Have the device let go."""
        self._call("close_transport", {}, deadline)

    def read_transport(self, size: int, deadline: Deadline) -> bytes:
        """Read 1 to `size` bytes from the device.

        Raises:
            TransportTimeout: Nothing came before the deadline.
            TransportClosed: The device or the server is gone.
        """
        parameters: dict[str, Any] = {"n": size, "timeout_sec": deadline.remaining_s}
        if self._base64:
            parameters["encoding"] = "base64"
        reply = self._call("read_transport", parameters, deadline, _REPLY_MARGIN_S)
        try:
            if self._base64:
                data = base64.b64decode(reply["data"], validate=True)
            else:
                data = base64.b85decode(reply["data"])
        except (KeyError, TypeError, ValueError) as exc:
            raise ProtocolError(
                f"platform {self._name}: malformed reply to read_transport: {exc!r}"
            ) from exc
        if not 1 <= len(data) <= size:
            raise ProtocolError(
                f"platform {self._name}: read_transport gave {len(data)} bytes, not 1 to {size}"
            )
        return data

    def write_transport(self, data: bytes, deadline: Deadline) -> None:
        """Write all of `data` to the device.

        Raises:
            TransportTimeout: Not all was taken before the deadline.
            TransportClosed: The device or the server is gone.
        """
        encode = base64.b64encode if self._base64 else base64.b85encode
        parameters: dict[str, Any] = {
            "data": encode(data).decode("ascii"),
            "timeout_sec": deadline.remaining_s,
        }
        if self._base64:
            parameters["encoding"] = "base64"
        self._call("write_transport", parameters, deadline, _REPLY_MARGIN_S)

    def _command(self) -> list[str]:
        script = self._directory / LAUNCH_SCRIPT
        if script.is_file():
            return [str(script)] if os.access(script, os.X_OK) else ["/bin/sh", str(script)]
        server = self._directory / SERVER_FILE
        if server.is_file():
            return [sys.executable, str(server)]
        raise ConfigError(
            f"{self._directory} holds no {SERVER_FILE}",
            cure="name the folder of a template or of a generated project",
        )

    def _call(
        self, method: str, parameters: dict[str, Any], deadline: Deadline, margin_s: float = 0.0
    ) -> Any:
        """Send one request and wait for its reply; any failure ends the server's usefulness."""
        if self._process is None:
            raise ConfigError(f"the server of platform {self._name} is not open")
        if self._broken:
            raise self._failure(method, "is out of order after an earlier failure", deadline)
        self._next_id += 1
        request = {"jsonrpc": "2.0", "id": self._next_id, "method": method, "params": parameters}
        limit = Deadline(deadline.remaining_s + margin_s)
        self._broken = True  # until a whole reply is here, the two ends may be out of step
        self._send(json.dumps(request).encode("utf-8") + b"\n", method, limit, deadline)
        reply = self._receive(method, limit, deadline)
        self._broken = False
        if reply.get("error") is not None:
            raise self._error_of_reply(method, reply["error"], deadline)
        return reply.get("result")

    def _send(self, data: bytes, method: str, limit: Deadline, deadline: Deadline) -> None:
        remaining = memoryview(data)
        while remaining:
            self._await(self._request_fd, select.POLLOUT, method, limit, deadline)
            try:
                remaining = remaining[os.write(self._request_fd, remaining) :]
            except BlockingIOError:
                continue
            except BrokenPipeError as exc:
                raise self._ended(method, deadline) from exc

    def _receive(self, method: str, limit: Deadline, deadline: Deadline) -> dict[str, Any]:
        searched = 0
        while (end := self._received.find(b"\n", searched)) < 0:
            searched = len(self._received)
            if searched > _MAX_REPLY_BYTES:
                raise self._failure(method, "sent an endless reply", deadline)
            self._await(self._reply_fd, select.POLLIN, method, limit, deadline)
            try:
                chunk = os.read(self._reply_fd, 1 << 20)
            except BlockingIOError:
                continue
            if not chunk:
                raise self._ended(method, deadline)
            self._received += chunk
        line = bytes(self._received[:end])
        del self._received[: end + 1]
        try:
            reply = json.loads(line)
        except ValueError:
            reply = None
        if not isinstance(reply, dict) or reply.get("id") != self._next_id:
            shown = line[:80].decode("utf-8", "replace")
            raise self._failure(method, f"sent something that is no reply: {shown!r}", deadline)
        return reply

    def _await(self, fd: int, event: int, method: str, limit: Deadline, deadline: Deadline) -> None:
        poll = select.poll()
        poll.register(fd, event)
        while not poll.poll(limit.at_most(_SLICE_S) * 1000.0):
            if limit.expired:
                raise self._failure(method, "does not answer", deadline, timeout=True)
            self._keep_waiting()

    def _ended(self, method: str, deadline: Deadline) -> MicroTVMError:
        assert self._process is not None
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_CLOSE_TIMEOUT_S)
        status = self._process.returncode
        if status is None:
            how = "closed its pipes"
        elif status < 0:
            how = f"was ended by {signal.Signals(-status).name}"
        else:
            how = f"ended with exit status {status}"
        return self._failure(method, how, deadline)

    def _failure(
        self, method: str, what: str, deadline: Deadline, *, timeout: bool = False
    ) -> MicroTVMError:
        """The error for a server that did not do its part."""
        error_class = _ERROR_OF_METHOD.get(method)
        if error_class is None:
            error_class = TransportTimeout if timeout else TransportClosed
        return error_class(
            f"the server of platform {self._name} {what}",
            operation=method,
            elapsed_s=deadline.elapsed_s,
            details=self._log_tail(),
        )

    def _error_of_reply(self, method: str, error: Any, deadline: Deadline) -> MicroTVMError:
        """The error for a request that the server answered with an error."""
        if not isinstance(error, dict):
            return self._failure(method, f"sent a malformed error: {error!r}", deadline)
        if error.get("code") == ErrorCode.METHOD_NOT_FOUND:
            return UnknownMethod(f"the server of platform {self._name} has no method {method}")
        class_name = str(error.get("message", "error"))
        data = error.get("data")
        data = data if isinstance(data, dict) else {}
        trace = str(data.get("traceback") or "").strip()
        message = str(data.get("message") or _MESSAGE_OF_CLASS.get(class_name) or "")
        if message:  # meant for the user
            details = str(data.get("details") or "") or self._log_tail()
        else:
            last = trace.splitlines()[-1] if trace else ""
            message = f"platform {self._name}: {last if class_name in last else class_name}"
            details = "\n".join(part for part in (trace, self._log_tail()) if part)
        fallback = _ERROR_OF_METHOD.get(method, TransportError)
        return _ERROR_OF_CLASS.get(class_name, fallback)(
            message,
            cure=str(data.get("cure") or ""),
            operation=method,
            elapsed_s=deadline.elapsed_s,
            details=details,
        )

    def _log_tail(self) -> str:
        """The last of what the server printed."""
        size = os.fstat(self._log.fileno()).st_size
        start = max(0, size - _KEPT_LOG_BYTES)
        text = os.pread(self._log.fileno(), _KEPT_LOG_BYTES, start).decode("utf-8", "replace")
        return text.strip()


def _parse_board_keys(keys: Any) -> tuple[BoardKey, ...] | None:
    return None if keys is None else tuple(BoardKey(**key) for key in keys)


def _parse_built_files(files: Any) -> BuiltFiles | None:
    return None if files is None else BuiltFiles(**files)


def _parse_option(option: Mapping[str, Any]) -> Option:
    choices = option.get("choices")
    return Option(
        name=str(option["name"]),
        type=str(option["type"]),
        required=tuple(option.get("required") or ()),
        optional=tuple(option.get("optional") or ()),
        choices=None if choices is None else tuple(choices),
        default=option.get("default"),
        help=str(option.get("help") or ""),
    )


@functools.cache
def _tvm_version() -> str:
    """TVM's version, by the name of the folder that pip makes: all other ways take far longer."""
    for entry in sys.path:
        for path in Path(entry).glob("apache_tvm-*.dist-info"):
            return path.name.split("-")[1].removesuffix(".dist")
    return "0"


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
