"""A board that is a labgrid place: a coordinator and exporter on this machine.

The exporter shares the board's port through ser2net; labgrid's own drivers switch its power
(ExternalPowerDriver) and flash it (a BootstrapProtocol driver that loads over the probe).
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from pytest_microtvm.boards import load_boards
from pytest_microtvm.deadline import Deadline
from pytest_microtvm.lab.file import LabBoard
from pytest_microtvm.lab.locks import ThingLocks, lock_directory, things_of
from pytest_microtvm.virtual_lab.client import VirtualLab
from tests.contract.running import need_tools
from tests.plugin.running import MODELS

pytest.importorskip("labgrid", reason="labgrid is missing: pip install 'pytest-microtvm[labgrid]'")

KIND = "netduinoplus2"
BOARD = load_boards()[KIND]
MODEL = "sine_int8.tflite"

DRIVER = """\
import subprocess

import attr
from labgrid import target_factory
from labgrid.driver.common import Driver
from labgrid.protocol import BootstrapProtocol


@target_factory.reg_driver
@attr.s(eq=False)
class GdbLoadDriver(Driver, BootstrapProtocol):
    probe = attr.ib(validator=attr.validators.instance_of(str))

    @Driver.check_active
    def load(self, filename=None):
        connect = f"target extended-remote {self.probe}"
        command = ["gdb-multiarch", "-nx", "-batch"]
        for step in (connect, "load", "compare-sections", "monitor reset", "detach"):
            command += ["-ex", step]
        subprocess.run([*command, filename], check=True, timeout=60)
"""

ENVIRONMENT = """\
targets:
  main:
    resources:
      RemotePlace:
        name: desk
    drivers:
      ExternalPowerDriver:
        cmd_on: {on}
        cmd_off: {off}
      GdbLoadDriver:
        probe: {probe}
imports:
  - gdb_load.py
