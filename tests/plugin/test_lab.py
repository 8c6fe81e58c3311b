"""Runs on boards of a lab: virtual boards, flashed over a probe and talked to over a port."""

from __future__ import annotations

import shutil
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from pytest_microtvm.boards import load_boards
from pytest_microtvm.deadline import Deadline
from pytest_microtvm.lab.file import load_lab
from pytest_microtvm.lab.locks import ThingLocks, lock_directory, things_of
from pytest_microtvm.lab.pool import Lab, Quarantine
from pytest_microtvm.project.server.serial_port import holder_of
from pytest_microtvm.virtual_lab.client import VirtualLab
from tests.contract.running import need_tools
from tests.plugin.running import MODELS, run_microtvm

KIND = "netduinoplus2"
BOARD = load_boards()[KIND]

MODEL = "sine_int8.tflite"
USES_BOARD = f"""\
import pytest
@pytest.mark.microtvm_model("{MODEL}")
"""


@pytest.fixture
def lab_environment(tmp_path):
    return {"MICROTVM_LEASES": str(tmp_path / "leases")}


@pytest.fixture
def start_lab(workspace, lab_environment):
    """Starts a lab of virtual boards in the workspace, where the plugin finds it by itself."""
    need_tools(BOARD)
    labs = []

    def start(*names: str) -> VirtualLab:
        lab = VirtualLab(dict.fromkeys(names, BOARD), workspace)
        lab.open()
        labs.append(lab)
        return lab

    yield start
    for lab in labs:
        lab.close()


@pytest.fixture
def run_on_lab(run_pytest, workspace, lab_environment):
    """Runs pytest with boards of the lab."""
    shutil.copy(MODELS / MODEL, workspace)

    def run(*arguments, status=None, **environment):
        return run_pytest(
            f"--microtvm-board={KIND}",
            *arguments,
            env={**lab_environment, **environment},
            status=status,
        )

    return run


def one_line(outcome, text: str) -> str:
    """The first line with a text; pytest's summary repeats it."""
    line: str = outcome.lines(text)[0]
    return line


def test_a_typo_in_the_lab_file(run_on_lab, workspace) -> None:
    (workspace / "microtvm-lab.toml").write_text(
        f'[[board]]\nname = "left"\nkind = "{KIND}"\nprot = "/dev/ttyACM0"\n'
    )
    outcome = run_on_lab(MODEL, status=4)
    line = one_line(outcome, "ERROR:")
    assert f"{workspace}/microtvm-lab.toml: board 1 (left): unknown key prot" in line
    assert "did you mean port?" in line
    assert "Traceback" not in outcome.output
    run_on_lab(MODEL, "--microtvm-lab=/dev/null", status=0)  # emulated, for want of a board


def test_boards_that_are_only_real_have_to_be_here(run_pytest) -> None:
    outcome = run_pytest("--microtvm-board=nucleo_f746zg", MODELS / MODEL, status=4)
    assert "no nucleo_f746zg is here, and nothing emulates it" in outcome.output
    outcome = run_pytest(
        "--microtvm-board=nucleo_f746zg", "--microtvm-platform=baremetal", MODELS / MODEL, status=4
    )
    assert (
        "board nucleo_f746zg has no table for the platform baremetal, only for zephyr"
        in outcome.output
    )


def test_every_board_of_a_pool_works_and_is_flashed_once(run_on_lab, start_lab) -> None:
    lab = start_lab("left", "right")
    for _ in range(2):
        outcome = run_on_lab(MODEL, "--microtvm-executor=aot,graph", "-n2", status=0)
        used = [record["lab_boards"] for record in outcome.records]
        assert sorted(used) == [["left"], ["right"]]
        assert [lab["left"].flashed, lab["right"].flashed] == [1, 1]
        assert all(record["incidents"] == [] for record in outcome.records)


