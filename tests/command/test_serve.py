"""`serve`, and `run --rpc-tracker`, through TVM's own tracker and client."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from pytest_microtvm.boards import load_boards
from pytest_microtvm.process import kill_group, package_environment
from pytest_microtvm.project.server_process import SERVER_FILE
from tests.command.conftest import Microtvm
from tests.contract.running import need_tools

ROOT = Path(__file__).resolve().parents[2]
SINE = ROOT / "conftest_examples" / "models" / "sine_int8.tflite"
KEY = "bench7"
OFFERED = f"is offered as {KEY} by the RPC tracker at"

_SERVE = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
from pytest_microtvm.command.main import main
raise SystemExit(main(sys.argv[1:]))
"""

_CLIENT = """
import sys
from tvm import rpc
tracker = rpc.connect_tracker("127.0.0.1", int(sys.argv[1]))
session = tracker.request(sys.argv[2], session_timeout=30)
print(session.get_function("microtvm.executor")(), flush=True)
if sys.argv[3] == "stay":
    sys.stdin.read()
"""


class Served:
    """`microtvm serve` in a process of its own."""

    def __init__(self, project: Path, tracker: str) -> None:
        arguments = ["serve", str(project), "--tracker", tracker, "--key", KEY]
        self.process = subprocess.Popen(
            [sys.executable, "-c", _SERVE, *arguments],
            stderr=subprocess.PIPE,
            text=True,
            env=package_environment(),
            start_new_session=True,
        )

    def until(self, words: str) -> str:
        """The line with these words."""
        assert self.process.stderr is not None
        seen = []
        for line in self.process.stderr:
            if words in line:
                return line
            seen.append(line)
        raise AssertionError("".join(seen))

    def descendants(self) -> list[int]:
        """The processes below it: bridges, and what they started."""
        found: list[int] = []
        parents = [self.process.pid]
        while parents:
            parent = parents.pop()
            with contextlib.suppress(OSError):
                below = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
                parents += map(int, below)
                found += map(int, below)
        return found

    def kill_firmware(self) -> None:
        """End what stands for the device: what is no Python."""
        killed = 0
        for pid in self.descendants():
            with contextlib.suppress(FileNotFoundError):  # it has ended, and was not waited for
                if "python" not in str(Path(f"/proc/{pid}/exe").readlink()):
                    os.kill(pid, signal.SIGKILL)
                    killed += 1
        assert killed

    def interrupt(self) -> int:
        """Ctrl-C."""
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(20)


@pytest.fixture
def tracker() -> Iterator[tuple[subprocess.Popen[str], str]]:
    pytest.importorskip("tornado", reason="tornado is missing: pip install tornado")
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.command.rpc_tracker", str(os.getpid())],
        cwd=ROOT,
        env=package_environment(),
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    try:
        yield process, f"127.0.0.1:{process.stdout.readline().strip()}"
    finally:
        kill_group(process)
        process.stdout.close()


@pytest.fixture
def project(microtvm: Microtvm) -> Path:
    need_tools(load_boards()["host"])
    microtvm("create", "p", SINE, "host", "-o", "board=host", status=0)
    microtvm("build", "p", status=0)
    return Path("p").absolute()


@pytest.fixture
def served(project: Path, tracker: tuple[subprocess.Popen[str], str]) -> Iterator[Served]:
    serving = Served(project, tracker[1])
    try:
        serving.until(OFFERED)
        yield serving
    finally:
        below = serving.descendants()
        kill_group(serving.process)
        assert serving.process.stderr is not None
        serving.process.stderr.close()
        for pid in below:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def _client(port: str, then: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", _CLIENT, port, KEY, then],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_clients_one_after_the_other(
    microtvm: Microtvm,
    tracker: tuple[subprocess.Popen[str], str],
    served: Served,
) -> None:
    address = tracker[1]
    remote = ("--rpc-tracker", address, "--rpc-key", KEY)
    here = microtvm("run", "p", "--print-top", "1", "-o", "here.npz", status=0)
    there = microtvm("run", "p", "--print-top", "1", "-o", "there.npz", *remote, status=0)
    assert here.out == there.out
    with np.load("here.npz") as expected, np.load("there.npz") as actual:
        assert expected.files == actual.files
        assert all((expected[name] == actual[name]).all() for name in expected.files)

    stock = _client(address.rpartition(":")[2], "stay")
    assert stock.stdout is not None
    assert stock.stdout.readline() == "aot\n"
    busy = microtvm("run", "p", *remote, "--timeout", "1", status=1).err
    assert "the board offered as 'bench7' by the RPC tracker at" in busy
    assert "served other clients for 1 s" in busy
    _, said = stock.communicate("", timeout=60)
    assert stock.returncode == 0, said
    microtvm("run", "p", *remote, status=0)

    none = microtvm("run", "p", "--rpc-tracker", address, "--rpc-key", "other", status=1).err
    assert (
        f"no board is offered as 'other' by the RPC tracker at {address}, which has {KEY}" in none
    )
    assert f"start microtvm serve PROJECT_DIR --tracker {address} --key other" in none

    below = served.descendants()
    assert below
    assert served.interrupt() == 130
    assert not [pid for pid in below if Path(f"/proc/{pid}").exists()]


def test_the_board_dies_and_cannot_be_started_again(
    tracker: tuple[subprocess.Popen[str], str], served: Served, project: Path
) -> None:
    stock = _client(tracker[1].rpartition(":")[2], "stay")
    assert stock.stdout is not None
    assert stock.stdout.readline() == "aot\n"
    served.until("a client has the board")
    served.kill_firmware()
    assert "microtvm: host: " in served.until("; starting the board again")
    stock.communicate("", timeout=60)
    served.until(OFFERED)
    shutil.rmtree(project)
    served.kill_firmware()
    assert f"holds no {SERVER_FILE}" in served.until(f"{project} ")
    assert served.process.wait(20) == 2


def test_the_tracker_goes(
    microtvm: Microtvm, tracker: tuple[subprocess.Popen[str], str], served: Served
) -> None:
    process, address = tracker
    below = served.descendants()
    kill_group(process)
    line = served.until("RPC tracker")
    assert line.startswith(f"microtvm: the RPC tracker at {address} is gone: ")
    assert line.endswith("; start it again, then this command\n")
    assert served.process.wait(20) == 1
    assert not [pid for pid in below if Path(f"/proc/{pid}").exists()]
    refused = f"no RPC tracker answers at {address}: Connection refused; start one"
    assert refused in microtvm("serve", "p", "--tracker", address, "--key", KEY, status=1).err
    remote = ("--rpc-tracker", address, "--rpc-key", KEY)
    assert refused in microtvm("run", "p", *remote, status=1).err


def test_wrong_usage(microtvm: Microtvm, project: Path) -> None:
    for words, message in (
        (("run", "p", "--rpc-key", KEY), "--rpc-tracker and --rpc-key go together"),
        (("serve", "p", "--tracker", "here", "--key", KEY), "'here' is no HOST:PORT"),
        (("serve", "p", "--tracker", "127.0.0.1:9190", "--key", "a b"), "'a b' is no key"),
    ):
        assert message in microtvm(*words, status=2).err


def test_another_program_is_no_tracker(microtvm: Microtvm, project: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            connection, _ = server.accept()
            with connection:
                connection.sendall(b"HTTP")

        thread = threading.Thread(target=answer)
        thread.start()
        address = f"127.0.0.1:{server.getsockname()[1]}"
        err = microtvm("run", "p", "--rpc-tracker", address, "--rpc-key", KEY, status=1).err
        thread.join()
    assert f"no RPC tracker answers at {address}: another program is there" in err
