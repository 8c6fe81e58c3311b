"""The Project API server: the published names and the exact wire format."""

from __future__ import annotations

import base64
import errno
import io
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from pytest_microtvm.project import server
from tests.patience import PATIENCE_S


class Recorder(server.ProjectAPIHandler):
    """Remembers the calls; `failure` is raised by build."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []
        self.failure: Exception | None = None

    def server_info_query(self, tvm_version: str) -> server.ServerInfo:
        self.calls.append(("server_info_query", tvm_version))
        option = server.ProjectOption(
            "board", required=["build"], choices=("a", "b"), type="str", help="Which board."
        )
        return server.ServerInfo("recorder", False, Path("/p/model.tar"), [option])

    def generate_project(
        self,
        model_library_format_path: Path,
        standalone_crt_dir: Path,
        project_dir: Path,
        options: dict[str, Any],
    ) -> None:
        self.calls.append((model_library_format_path, standalone_crt_dir, project_dir, options))

    def build(self, options: dict[str, Any]) -> None:
        self.calls.append(("build", options))
        if self.failure is not None:
            raise self.failure

    def flash(self, options: dict[str, Any]) -> None:
        self.calls.append(("flash", options))

    def open_transport(self, options: dict[str, Any]) -> server.TransportTimeouts:
        return server.TransportTimeouts(
            session_start_retry_timeout_sec=2.0,
            session_start_timeout_sec=5.0,
            session_established_timeout_sec=0,
        )

    def close_transport(self) -> None:
        self.calls.append(("close_transport",))

    def read_transport(self, n: int, timeout_sec: float | None) -> bytes:
        return bytes(range(n))

    def write_transport(self, data: bytes, timeout_sec: float | None) -> None:
        self.calls.append(("write_transport", data, timeout_sec))


def exchange(handler: server.ProjectAPIHandler, *requests: object) -> list[Any]:
    """Serve requests (bytes: as they stand) and return the replies."""
    lines = [
        request if isinstance(request, bytes) else json.dumps(request).encode() + b"\n"
        for request in requests
    ]
    replies = io.BytesIO()
    server.ProjectAPIServer(io.BytesIO(b"".join(lines)), replies, handler).serve_forever()
    return [json.loads(line) for line in replies.getvalue().splitlines()]


def call(method: str, **params: object) -> dict[str, object]:
    return {"jsonrpc": "2.0", "id": 7, "method": method, "params": params}


def test_server_info_travels_as_published() -> None:
    handler = Recorder()
    (reply,) = exchange(handler, call("server_info_query", tvm_version="0.27.0"))
    assert handler.calls == [("server_info_query", "0.27.0")]
    assert reply == {
        "jsonrpc": "2.0",
        "id": 7,
        "result": {
            "protocol_version": 1,
            "platform_name": "recorder",
            "is_template": False,
            "model_library_format_path": "/p/model.tar",
            "project_options": [
                {
                    "name": "board",
                    "choices": ["a", "b"],
                    "default": None,
                    "type": "str",
                    "required": ["build"],
                    "optional": None,
                    "help": "Which board.",
                }
            ],
            "transport_encodings": ["base85", "base64"],
        },
    }


def test_every_method_reaches_the_handler() -> None:
    handler = Recorder()
    data = bytes(range(256))
    replies = exchange(
        handler,
        call(
            "generate_project",
            model_library_format_path="/m.tar",
            standalone_crt_dir="/crt",
            project_dir="/p",
            options={"board": "a"},
        ),
        call("build", options={}),
        call("flash", options={"x": 1}),
        call("open_transport", options={}),
        call("write_transport", data=base64.b85encode(data).decode(), timeout_sec=0.5),
        call("read_transport", n=5, timeout_sec=None),
        call("close_transport"),
    )
    assert all("error" not in reply for reply in replies)
    assert handler.calls == [
        (Path("/m.tar"), Path("/crt"), Path("/p"), {"board": "a"}),
        ("build", {}),
        ("flash", {"x": 1}),
        ("write_transport", data, 0.5),
        ("close_transport",),
    ]
    assert replies[3]["result"] == {
        "timeouts": {
            "session_start_retry_timeout_sec": 2.0,
            "session_start_timeout_sec": 5.0,
            "session_established_timeout_sec": 0,
        }
    }
    assert base64.b85decode(replies[5]["result"]["data"]) == bytes(range(5))


def test_bytes_travel_as_base64_when_asked() -> None:
    handler = Recorder()
    data = bytes(range(256))
    text = base64.b64encode(data).decode()
    written, read, unknown, wrong, garbage = exchange(
        handler,
        call("write_transport", data=text, timeout_sec=0.5, encoding="base64"),
        call("read_transport", n=200, timeout_sec=None, encoding="base64"),
        call("read_transport", n=5, timeout_sec=None, encoding="base99"),
        call("read_transport", n=5, timeout_sec=None, encoding=64),
        call("write_transport", data="~~", timeout_sec=0.5, encoding="base64"),
    )
    assert handler.calls == [("write_transport", data, 0.5)]
    assert written["result"] is None
    assert base64.b64decode(read["result"]["data"]) == bytes(range(200))
    assert unknown["error"]["message"] == "encoding: base99 is unknown"
    assert "parameter encoding has the wrong type" in wrong["error"]["message"]
    assert "error" in garbage


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        (b"not json\n", -32700),
        (b"[]\n", -32600),
        ({"jsonrpc": "1.0", "id": 1, "method": "build", "params": {}}, -32600),
        ({"jsonrpc": "2.0", "id": 1, "method": 3, "params": {}}, -32600),
        ({"jsonrpc": "2.0", "id": 1, "method": "build", "params": []}, -32600),
        ({"jsonrpc": "2.0", "id": [], "method": "build", "params": {}}, -32600),
        (call("no_such_method"), -32601),
        (call("__init__"), -32601),
        (call("build"), -32602),
        (call("build", options=3), -32602),
        (call("build", options={}, more=1), -32602),
    ],
)
def test_bad_requests(request_: object, code: int) -> None:
    replies = exchange(Recorder(), request_, call("close_transport"))
    assert replies[0]["error"]["code"] == code
    assert replies[1]["result"] is None  # and the server goes on


def test_errors_carry_the_class_name_and_the_traceback() -> None:
    handler = Recorder()
    handler.failure = server.TransportClosedError()
    (reply,) = exchange(handler, call("build", options={}))
    assert reply["error"]["code"] == -32000
    assert reply["error"]["message"] == "TransportClosedError"
    assert "in build" in reply["error"]["data"]["traceback"]

    handler.failure = KeyError("zephyr_base")
    (reply,) = exchange(handler, call("build", options={}))
    assert reply["error"]["code"] == -32000
    assert reply["error"]["message"] == "KeyError"
    assert "zephyr_base" in reply["error"]["data"]["traceback"]


def test_project_error_carries_what_the_user_needs() -> None:
    handler = Recorder()
    handler.failure = server.ProjectError("no compiler", cure="install it", details="sh: ...")
    (reply,) = exchange(handler, call("build", options={}))
    assert reply["error"]["message"] == "ProjectError"
    data = reply["error"]["data"]
    assert (data["message"], data["cure"], data["details"]) == (
        "no compiler",
        "install it",
        "sh: ...",
    )


def test_a_full_disk_is_no_fault_of_the_template() -> None:
    handler = Recorder()
    handler.failure = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "from", None, "/tmp/to")
    (reply,) = exchange(handler, call("build", options={}))
    data = reply["error"]["data"]
    assert data["message"] == "cannot write /tmp/to: No space left on device"
    assert "make room" in data["cure"]
    assert "traceback" not in data

    handler.failure = FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), "main.c")
    (reply,) = exchange(handler, call("build", options={}))
    assert "traceback" in reply["error"]["data"]


def test_options_as_templates_make_them() -> None:
    option = server.ProjectOption("port", optional=["flash"], type="int", default=None, help="...")
    assert option.replace({"default": 3}).default == 3
    assert option.required is None
    with pytest.raises(ValueError, match="type="):
        server.ProjectOption("port", optional=["flash"])
    with pytest.raises(ValueError, match="required="):
        server.ProjectOption("port", type="int")
    options = server.default_project_options(verbose={"optional": ["build"]})
    assert {option.name for option in options} == {
        "verbose",
        "project_type",
        "board",
        "cmsis_path",
        "warning_as_error",
        "compile_definitions",
        "extra_files_tar",
    }
    assert next(o for o in options if o.name == "verbose").optional == ["build"]
    with pytest.raises(ValueError, match="colour"):
        server.default_project_options(colour={})


def test_fd_helpers() -> None:
    read_fd, write_fd = os.pipe()
    os.set_blocking(read_fd, False)
    os.set_blocking(write_fd, False)
    start = time.monotonic()
    with pytest.raises(server.IoTimeoutError):
        server.read_with_timeout(read_fd, 10, 0.05)
    assert time.monotonic() - start < PATIENCE_S
    assert server.write_with_timeout(write_fd, b"abc", 1.0) == 3
    assert server.read_with_timeout(read_fd, 10, None) == b"abc"
    written = server.write_with_timeout(write_fd, bytes(1 << 20), 0.05)
    assert 0 < written < 1 << 20
    with pytest.raises(server.IoTimeoutError):
        server.write_with_timeout(write_fd, b"x", 0.0)
    while written:
        written -= len(server.read_with_timeout(read_fd, 1 << 20, 1.0))
    os.close(write_fd)
    with pytest.raises(server.TransportClosedError):
        server.read_with_timeout(read_fd, 10, 1.0)
    read_fd, write_fd = os.pipe()
    os.close(read_fd)
    with pytest.raises(server.TransportClosedError):
        server.write_with_timeout(write_fd, b"abc", 1.0)


def test_the_server_imports_only_the_standard_library() -> None:
    code = (
        "import sys; before = set(sys.modules); from pytest_microtvm.project import server;"
        "print(*sorted({name.partition('.')[0] for name in set(sys.modules) - before}))"
    )
    output = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    )
    foreign = set(output.stdout.split()) - set(sys.stdlib_module_names)
    assert foreign == {"pytest_microtvm"}
