"""The Project API client against servers that misbehave in every way."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from pytest_microtvm import errors
from pytest_microtvm.deadline import Deadline
from pytest_microtvm.errors import (
    BuildError,
    ConfigError,
    FlashError,
    ProtocolError,
    TransportTimeout,
)
from pytest_microtvm.project import server_process
from pytest_microtvm.project.client import ProjectAPIClient
from pytest_microtvm.project.descriptions import ServerDescription
from pytest_microtvm.project.server_process import LAUNCH_SCRIPT, SERVER_FILE, ServerProcess
from tests.patience import PATIENCE_S, await_end, wait_until

HEADER = """\
import os, signal, subprocess, sys, time
from pytest_microtvm.project import server

class Handler(server.ProjectAPIHandler):
    def server_info_query(self, tvm_version):
        return server.ServerInfo("demo", True, None, [])
    def generate_project(self, *a): pass
    def build(self, options): pass
    def flash(self, options): pass
    def open_transport(self, options):
        return server.TransportTimeouts(1, 2, 3)
    def close_transport(self): pass
    def read_transport(self, n, timeout_sec): raise server.TransportClosedError()
    def write_transport(self, data, timeout_sec): raise server.TransportClosedError()

"""
FOOTER = """
server.main(Handler())
"""

MakeServer = Callable[[str], Path]


@pytest.fixture
def make_server(tmp_path: Path) -> MakeServer:
    """Writes a server whose methods are replaced by those of `body`; the folder."""

    def make(body: str = "") -> Path:
        methods = textwrap.indent(textwrap.dedent(body), "    ")
        (tmp_path / SERVER_FILE).write_text(HEADER + methods + FOOTER)
        return tmp_path

    return make


def open_client(directory: Path) -> ProjectAPIClient:
    return ProjectAPIClient(directory, Deadline(PATIENCE_S))


def await_file(path: Path) -> str:
    wait_until(lambda: path.exists() and path.read_text())
    return path.read_text()


def test_info_and_timeouts(make_server: MakeServer) -> None:
    with open_client(make_server("")) as client:
        assert client.info.platform_name == "demo"
        assert client.info.is_template
        assert client.info.model_library_path is None
        timeouts = client.open_transport({}, Deadline(5))
        assert timeouts.session_start_timeout_s == 2.0
        client.build({}, Deadline(5))
        client.close_transport(Deadline(5))


def test_a_server_written_for_tvm_finds_all_of_its_options(make_server: MakeServer) -> None:
    directory = make_server(
        """
        def server_info_query(self, tvm_version):
            option = server.ProjectOption
            options = [option("cmd", type="str", default="west", optional=["build"])]
            options.append(option("extra", type="str", optional=["generate_project"]))
            return server.ServerInfo("demo", True, None, options)
        def build(self, options):
            raise server.ProjectError(repr(sorted(options.items())))
        """
    )
    with open_client(directory) as client:
        for given, cmd in (({}, "west"), ({"cmd": "mine"}, "mine")):
            expected = f"[('cmd', '{cmd}'), ('extra', None)]"
            with pytest.raises(BuildError) as caught:
                client.build(given, Deadline(5))
            assert caught.value.message == expected


def test_a_launch_script_is_given_the_servers_path_first(make_server: MakeServer) -> None:
    """As those of TVM v0.16 expect it."""
    directory = make_server("")
    script = directory / LAUNCH_SCRIPT
    script.write_text(f'#!/bin/sh\nexec {sys.executable} "$1" "$2" "$3" "$4" "$5"\n')
    with open_client(directory) as client:
        assert client.info.platform_name == "demo"


def test_empty_reads_of_tvms_serial_templates_are_waits(make_server: MakeServer) -> None:
    directory = make_server("def read_transport(self, n, timeout_sec): return b''")
    with open_client(directory) as client, pytest.raises(TransportTimeout, match="did not send"):
        client.read_transport(1, Deadline(0.1))


def test_launch_script_is_preferred(make_server: MakeServer) -> None:
    directory = make_server("")
    (directory / SERVER_FILE).rename(directory / "elsewhere.py")
    script = directory / LAUNCH_SCRIPT
    script.write_text(f'#!/bin/sh\nexec {sys.executable} elsewhere.py "$@"\n')
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    with open_client(directory) as client:
        assert client.info.platform_name == "demo"


def test_a_folder_without_a_server(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=SERVER_FILE):
        open_client(tmp_path).open()


def test_a_server_that_does_not_start(tmp_path: Path) -> None:
    (tmp_path / SERVER_FILE).write_text("import no_such_module\n")
    with pytest.raises(BuildError) as caught:
        open_client(tmp_path).open()
    assert "ended with exit status 1" in caught.value.message
    assert "no_such_module" in caught.value.details


@pytest.mark.parametrize(("method", "error"), [("build", "BuildError"), ("flash", "FlashError")])
def test_a_crash_is_the_error_of_its_step(make_server: MakeServer, method: str, error: str) -> None:
    directory = make_server(
        f"""
        def {method}(self, options):
            print("last words", file=sys.stderr, flush=True)
            os.kill(os.getpid(), signal.SIGSEGV)
        """
    )
    with open_client(directory) as client, pytest.raises(getattr(errors, error)) as caught:
        getattr(client, method)({}, Deadline(10))
    assert "platform demo was ended by SIGSEGV" in caught.value.message
    assert "last words" in caught.value.details


def test_a_hang_ends_at_the_deadline(make_server: MakeServer) -> None:
    directory = make_server("def build(self, options): time.sleep(60)")
    start = time.monotonic()
    with open_client(directory) as client:
        with pytest.raises(BuildError, match="demo does not answer"):
            client.build({}, Deadline(0.2))
        with pytest.raises(FlashError, match="out of order"):
            client.flash({}, Deadline(0.2))
    assert time.monotonic() - start < PATIENCE_S


def test_a_server_that_does_not_read_its_requests(make_server: MakeServer) -> None:
    directory = make_server("def build(self, options): time.sleep(60)")
    with open_client(directory) as client:
        os.kill(client._process.pid, signal.SIGSTOP)
        with pytest.raises(errors.TransportTimeout, match="does not answer"):
            client._call("write_transport", {"data": "x" * 1_000_000}, Deadline(0.2))


def test_an_exception_is_told_with_its_traceback(make_server: MakeServer) -> None:
    directory = make_server("def build(self, options): return {}['zephyr_base']")
    with open_client(directory) as client, pytest.raises(BuildError) as caught:
        client.build({}, Deadline(10))
    assert caught.value.message == "platform demo: KeyError: 'zephyr_base'"
    assert "in build" in caught.value.details


def test_a_project_error_is_told_without(make_server: MakeServer) -> None:
    directory = make_server(
        "def build(self, options): raise server.ProjectError('no gcc', 'install it', 'the log')"
    )
    with open_client(directory) as client, pytest.raises(BuildError) as caught:
        client.build({}, Deadline(10))
    error = caught.value
    assert (error.message, error.cure, error.details) == ("no gcc", "install it", "the log")


@pytest.mark.parametrize(
    ("raised", "error"),
    [
        ("server.TransportClosedError()", "TransportClosed"),
        ("server.IoTimeoutError()", "TransportTimeout"),
        ("server.OptionError('bad')", "ConfigError"),
        ("OSError('unplugged')", "TransportError"),
    ],
)
def test_errors_of_the_transport(make_server: MakeServer, raised: str, error: str) -> None:
    directory = make_server(f"def read_transport(self, n, timeout_sec): raise {raised}")
    with open_client(directory) as client, pytest.raises(errors.MicroTVMError) as caught:
        client.read_transport(10, Deadline(1))
    assert type(caught.value).__name__ == error


ECHO = """
def write_transport(self, data, timeout_sec):
    self.echo = data

