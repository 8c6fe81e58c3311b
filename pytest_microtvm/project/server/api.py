"""The published Project API: newline-delimited JSON-RPC 2.0 over two inherited pipes.

The names, argument orders and wire format are those of Apache TVM v0.16 to v0.18.
"""

from __future__ import annotations

import abc
import base64
import collections
import enum
import functools
import json
import os
import pathlib
import select
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, BinaryIO

PROTOCOL_VERSION = 1

# Once the client is gone, how long a request in progress may go on before the server and
# everything it started are killed.
_ORPHAN_GRACE_S = 1.0


class ErrorCode(enum.IntEnum):
    """Error codes of a reply."""

    SERVER_ERROR = -32000
    PARSE_ERROR = -32700
    INVALID_REQUEST = -32600
    METHOD_NOT_FOUND = -32601
    INVALID_PARAMS = -32602
    INTERNAL_ERROR = -32603


class JSONRPCError(Exception):
    """An error with the members a JSON-RPC error object has.

    Args:
        code: See `ErrorCode`.
        message: A short text; for a server error, the name of the exception's class.
        data: Anything JSON can carry, or None.
        client_context: Set by clients: what was asked for.
    """

    def __init__(
        self, code: int, message: str, data: Any = None, client_context: str | None = None
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.data = data
        self.client_context = client_context

    def to_json(self) -> dict[str, Any]:
        """The error object of a reply."""
        return {"code": int(self.code), "message": self.message, "data": self.data}


class ServerError(JSONRPCError):
    """A valid request that could not be carried out (code -32000).

    A subclass passes no message: its class name travels as the message, so that the client can
    tell the cases apart.
    """

    def __init__(
        self, message: str | None = None, data: Any = None, client_context: str | None = None
    ) -> None:
        if message is None:
            message = type(self).__name__
        super().__init__(ErrorCode.SERVER_ERROR, message, data, client_context)

    @classmethod
    def from_exception(cls, exc: BaseException, **kwargs: Any) -> ServerError:
        """Wrap `exc`, keeping its traceback for the client."""
        error = cls(**kwargs)
        error.keep_traceback(exc)
        return error

    def keep_traceback(self, exc: BaseException) -> None:
        """Put the traceback of `exc` into `data`, unless one is there already."""
        import traceback  # for trouble only: it costs some milliseconds

        if self.data is None:
            self.data = {}
        if isinstance(self.data, dict):
            text = "".join(traceback.format_exception(type(exc), exc, exc.__traceback__))
            self.data.setdefault("traceback", text)


class TransportClosedError(ServerError):
    """The transport is not open, or can no longer carry data."""


class IoTimeoutError(ServerError):
    """A transfer did not happen in time."""


class UnsupportedTVMVersionError(ServerError):
    """This server does not work with the TVM version named in `server_info_query`."""


class ProjectError(ServerError):
    """A failure the user can act on: one line, a cure, and the tool output behind it.

    Args:
        message: One line that names the thing in trouble.
        cure: What to do next.
        details: For example a compiler's output.
    """

    def __init__(self, message: str, cure: str = "", details: str = "") -> None:
        super().__init__(data={"message": message, "cure": cure, "details": details})

    def __str__(self) -> str:
        return str(self.data["message"])


class DoesNotFitError(ProjectError):
    """The board has too little memory for the model."""


class OptionError(ProjectError):
    """An option has a value the platform cannot use."""


_ProjectOption = collections.namedtuple(
    "_ProjectOption", ("name", "choices", "default", "type", "required", "optional", "help")
)


class ProjectOption(_ProjectOption):
    """What a platform tells about one of its options.

    Args:
        name: The option's key.
        type: "str", "int", "bool", "path" or "list".
        required: Names of the methods that cannot do without it.
        optional: Names of the methods that use it when given.
        choices: Every allowed value, or None for no limit.
        default: The value used when the option is not given.
        help: One line for a person.
    """

    __slots__ = ()

    def __new__(cls, name: str, **attributes: Any) -> ProjectOption:
        """Check that the attributes that every option has are there."""
        if "type" not in attributes:
            raise ValueError(f"option {name}: type= is missing")
        if not attributes.get("required") and not attributes.get("optional"):
            raise ValueError(f"option {name}: neither required= nor optional= names a method")
        for key in ("choices", "default", "required", "optional"):
            attributes.setdefault(key, None)
        attributes.setdefault("help", "")
        return super().__new__(cls, name=name, **attributes)

    def replace(self, attributes: Mapping[str, Any]) -> ProjectOption:
        """A copy with `attributes` changed."""
        return self._replace(**attributes)


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


# How bytes may travel. The published API knows base85 alone; a client that finds others in the
# answer to server_info_query may ask for one by the parameter `encoding`. Python has base64 in C,
# and is some fifty times faster with it.
_ENCODINGS: dict[str, tuple[Callable[[bytes], bytes], Callable[[str], bytes]]] = {
    "base85": (base64.b85encode, base64.b85decode),
    "base64": (base64.b64encode, functools.partial(base64.b64decode, validate=True)),
}


def _server_info_query(handler: ProjectAPIHandler, tvm_version: str) -> dict[str, Any]:
    info = handler.server_info_query(tvm_version)
    path = info.model_library_format_path
    return {
        "protocol_version": PROTOCOL_VERSION,
        "platform_name": info.platform_name,
        "is_template": info.is_template,
        "model_library_format_path": None if path is None else str(path),
        "project_options": [option._asdict() for option in info.project_options],
        "transport_encodings": list(_ENCODINGS),
    }


def _generate_project(
    handler: ProjectAPIHandler,
    model_library_format_path: str,
    standalone_crt_dir: str,
    project_dir: str,
    options: dict[str, Any],
) -> None:
    handler.generate_project(
        pathlib.Path(model_library_format_path),
        pathlib.Path(standalone_crt_dir),
        pathlib.Path(project_dir),
        options,
    )


def _build(handler: ProjectAPIHandler, options: dict[str, Any]) -> None:
    handler.build(options)


def _flash(handler: ProjectAPIHandler, options: dict[str, Any]) -> None:
    handler.flash(options)


def _open_transport(handler: ProjectAPIHandler, options: dict[str, Any]) -> dict[str, Any]:
    return {"timeouts": dict(handler.open_transport(options)._asdict())}


def _close_transport(handler: ProjectAPIHandler) -> None:
    handler.close_transport()


def _read_transport(
    handler: ProjectAPIHandler, n: int, timeout_sec: float | None, encoding: str = "base85"
) -> dict[str, str]:
    encode, _ = _encoding(encoding)
    return {"data": encode(handler.read_transport(n, timeout_sec)).decode("ascii")}


def _write_transport(
    handler: ProjectAPIHandler, data: str, timeout_sec: float | None, encoding: str = "base85"
) -> None:
    _, decode = _encoding(encoding)
    handler.write_transport(decode(data), timeout_sec)


def _encoding(name: str) -> tuple[Callable[[bytes], bytes], Callable[[str], bytes]]:
    if name not in _ENCODINGS:
        raise JSONRPCError(ErrorCode.INVALID_PARAMS, f"encoding: {name} is unknown")
    return _ENCODINGS[name]


# Each method with its parameters: the name and the JSON types allowed.
_NUMBER_OR_NONE = (int, float, type(None))
_METHODS: dict[str, tuple[Callable[..., Any], dict[str, type | tuple[type, ...]]]] = {
    "server_info_query": (_server_info_query, {"tvm_version": str}),
    "generate_project": (
        _generate_project,
        {
            "model_library_format_path": str,
            "standalone_crt_dir": str,
            "project_dir": str,
            "options": dict,
        },
    ),
    "build": (_build, {"options": dict}),
    "flash": (_flash, {"options": dict}),
    "open_transport": (_open_transport, {"options": dict}),
    "close_transport": (_close_transport, {}),
    "read_transport": (_read_transport, {"n": int, "timeout_sec": _NUMBER_OR_NONE}),
    "write_transport": (_write_transport, {"data": str, "timeout_sec": _NUMBER_OR_NONE}),
}
# Parameters that need not be given.
_OPTIONAL: dict[str, dict[str, type]] = {
    "read_transport": {"encoding": str},
    "write_transport": {"encoding": str},
}


class ProjectAPIServer:
    """Serves one client, one request at a time.

    Args:
        read_file: Requests, one JSON object a line.
        write_file: Replies, likewise; unbuffered.
        handler: The platform.
    """

    def __init__(
        self, read_file: BinaryIO, write_file: BinaryIO, handler: ProjectAPIHandler
    ) -> None:
        self._read_file = read_file
        self._write_file = write_file
        self._handler = handler

    def serve_forever(self) -> None:
        """Serve until the client closes its end."""
        while self.serve_one_request():
            pass

    def serve_one_request(self) -> bool:
        """Read, carry out and answer one request.

        Returns:
            Whether another request can be read.
        """
        line = self._read_file.readline()
        if not line:
            return False
        request_id: Any = None
        try:
            request = _parse_request(line)
            request_id = request.get("id")
            result = self._dispatch(request)
        except JSONRPCError as exc:
            if isinstance(exc, ServerError):
                exc.keep_traceback(exc)
            return self._reply({"id": request_id, "error": exc.to_json()})
        except Exception as exc:  # noqa: BLE001 - any failure of the handler belongs to the client
            error = ServerError.from_exception(exc, message=type(exc).__name__)
            return self._reply({"id": request_id, "error": error.to_json()})
        return self._reply({"id": request_id, "result": result})

    def _dispatch(self, request: dict[str, Any]) -> Any:
        method = request["method"]
        if method not in _METHODS:
            raise JSONRPCError(ErrorCode.METHOD_NOT_FOUND, f"{method}: no such method")
        function, parameters = _METHODS[method]
        given = request["params"]
        for name, types in parameters.items():
            if name not in given:
                raise JSONRPCError(
                    ErrorCode.INVALID_PARAMS, f"method {method}: parameter {name} not given"
                )
            if not isinstance(given[name], types):
                raise JSONRPCError(
                    ErrorCode.INVALID_PARAMS,
                    f"method {method}: parameter {name} has the wrong type: {given[name]!r}",
                )
        optional = _OPTIONAL.get(method, {})
        for name in optional.keys() & given.keys():
            if not isinstance(given[name], optional[name]):
                raise JSONRPCError(
                    ErrorCode.INVALID_PARAMS,
                    f"method {method}: parameter {name} has the wrong type: {given[name]!r}",
                )
        extra = sorted(set(given) - set(parameters) - set(optional))
        if extra:
            raise JSONRPCError(
                ErrorCode.INVALID_PARAMS, f"method {method}: unknown parameter {', '.join(extra)}"
            )
        return function(self._handler, **given)

    def _reply(self, members: dict[str, Any]) -> bool:
        text = json.dumps({"jsonrpc": "2.0", **members}) + "\n"
        remaining = memoryview(text.encode("utf-8"))
        try:
            while remaining:
                written = self._write_file.write(remaining)
                remaining = remaining[written or 0 :]
        except BrokenPipeError:
            return False
        return True


def _parse_request(line: bytes) -> dict[str, Any]:
    try:
        request = json.loads(line)
    except ValueError as exc:
        raise JSONRPCError(ErrorCode.PARSE_ERROR, f"request is not JSON: {exc}") from exc
    if not isinstance(request, dict) or request.get("jsonrpc") != "2.0":
        raise JSONRPCError(ErrorCode.INVALID_REQUEST, "request is not a JSON-RPC 2.0 object")
    if not isinstance(request.get("method"), str):
        raise JSONRPCError(ErrorCode.INVALID_REQUEST, "request: method is not a string")
    if not isinstance(request.get("params"), dict):
        raise JSONRPCError(ErrorCode.INVALID_REQUEST, "request: params is not an object")
    if not isinstance(request.get("id"), (str, int, type(None))):
        raise JSONRPCError(ErrorCode.INVALID_REQUEST, "request: id is no string, number or null")
    return request


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


def default_project_options(**changes: Mapping[str, Any]) -> list[ProjectOption]:
    """The options common to all platforms.

    Args:
        changes: For an option's name, the attributes to change:
            `default_project_options(verbose={"optional": ["build"]})`.

    Raises:
        ValueError: `changes` names no common option.
    """
    generate = ["generate_project"]
    options = {
        option.name: option
        for option in (
            ProjectOption(
                "verbose",
                optional=generate,
                type="bool",
                default=False,
                help="Show every command of the build.",
            ),
            ProjectOption(
                "project_type", required=generate, type="str", help="Kind of project to generate."
            ),
            ProjectOption("board", required=generate, type="str", help="Board to build for."),
            ProjectOption(
                "cmsis_path",
                optional=generate,
                type="str",
                default=os.environ.get("CMSIS_PATH"),
                help="Folder that holds CMSIS.",
            ),
            ProjectOption(
                "warning_as_error",
                optional=generate,
                type="bool",
                default=False,
                help="Stop at compiler warnings.",
            ),
            ProjectOption(
                "compile_definitions",
                optional=generate,
                type="str",
                default=None,
                help="Further definitions for the compiler, such as -DNAME=VALUE.",
            ),
            ProjectOption(
                "extra_files_tar",
                optional=generate,
                type="str",
                default=None,
                help="A tar archive to unpack into the generated project.",
            ),
        )
    }
    for name, attributes in changes.items():
        if name not in options:
            raise ValueError(f"{name} is not one of the common project options")
        options[name] = options[name].replace(attributes)
    return list(options.values())


def _kill_when_orphaned(read_fd: int) -> None:
    """End this server and all it started once the client is gone; runs in a thread of its own."""
    poll = select.poll()
    poll.register(read_fd, 0)  # hang-up and errors are reported always, data never
    poll.poll()
    time.sleep(_ORPHAN_GRACE_S)  # an idle server leaves by itself, at end of file
    if os.getpgrp() == os.getpid():
        os.killpg(0, signal.SIGKILL)
    os._exit(1)


def main(handler: ProjectAPIHandler, argv: Sequence[str] | None = None) -> None:
    """Serve `handler` on the pipes named on the command line.

    Args:
        handler: The platform.
        argv: Command line without the program; `sys.argv[1:]` if None.
    """
    import argparse  # only a server that really runs pays for it

    parser = argparse.ArgumentParser(description="microTVM Project API server")
    parser.add_argument("--read-fd", type=int, required=True, help="pipe to read requests from")
    parser.add_argument("--write-fd", type=int, required=True, help="pipe to write replies to")
    parser.add_argument("--debug", action="store_true", help="log each request to stderr")
    arguments = parser.parse_args(sys.argv[1:] if argv is None else list(argv))
    if arguments.debug:
        import logging

        logging.basicConfig(level=logging.DEBUG, stream=sys.stderr)

    os.set_inheritable(arguments.read_fd, False)
    os.set_inheritable(arguments.write_fd, False)
    threading.Thread(target=_kill_when_orphaned, args=(arguments.read_fd,), daemon=True).start()
    with (
        os.fdopen(arguments.read_fd, "rb") as read_file,
        os.fdopen(arguments.write_fd, "wb", buffering=0) as write_file,
    ):
        ProjectAPIServer(read_file, write_file, handler).serve_forever()
    try:
        handler.close_transport()
    except Exception as exc:  # noqa: BLE001 - the client is gone: nobody else to tell
        sys.stderr.write(f"close_transport: {exc}\n")