def test_more_workers_than_tests(run_on_lab, start_lab) -> None:
    lab = start_lab("left", "right", "third")
    for _ in range(2):
        outcome = run_on_lab(MODEL, "-n2", status=0)
        assert "2 passed" in outcome.summary
        assert outcome.lines("fewer tests than workers (2): repeating some on further boards")
        [record] = outcome.records
        assert len(record["lab_boards"]) == 2
    assert lab["left"].flashed + lab["right"].flashed + lab["third"].flashed == 2
    outcome = run_on_lab(MODEL, "-n4", status=0)
    assert "3 passed" in outcome.summary
    assert outcome.records[0]["lab_boards"] == ["left", "right", "third"]


def test_nobody_is_idle(run_on_lab, start_lab) -> None:
    start_lab("left", "right")
    for options in (
        (),
        ("-n2", "--dist=each"),
        ("-n2", "--dist=loadfile"),
        ("-n2", "--microtvm-executor=aot,graph"),
    ):
        outcome = run_on_lab(MODEL, *options, "-v", status=0)
        assert not outcome.lines("#2"), options


def test_a_repetition_can_be_run_alone(run_on_lab, start_lab) -> None:
    start_lab("left", "right")
    outcome = run_on_lab(f"{MODEL}::aot[{KIND}#2]", "-v", status=0)
    assert "1 passed" in outcome.summary
    assert outcome.lines(f"aot[{KIND}#2] PASSED")


def test_more_workers_than_boards(run_on_lab, start_lab, workspace) -> None:
    start_lab("left")
    (workspace / "test_many.py").write_text(
        USES_BOARD + '@pytest.mark.parametrize("n", range(6))\n'
        "def test_it(microtvm, n):\n    microtvm.check()\n"
    )
    outcome = run_on_lab("-n2", status=0)
    assert "6 passed" in outcome.summary


def test_two_users_one_board(run_on_lab, start_lab, tmp_path, lab_environment, monkeypatch) -> None:
    lab = start_lab("left")
    monkeypatch.setenv("MICROTVM_LEASES", lab_environment["MICROTVM_LEASES"])
    other = Lab(load_lab(lab.lab_file), Quarantine(tmp_path), "another user's work")
    with other.acquire(KIND, Deadline(5)):
        outcome = run_on_lab(MODEL, "--microtvm-lease-timeout=0.5", status=1)
        assert "1 error" in outcome.summary
        line = one_line(outcome, "LeaseError")
        assert "left is held by process" in line
        assert "another user's work" in line
        assert outcome.lines(f"microtvm: waiting for {KIND}: left is held by process")
    run_on_lab(MODEL, "--microtvm-lease-timeout=0.5", status=0)


def test_a_killed_worker_holds_nothing(
    run_on_lab, start_lab, workspace, lab_environment, tmp_path
) -> None:
    (left,) = load_lab(start_lab("left").lab_file)
    pid_file = workspace / "pid"
    (workspace / "test_killed.py").write_text(
        "import os, pathlib, signal\n" + USES_BOARD + "def test_dies(microtvm):\n"
        "    microtvm.run()\n"
        "    assert microtvm.session.is_open\n"
        "    pathlib.Path('pid.new').write_text(str(os.getpid()))\n"
        "    os.rename('pid.new', 'pid')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    (workspace / "test_others.py").write_text(
        USES_BOARD + '@pytest.mark.parametrize("n", range(4))\n'
        "def test_it(microtvm, n):\n    microtvm.check()\n"
    )
    locks = ThingLocks(lock_directory(lab_environment), things_of(left))
    with ThreadPoolExecutor() as pool:
        running = pool.submit(run_on_lab, "-n2", status=1)
        while not pid_file.exists() and not running.done():
            time.sleep(0.02)
        limit = Deadline(5)
        while (holder := locks.holder) is not None and holder.pid == int(pid_file.read_text()):
            assert not limit.expired, "the lease outlived its holder"
            time.sleep(0.02)
        outcome = running.result()
    assert "4 passed, 1 error" in outcome.summary, outcome.output
    assert outcome.lines("crashed or was killed while it ran test_killed.py")
    # Nothing of the killed worker is left at the port either.
    assert holder_of(left.port) == ""