def read_transport(self, n, timeout_sec):
    return self.echo[:n]
"""
# As of a server written before encodings other than base85.
ONLY_BASE85 = """
from pytest_microtvm.project.server import json_rpc as api
for name in ("_ENCODINGS", "_OPTIONAL"):
    setattr(api, name, {key: value for key, value in getattr(api, name).items() if key == "base85"})
"""


@pytest.mark.parametrize("preparation", ["", ONLY_BASE85])
def test_bytes_survive_the_way(make_server: MakeServer, preparation: str) -> None:
    directory = make_server(ECHO)
    server = directory / SERVER_FILE
    server.write_text(server.read_text().replace("server.main(", f"{preparation}\nserver.main("))
    data = bytes(range(256)) * 3
    with open_client(directory) as client:
        client.write_transport(data, Deadline(1))
        assert client.read_transport(1000, Deadline(1)) == data


def test_a_read_of_the_wrong_size(make_server: MakeServer) -> None:
    directory = make_server("def read_transport(self, n, timeout_sec): return bytes(11)")
    with open_client(directory) as client, pytest.raises(ProtocolError, match="11 bytes"):
        client.read_transport(10, Deadline(1))


@pytest.mark.parametrize(
    "reply",
    [
        "b'garbage\\n'",
        "b'\\xff\\xfe\\n'",
        "b'[]\\n'",
        'b\'{"jsonrpc": "2.0", "id": 99, "result": null}\\n\'',
    ],
)
def test_garbage_in_place_of_a_reply(tmp_path: Path, reply: str) -> None:
    (tmp_path / SERVER_FILE).write_text(
        f"import os, sys, time\nos.write(int(sys.argv[4]), {reply})\ntime.sleep(60)\n"
    )
    with pytest.raises(BuildError, match="sent something that is no reply"):
        open_client(tmp_path).open()


@pytest.mark.parametrize("result", ["{}", "[]", "null", '{"protocol_version": 2}'])
def test_a_malformed_server_info(tmp_path: Path, result: str) -> None:
    (tmp_path / SERVER_FILE).write_text(
        "import os, sys, time\n"
        f'os.write(int(sys.argv[4]), b\'{{"jsonrpc": "2.0", "id": 1, "result": {result}}}\\n\')\n'
        "time.sleep(60)\n"
    )
    with pytest.raises(ProtocolError):
        open_client(tmp_path).open()


def test_what_the_server_prints_does_not_disturb(make_server: MakeServer) -> None:
    directory = make_server("def build(self, options): print('x' * 1_000_000, flush=True)")
    with open_client(directory) as client:
        client.build({}, Deadline(10))


def test_how_far_the_tools_are_is_told_while_they_run(make_server: MakeServer) -> None:
    body = """
        def build(self, options):
            print("[1/3] Building a.c\\n[2/3] Building [9/9].c", flush=True)
            while not os.path.exists("go-on"):
                time.sleep(0.01)
    """
    directory = make_server(body)
    points = []

    def look() -> None:
        points.append(client.progress())
        if points[-1] == "[2/3]":
            (directory / "go-on").touch()

    client = ProjectAPIClient(directory, Deadline(10), keep_waiting=look)
    with client:
        client.build({}, Deadline(10))
    assert points[-1] == "[2/3]"


SPAWN = """
def build(self, options):
    child = subprocess.Popen(["sleep", "60"])
    with open("pids", "w") as file:
        file.write(f"{os.getpid()} {child.pid}")
    time.sleep(60)
