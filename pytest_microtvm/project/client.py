"""Drives a Project API server, which runs as a process of its own."""

from __future__ import annotations

import base64
import contextlib
import functools
import json
import re
import sys
from collections.abc import Callable, Iterator, Mapping
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
from ..forks import Forks
from .descriptions import (
    RecommendedTimeouts,
    ServerDescription,
    parse_built_files,
    parse_description,
    parse_support,
    parse_timeouts,
)
from .server.api import BoardSupport, BuiltFiles
from .server.errors import ErrorCode
from .server_process import ServerProcess, ServerTrouble

# A transport call must outlast the wait it asks the server for.
_REPLY_MARGIN_S = 2.0

_ERROR_OF_METHOD: dict[str, type[MicroTVMError]] = {
    "server_info_query": BuildError,
    "board_query": BuildError,
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
_NO_MODULE = re.compile(r"^ModuleNotFoundError: No module named '([\w.]+)'", re.MULTILINE)
_TVMS_SERVER_BASE = ("server", "tvm", "tvm.micro")
"""How templates that were written for TVM import it."""


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
        forks: Start one there instead.

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
        forks: Forks | None = None,
    ) -> None:
        directory = directory.absolute()
        self._deadline = deadline
        self._name = directory.name
        self._process = ServerProcess(
            directory, debug=debug, keep_waiting=keep_waiting, fork=fork, forks=forks
        )
        self._next_id = 0
        self._broken = False
        self._base64 = False  # whether the server knows more than the published base85

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
        self._process.start(self._deadline)
        try:
            self.info = self._query_info(self._deadline)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """End the server and every process it started; may be called again."""
        self._process.close(at_once=self._broken)

    def _query_info(self, deadline: Deadline) -> ServerDescription:
        reply = self._call("server_info_query", {"tvm_version": _tvm_version()}, deadline)
        with self._reading("server_info_query"):
            description = parse_description(reply)
            self._base64 = "base64" in reply.get("transport_encodings", ())
        self._name = description.platform_name
        return description

    @contextlib.contextmanager
    def _reading(self, method: str) -> Iterator[None]:
        """Says of which method a reply is that makes no sense."""
        try:
            yield
        except (AttributeError, LookupError, TypeError, ValueError) as exc:
            raise ProtocolError(
                f"platform {self._name}: malformed reply to {method}: {exc!r}"
            ) from exc

    def _filled(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """The options as the server expects them.

        A server that was written for TVM finds each of its options among them, with the default
        where none was given: TVM's own client saw to that.
        """
        if self.info.board_keys is not None:
            return dict(options)
        return {option.name: option.default for option in self.info.options} | dict(options)

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
            "options": self._filled(options),
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
        with self._reading("board_query"):
            return parse_support(reply)

    def build(self, options: Mapping[str, Any], deadline: Deadline) -> BuiltFiles | None:
        """Have the project compiled; says what that made, if the server does."""
        reply = self._call("build", {"options": self._filled(options)}, deadline)
        with self._reading("build"):
            return parse_built_files(reply)

    def progress(self) -> str:
        """How far the server's tools are, "[57/153]"; empty if they do not say."""
        return self._process.progress()

    def flash(self, options: Mapping[str, Any], deadline: Deadline) -> None:
        """Have the firmware written to the board."""
        self._call("flash", {"options": self._filled(options)}, deadline)

    def open_transport(self, options: Mapping[str, Any], deadline: Deadline) -> RecommendedTimeouts:
        """Have the device started or connected."""
        reply = self._call("open_transport", {"options": self._filled(options)}, deadline)
        with self._reading("open_transport"):
            return parse_timeouts(reply)

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
        with self._reading("read_transport"):
            if self._base64:
                data = base64.b64decode(reply["data"], validate=True)
            else:
                data = base64.b85decode(reply["data"])
        if not data:  # what TVM's serial templates answer when nothing came in time
            raise TransportTimeout(
                _MESSAGE_OF_CLASS["IoTimeoutError"],
                operation="read_transport",
                elapsed_s=deadline.elapsed_s,
            )
        if len(data) > size:
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

    def _call(
        self, method: str, parameters: dict[str, Any], deadline: Deadline, margin_s: float = 0.0
    ) -> Any:
        """Send one request and wait for its reply; any failure ends the server's usefulness."""
        if not self._process.is_open:
            raise ConfigError(f"the server of platform {self._name} is not open")
        if self._broken:
            raise self._failure(method, "is out of order after an earlier failure", deadline)
        self._next_id += 1
        request = {"jsonrpc": "2.0", "id": self._next_id, "method": method, "params": parameters}
        limit = Deadline(deadline.remaining_s + margin_s)
        self._broken = True  # until a whole reply is here, the two ends may be out of step
        try:
            line = self._process.exchange(json.dumps(request).encode("utf-8") + b"\n", limit)
        except ServerTrouble as trouble:
            raise self._failure(
                method, trouble.what, deadline, timeout=trouble.is_late
            ) from trouble.__cause__
        reply = self._parse_reply(line, method, deadline)
        self._broken = False
        if reply.get("error") is not None:
            raise self._error_of_reply(method, reply["error"], deadline)
        return reply.get("result")

    def _parse_reply(self, line: bytes, method: str, deadline: Deadline) -> dict[str, Any]:
        try:
            reply = json.loads(line)
        except (ValueError, RecursionError):
            reply = None
        if not isinstance(reply, dict) or reply.get("id") != self._next_id:
            shown = line[:80].decode("utf-8", "replace")
            raise self._failure(method, f"sent something that is no reply: {shown!r}", deadline)
        return reply

    def _failure(
        self, method: str, what: str, deadline: Deadline, *, timeout: bool = False
    ) -> MicroTVMError:
        """The error for a server that did not do its part."""
        error_class = _ERROR_OF_METHOD.get(method)
        if error_class is None:
            error_class = TransportTimeout if timeout else TransportClosed
        log, cure = self._process.log_tail(), ""
        missing = _NO_MODULE.search(log) if method == "server_info_query" else None
        if missing is not None:
            what += f": there is no Python module {missing[1]}"
            cure = f"install {missing[1]} for the Python that runs the server"
            if missing[1] in _TVMS_SERVER_BASE:
                cure = "replace that import by 'from pytest_microtvm.project import server'"
                log = ""  # the traceback of that import
        return error_class(
            f"the server of platform {self._name} {what}",
            cure=cure,
            operation=method,
            elapsed_s=deadline.elapsed_s,
            details=log,
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
            details = str(data.get("details") or "") or self._process.log_tail()
        else:
            last = trace.splitlines()[-1] if trace else ""
            message = f"platform {self._name}: {last if class_name in last else class_name}"
            details = "\n".join(part for part in (trace, self._process.log_tail()) if part)
        fallback = _ERROR_OF_METHOD.get(method, TransportError)
        return _ERROR_OF_CLASS.get(class_name, fallback)(
            message,
            cure=str(data.get("cure") or ""),
            operation=method,
            elapsed_s=deadline.elapsed_s,
            details=details,
        )


@functools.cache
def _tvm_version() -> str:
    """TVM's version, by the name of the folder that pip makes: all other ways take far longer."""
    for entry in sys.path:
        for path in Path(entry).glob("apache_tvm-*.dist-info"):
            return path.name.split("-")[1].removesuffix(".dist")
    return "0"