def test_a_dead_board_is_replaced(run_on_lab, start_lab, workspace) -> None:
    lab = start_lab("left", "right")
    lab["left"].unplug()
    (workspace / "test_many.py").write_text(
        USES_BOARD + '@pytest.mark.parametrize("n", range(4))\n'
        "def test_it(microtvm, n):\n    microtvm.check()\n"
    )
    outcome = run_on_lab("--microtvm-timeout=10", status=0)
    (record,) = outcome.records
    assert record["lab_boards"] == ["left", "right"]
    first, second = record["incidents"]
    assert first.startswith(f"{KIND} (left): ")
    assert second.endswith("left is in quarantine now")
    assert outcome.lines("left is in quarantine now")


def test_without_another_board_each_test_says_why(run_on_lab, start_lab, workspace) -> None:
    lab = start_lab("left")
    lab["left"].unplug()
    (workspace / "test_many.py").write_text(
        USES_BOARD + '@pytest.mark.parametrize("n", range(4))\n'
        "def test_it(microtvm, n):\n    microtvm.check()\n"
    )
    outcome = run_on_lab("-n2", "--microtvm-timeout=10", status=1)
    assert "4 errors" in outcome.summary
    lines = [line for line in outcome.output.splitlines() if line.startswith("E  ")]
    reasons = [line for line in outcome.output.splitlines() if "no gdb server answers" in line]
    assert len(reasons) >= 4, lines
    lab["left"].plug()
    assert "4 passed" in run_on_lab("-n2", status=0).summary


def test_a_board_that_comes_back_with_its_power(run_on_lab, start_lab) -> None:
    lab = start_lab("left")
    lab["left"].power_off()
    outcome = run_on_lab(MODEL, "--microtvm-timeout=10", status=0)
    assert outcome.records is not None
    (incident,) = outcome.records[0]["incidents"]
    assert incident.startswith(f"{KIND} (left): ")
    assert outcome.lines("was power-cycled; trying once more")


def test_a_board_that_leaves_during_a_call(run_on_lab, start_lab, workspace) -> None:
    lab = start_lab("left")
    switches = lab["left"]
    (workspace / "test_leaves.py").write_text(
        "from pathlib import Path\n"
        "from pytest_microtvm.virtual_lab.client import BoardSwitches\n"
        f"board = BoardSwitches(Path({str(switches.control)!r}), 'left', Path())\n"
        + USES_BOARD
        + "def test_leaves(microtvm):\n"
        "    session = microtvm.session\n"
        "    board.unplug()\n"
        "    try:\n"
        "        microtvm.run()\n"
        "    finally:\n"
        "        board.plug()\n"
        + USES_BOARD
        + "def test_goes_on(microtvm):\n    microtvm.check()\n"
    )
    outcome = run_on_lab(status=1)
    assert "1 passed, 1 error" in outcome.summary
    assert f"{KIND} (left): " in one_line(outcome, "TransportClosed:")


def test_lab_check(start_lab, workspace, lab_environment, shared_cache) -> None:

    lab = start_lab("left", "right")
    environment = {**lab_environment, "XDG_CACHE_HOME": str(shared_cache)}
    status, output = run_microtvm("lab", "check", cwd=workspace, **environment)
    assert status == 0, output
    assert f"{KIND} (left): flashed in " in output
    assert f"{KIND} (right): flashed in " in output
    lab["right"].unplug()
    status, output = run_microtvm("lab", "check", cwd=workspace, **environment)
    assert status == 1
    assert f"{KIND} (left): flashed in " in output
    assert f"{KIND} (right): no gdb server answers" in output
    assert "1 of 2 boards are out of order" in output
    status, output = run_microtvm("lab", "check", "left", cwd=workspace, **environment)
    assert status == 0, output
    status, output = run_microtvm("lab", "check", "middle", cwd=workspace, **environment)
    assert status == 2
    assert "has no board 'middle'; it has left, right" in output
