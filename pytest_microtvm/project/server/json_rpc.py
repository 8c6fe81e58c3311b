"""Serves a platform: newline-delimited JSON-RPC 2.0 over two inherited pipes.

The names, argument orders and wire format are those of Apache TVM v0.16 to v0.18; what is ours
besides can be left out by a client and by a handler.
"""

from __future__ import annotations

import base64
import functools
import json
import os
import pathlib
import select
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, BinaryIO

from .api import ProjectAPIHandler
from .errors import ErrorCode, JSONRPCError, ServerError, no_room

PROTOCOL_VERSION = 1

# Once the client is gone, how long a request in progress may go on before the server and
# everything it started are killed.
_ORPHAN_GRACE_S = 1.0


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
    description = {
        "protocol_version": PROTOCOL_VERSION,
        "platform_name": info.platform_name,
        "is_template": info.is_template,
        "model_library_format_path": None if path is None else str(path),
        "project_options": [option._asdict() for option in info.project_options],
        "transport_encodings": list(_ENCODINGS),
    }
    keys, files = handler.board_keys(), _built_files(handler)
    if keys is not None:
        description["board_keys"] = [key._asdict() for key in keys]
    if files is not None:
        description["built_files"] = files
    return description


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


def _build(handler: ProjectAPIHandler, options: dict[str, Any]) -> dict[str, Any] | None:
    handler.build(options)
    files = _built_files(handler)
    return None if files is None else {"built_files": files}


def _built_files(handler: ProjectAPIHandler) -> dict[str, Any] | None:
    files = handler.built_files()
    return None if files is None else files._asdict()


def _board_query(
    handler: ProjectAPIHandler, board: dict[str, Any], identify: bool
) -> dict[str, Any]:
    support = handler.board_query(board, identify)
    return {**support._asdict(), "tools": [tool._asdict() for tool in support.tools]}


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
    "board_query": (_board_query, {"board": dict, "identify": bool}),
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
            error = no_room(exc) or ServerError.from_exception(exc, message=type(exc).__name__)
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
    parser.add_argument("server", nargs="?", help=argparse.SUPPRESS)  # of a launch script
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