"""


def test_close_kills_the_servers_children(make_server: MakeServer) -> None:
    directory = make_server(SPAWN)
    with open_client(directory) as client, pytest.raises(BuildError):
        client.build({}, Deadline(1.0))
    await_end(*map(int, await_file(directory / "pids").split()))


def test_an_interrupt_ends_the_server(
    make_server: MakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = make_server(SPAWN)

    def interrupt(*_args: object) -> None:
        await_file(directory / "pids")
        raise KeyboardInterrupt

    info = ServerDescription("demo", True, None, (), None, None)
    monkeypatch.setattr(ProjectAPIClient, "_query_info", lambda *_: info)
    monkeypatch.setattr(ServerProcess, "_receive", interrupt)
    with pytest.raises(KeyboardInterrupt), open_client(directory) as client:
        client.build({}, Deadline(10))
    await_end(*map(int, await_file(directory / "pids").split()))


def test_a_killed_client_leaves_nothing(make_server: MakeServer) -> None:
    directory = make_server(SPAWN)
    code = (
        "from pathlib import Path; from pytest_microtvm.deadline import Deadline;"
        "from pytest_microtvm.project.client import ProjectAPIClient\n"
        f"with ProjectAPIClient(Path({str(directory)!r}), Deadline(10)) as client:\n"
        "    client.build({}, Deadline(60))\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code])
    try:
        pids = [int(pid) for pid in await_file(directory / "pids").split()]
    finally:
        process.kill()
        process.wait()
    await_end(*pids)


def test_an_idle_server_leaves_by_itself(
    make_server: MakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_process, "_CLOSE_TIMEOUT_S", 4 * PATIENCE_S)
    directory = make_server("def close_transport(self): open('closed', 'w').write('x')")
    client = open_client(directory)
    client.open()
    start = time.monotonic()
    client.close()
    client.close()
    assert time.monotonic() - start < PATIENCE_S  # else it would be killed, after more than that
    assert (directory / "closed").exists()
