"""One bridge process for many sessions: used again only when all is well with it."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from pytest_microtvm.boards import load_boards
from pytest_microtvm.errors import MicroTVMError, ProtocolError, TransportError
from pytest_microtvm.forks import Program
from pytest_microtvm.process import package_environment
from pytest_microtvm.project.firmware import Firmware
from pytest_microtvm.session import bridges as bridges_module
from pytest_microtvm.session.bridges import BridgeProcess, Bridges
from pytest_microtvm.session.device import Session
from pytest_microtvm.session.rpc import RpcClient
from tests.contract.libraries import DOUBLE
from tests.contract.sessions import build_firmware
from tests.patience import PATIENCE_S, await_end, wait_until

X = {"x": np.array([1.5, -2.0, 0.0, 3.0], np.float32)}
TIMEOUT_S = PATIENCE_S


@pytest.fixture(scope="module")
def firmware(tmp_path_factory: pytest.TempPathFactory) -> Firmware:
    return build_firmware(tmp_path_factory.mktemp("double"), DOUBLE, load_boards()["host"])


@pytest.fixture
def bridges() -> Iterator[Bridges]:
    bridges = Bridges()
    yield bridges
    bridges.close()


def pid_of(session: Session) -> int:
    assert session._bridge is not None
    return session._bridge.pid


def run_once(session: Session) -> None:
    assert np.array_equal(session.run(X)["y"], 2 * X["x"])


def test_sessions_one_after_the_other_share_a_bridge(firmware, bridges):
    pids = set()
    for _ in range(3):
        with Session(firmware, TIMEOUT_S, bridges=bridges) as session:
            run_once(session)
            pids.add(pid_of(session))
    assert len(pids) == 1


def test_sessions_at_the_same_time_do_not(firmware, bridges):
    with (
        Session(firmware, TIMEOUT_S, bridges=bridges) as one,
        Session(firmware, TIMEOUT_S, bridges=bridges) as other,
    ):
        assert pid_of(one) != pid_of(other)
        run_once(one)
        run_once(other)


def test_a_closed_session_leaves_no_device_behind(firmware, bridges):
    with Session(firmware, TIMEOUT_S, bridges=bridges) as session:
        bridge = pid_of(session)
        assert children_of(bridge)
    assert Path(f"/proc/{bridge}").exists()
    assert children_of(bridge) == []


def test_a_bridge_whose_device_failed_is_not_used_again(firmware, bridges):
    with Session(firmware, TIMEOUT_S, bridges=bridges) as session:
        bridge = pid_of(session)
        (server,) = children_of(bridge)
        (device,) = children_of(server)
        os.kill(device, signal.SIGKILL)
        with pytest.raises(TransportError):
            session.run(X)
    assert not Path(f"/proc/{bridge}").exists()
    with Session(firmware, TIMEOUT_S, bridges=bridges) as session:
        run_once(session)
        assert pid_of(session) != bridge


def test_a_stuck_bridge_is_killed(firmware, bridges, monkeypatch):
    monkeypatch.setattr(bridges_module, "CLOSE_TIMEOUT_S", 0.5)
    session = Session(firmware, TIMEOUT_S, bridges=bridges)
    session.open()
    bridge = pid_of(session)
    (server,) = children_of(bridge)
    session._drop_client()  # it would wait for the bridge
    os.kill(bridge, signal.SIGSTOP)
    start = time.monotonic()
    session.close()
    assert time.monotonic() - start < TIMEOUT_S
    assert not Path(f"/proc/{bridge}").exists()
    wait_until(lambda: not Path(f"/proc/{server}").exists())
    with Session(firmware, TIMEOUT_S, bridges=bridges) as session:
        run_once(session)


def test_a_bridge_that_dies_while_idle_is_replaced(firmware, bridges):
    with Session(firmware, TIMEOUT_S, bridges=bridges) as session:
        bridge = pid_of(session)
    os.kill(bridge, signal.SIGKILL)
    wait_until(lambda: state_of(bridge) == "Z")
    with Session(firmware, TIMEOUT_S, bridges=bridges) as session:
        run_once(session)
        assert pid_of(session) != bridge


def test_a_bridge_is_known_to_be_dead_before_its_fork_server_tells(firmware, bridges):
    with Session(firmware, TIMEOUT_S, bridges=bridges) as session:
        run_once(session)
    bridge = bridges.take()
    server = parent_of(bridge.pid)
    os.kill(server, signal.SIGSTOP)
    try:
        assert bridge.is_alive
        os.kill(bridge.pid, signal.SIGKILL)
        wait_until(lambda: state_of(bridge.pid) == "Z")
        assert not bridge.is_alive
    finally:
        os.kill(server, signal.SIGCONT)
        bridge.kill()


def test_a_session_on_a_dead_bridge_is_told_so():
    told: list[object] = []
    bridge = BridgeProcess()
    os.kill(bridge.pid, signal.SIGKILL)
    bridge._events.join()
    bridge.start({}, told.append)
    assert told == [{"event": "closed"}]
    assert not bridge.finish()
    bridge.kill()


def test_a_bridge_that_dies_in_the_middle_of_a_line_has_ended(tmp_path, monkeypatch):
    program = tmp_path / "bridge.py"
    program.write_text("""import os\nos.read(0, 1000)\nos.write(1, b'{"event": "log", "te')\n""")
    monkeypatch.setattr(bridges_module, "BRIDGE", Program(str(program)))
    told: list[object] = []
    bridge = BridgeProcess()
    bridge.start({}, told.append)
    bridge._events.join(TIMEOUT_S)
    assert told == [{"event": "closed"}]
    assert not bridge.finish()
    bridge.kill()


def state_of(pid: int) -> str:
    return _status_of(pid)[0]


def parent_of(pid: int) -> int:
    return int(_status_of(pid)[1])


def _status_of(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def victims_of(bridge: int) -> dict[str, int]:
    """The processes of a session, by what they are."""
    found = {"bridge": bridge}
    for server in children_of(bridge):
        found["server"] = server
        for device in children_of(server):
            found["device"] = device
    return found


@pytest.mark.parametrize(
    ("phase", "victim"),
    [
        *[("start", victim) for victim in ("bridge", "server")],
        *itertools.product(("ready", "open", "run", "close"), ("bridge", "server", "device")),
    ],
)
def test_a_part_that_is_killed_in_any_phase_is_one_error(
    firmware, bridges, monkeypatch, victim, phase
):
    session = Session(firmware, TIMEOUT_S, bridges=bridges)
    everything: dict[str, int] = {}
    killed = threading.Event()

    def kill_it() -> None:
        end = time.monotonic() + TIMEOUT_S
        while victim not in everything and time.monotonic() < end:
            everything.update(victims_of(pid_of(session)))
        os.kill(everything[victim], signal.SIGKILL)
        killed.set()

    def call_after(function):
        def call(*arguments, **named):
            kill_it()
            return function(*arguments, **named)

        return call

    def call_before(function):
        def call(*arguments, **named):
            result = function(*arguments, **named)
            threading.Thread(target=kill_it, daemon=True).start()
            return result

        return call

    if phase == "start":
        monkeypatch.setattr(session, "_start_bridge", call_before(session._start_bridge))
    elif phase in ("ready", "open"):
        change = call_after if phase == "ready" else call_before
        monkeypatch.setattr("pytest_microtvm.session.device.RpcClient", change(RpcClient))
    start = time.monotonic()
    is_error = phase != "close"
    with pytest.raises(MicroTVMError) if is_error else contextlib.nullcontext() as caught:
        session.open()
        if phase in ("run", "close"):
            kill_it()
        assert killed.wait(TIMEOUT_S)
        if is_error:
            session.run(X)
    if caught is not None:
        assert "\n" not in caught.value.one_line()
    session.close()
    assert time.monotonic() - start < TIMEOUT_S
    await_end(*everything.values())
    monkeypatch.undo()
    with Session(firmware, TIMEOUT_S, bridges=bridges) as session:
        run_once(session)


def test_a_stale_firmware_does_not_spoil_the_bridge(firmware, bridges):
    stale = dataclasses.replace(firmware, build_id="another")
    with pytest.raises(ProtocolError, match="stale firmware"):
        Session(stale, TIMEOUT_S, bridges=bridges).open()
    with Session(firmware, TIMEOUT_S, bridges=bridges) as session:
        run_once(session)


@pytest.mark.parametrize("closed", ["0<&-", "1>&-", "2>&-", "0<&- 1>&- 2>&-"])
def test_standard_streams_may_be_closed(firmware, tmp_path, closed):
    script = (
        "import pickle, sys\n"
        "from pathlib import Path\n"
        "from pytest_microtvm.session.device import Session\n"
        "firmware, inputs = pickle.loads(Path(sys.argv[1]).read_bytes())\n"
        f"with Session(firmware, {TIMEOUT_S}) as session:\n"
        "    Path(sys.argv[2]).write_bytes(session.run(inputs)['y'].tobytes())\n"
    )
    given, answer = tmp_path / "given", tmp_path / "answer"
    given.write_bytes(pickle.dumps((firmware, X)))
    command = f'exec "$@" {closed}'
    arguments = [sys.executable, "-c", script, str(given), str(answer)]
    subprocess.run(["/bin/sh", "-c", command, "sh", *arguments], env=package_environment())
    assert answer.read_bytes() == (2 * X["x"]).tobytes()


def children_of(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def test_a_bridge_that_cannot_be_started_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_arguments: object, **_named: object) -> None:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr("pytest_microtvm.forks.client.subprocess.Popen", fail)
    with pytest.raises(TransportError, match="cannot be started: Too many open files") as caught:
        BridgeProcess()
    assert "ulimit -n" in str(caught.value)