"""


def program(name: str) -> str:
    beside = Path(sys.executable).with_name(name)
    return str(beside) if beside.is_file() else name


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


class Grid:
    """A coordinator, an exporter and a place called desk."""

    def __init__(self, directory: Path, lab: VirtualLab, stack: ExitStack) -> None:
        self.directory = directory
        self.coordinator = f"127.0.0.1:{free_port()}"
        self._stack = stack
        self._start("coordinator", "labgrid-coordinator", "-l", self.coordinator)
        self._wait_for_coordinator()
        device = os.path.realpath(lab["left"].port)
        (directory / "exporter.yaml").write_text(f"board:\n  RawSerialPort:\n    port: {device}\n")
        self._start(
            "exporter",
            *("labgrid-exporter", "-c", self.coordinator, "-n", "exporter"),
            *("--hostname", "127.0.0.1", str(directory / "exporter.yaml")),
        )
        (directory / "gdb_load.py").write_text(DRIVER)
        module = "pytest_microtvm.virtual_lab.switch"
        switch = f"{sys.executable} -m {module} {lab['left'].control} left"
        (directory / "environment.yaml").write_text(
            ENVIRONMENT.format(
                on=f"{switch} power_on", off=f"{switch} power_off", probe=lab.probes["left"]
            )
        )
        limit = Deadline(60)
        while "exporter/board" not in self.client("resources"):
            assert not limit.expired, (directory / "exporter.log").read_text()
            time.sleep(0.2)
        self.client("-p", "desk", "create")
        self.client("-p", "desk", "add-match", "exporter/board/*")

    @property
    def environment(self) -> dict[str, str]:
        return {"LG_ENV": str(self.directory / "environment.yaml")}

    def client(self, *arguments: str, **environment: str) -> str:
        """Run labgrid-client, again while the coordinator or the exporter are only starting."""
        limit = Deadline(30)
        while True:
            result = subprocess.run(
                [program("labgrid-client"), "-x", self.coordinator, *arguments],
                env={**os.environ, **environment},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=30,
            )
            if result.returncode == 0:
                return result.stdout
            assert not limit.expired, result.stderr
            time.sleep(0.2)

    def _wait_for_coordinator(self) -> None:
        """The exporter gives up where nobody listens."""
        host, port = self.coordinator.split(":")
        limit = Deadline(30)
        while True:
            try:
                socket.create_connection((host, int(port)), 1).close()
            except OSError:
                assert not limit.expired, "the coordinator does not listen"
                time.sleep(0.1)
            else:
                return

    def _start(self, name: str, *command: str) -> None:
        log = self._stack.enter_context((self.directory / f"{name}.log").open("w"))
        process = subprocess.Popen(
            [program(command[0]), *command[1:]],
            cwd=self.directory,  # the coordinator writes its places here
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
        self._stack.callback(process.wait)
        self._stack.callback(process.terminate)


@pytest.fixture(scope="module")
def lab():
    need_tools(BOARD)
    if shutil.which("ser2net") is None and not Path("/usr/sbin/ser2net").exists():
        pytest.skip("ser2net is missing; install it: apt-get install ser2net")
    if shutil.which("gdb-multiarch") is None:
        pytest.skip("gdb-multiarch is missing; install it: apt-get install gdb-multiarch")
    with VirtualLab({"left": BOARD}) as lab:
        yield lab


@pytest.fixture(scope="module")
def grid(lab, tmp_path_factory):
    with ExitStack() as stack:
        yield Grid(tmp_path_factory.mktemp("grid"), lab, stack)


@pytest.fixture
def run_on_place(run_pytest, workspace, grid, tmp_path):
    shutil.copy(MODELS / MODEL, workspace)
    (workspace / "microtvm-lab.toml").write_text(
        f'[[board]]\nname = "desk"\nkind = "{KIND}"\nplace = "desk"\n'
        f'coordinator = "{grid.coordinator}"\n'
    )
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {"MICROTVM_LEASES": str(tmp_path / "leases"), "PATH": path, **grid.environment}

    def run(*arguments, status, **more):
        return run_pytest(
            *("-p", "labgrid", MODEL, f"--microtvm-board={KIND}", *arguments),
            env={**environment, **more},
            status=status,
        )

    return run


def test_a_model_on_a_place(run_on_place, grid, lab) -> None:
    flashed = []
    for _ in range(2):
        outcome = run_on_place("--microtvm-executor=aot", status=0)
        assert outcome.lines("plugins: ")[0].count("labgrid")  # the two get along
        (record,) = outcome.records
        assert (record["lab_boards"], record["incidents"]) == (["desk"], [])
        assert "desk" not in grid.client("who")
        flashed.append(lab["left"].flashed)
    assert flashed[0] == flashed[1] > 0


def test_a_place_whose_board_has_no_power(run_on_place, lab) -> None:
    run_on_place(status=0)
    lab["left"].power_off()
    outcome = run_on_place("--microtvm-timeout=10", status=0)
    assert len(outcome.records[0]["incidents"]) == 1
    assert outcome.lines("was power-cycled; trying once more")


def test_a_place_that_somebody_has(run_on_place, grid, tmp_path) -> None:
    somebody = {"LG_USERNAME": "alice", "LG_HOSTNAME": "elsewhere"}
    grid.client("-p", "desk", "acquire", **somebody)
    outcome = run_on_place("--microtvm-lease-timeout=1", status=1)
    assert "Place desk is already acquired by elsewhere/alice" in outcome.output
    assert "1 error" in outcome.summary
    grid.client("-p", "desk", "release", **somebody)
    # The user, at work with labgrid-client, is somebody as well.
    grid.client("-p", "desk", "acquire")
    outcome = run_on_place("--microtvm-lease-timeout=1", status=1)
    assert "You have already acquired place desk" in outcome.output
    # But a run that was killed is not: its mark says so.
    board = LabBoard("desk", KIND, place="desk", coordinator=grid.coordinator)
    leases = lock_directory({"MICROTVM_LEASES": str(tmp_path / "leases")})
    ThingLocks(leases, things_of(board)).place_mark.touch()
    run_on_place(status=0)
    assert "desk" not in grid.client("who")


def test_a_place_that_is_not_there(run_on_place, workspace) -> None:
    path = workspace / "microtvm-lab.toml"
    path.write_text(path.read_text().replace('place = "desk"', 'place = "shelf"'))
    outcome = run_on_place(status=1)
    assert "labgrid: RemotePlace shelf not found in configuration file" in outcome.output
    path.write_text(
        f'[[board]]\nname = "desk"\nkind = "{KIND}"\nplace = "desk"\n'
        f'coordinator = "127.0.0.1:{free_port()}"\n'
    )
    outcome = run_on_place(status=1)
    assert "labgrid: Could not connect to coordinator" in outcome.output
    assert "Traceback" not in outcome.output
