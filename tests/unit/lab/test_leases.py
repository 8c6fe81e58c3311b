"""Leases: one user a board, whatever it is called, and none left behind by the dead."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import threading
from pathlib import Path

import filelock
import pytest

from pytest_microtvm.deadline import Deadline
from pytest_microtvm.errors import ConfigError, LeaseError
from pytest_microtvm.lab.file import LabBoard
from pytest_microtvm.lab.locks import _read_note, lock_directory, things_of
from pytest_microtvm.lab.pool import Lab, Quarantine
from pytest_microtvm.process import package_environment

KIND = "netduinoplus2"
LEFT = LabBoard("left", KIND, port="/dev/microtvm-left", probe="localhost:3333")
RIGHT = LabBoard("right", KIND, port="/dev/microtvm-right", probe="localhost:3334")
NOW = 0.0

HOLDER = """
import sys, time
from pathlib import Path
from pytest_microtvm.deadline import Deadline
from pytest_microtvm.lab.file import LabBoard
from pytest_microtvm.lab.pool import Lab, Quarantine
board = LabBoard("theirs", "netduinoplus2", port="/dev/microtvm-left")
lab = Lab([board], Quarantine(Path(sys.argv[1])), "make coffee")
lease = lab.acquire("netduinoplus2", Deadline(10))
print("held", flush=True)
time.sleep(60)
"""


@pytest.fixture(autouse=True)
def locks(tmp_path, monkeypatch):
    monkeypatch.setenv("MICROTVM_LEASES", str(tmp_path / "leases"))


@pytest.fixture
def new_lab(tmp_path):
    """Makes the lab of one more process of a run."""
    tmp_path.joinpath("quarantine").mkdir()
    return lambda *boards: Lab(boards, Quarantine(tmp_path / "quarantine"))


@pytest.fixture
def other_process(tmp_path):
    """Another process, with a lab file of its own, that holds the left board."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)],
        env=package_environment(),
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert select.select([process.stdout], [], [], 30)[0]
        assert process.stdout.readline() == b"held\n"
        yield process
        process.kill()


def test_one_board_one_user(new_lab) -> None:
    mine, theirs = new_lab(LEFT), new_lab(LEFT)
    with mine.acquire(KIND, Deadline(NOW)) as lease:
        assert lease.board == LEFT
        with pytest.raises(LeaseError, match="left is held by process"):
            theirs.acquire(KIND, Deadline(NOW))
    theirs.acquire(KIND, Deadline(NOW)).release()


def test_a_pool_gives_whichever_is_free(new_lab) -> None:
    lab = new_lab(LEFT, RIGHT)
    first, second = (lab.acquire(KIND, Deadline(NOW)) for _ in range(2))
    assert {first.board, second.board} == {LEFT, RIGHT}
    with pytest.raises(LeaseError, match="no board of the lab is free") as caught:
        lab.acquire(KIND, Deadline(NOW))
    assert "left is held" in str(caught.value)
    assert "right is held" in str(caught.value)
    second.release()
    assert lab.acquire(KIND, Deadline(NOW)).board == second.board
    first.release()


def test_the_board_that_runs_the_firmware_is_preferred(new_lab) -> None:
    lab = new_lab(LEFT, RIGHT)
    with lab.acquire(KIND, Deadline(NOW)), lab.acquire(KIND, Deadline(NOW)) as second:
        second.note_firmware("abc")
    with lab.acquire(KIND, Deadline(NOW), firmware="abc") as lease:
        assert lease.board == second.board
        with lab.acquire(KIND, Deadline(NOW), firmware="abc") as another:
            assert another.board != second.board


def test_the_board_used_longest_ago_is_next(new_lab) -> None:
    lab = new_lab(LEFT, RIGHT)
    used = []
    for firmware in ("one", "two", "three", "two", "one"):
        with lab.acquire(KIND, Deadline(NOW), firmware=firmware) as lease:
            lease.note_firmware(firmware)
            used.append(lease.board.name)
    assert used == ["left", "right", "left", "right", "left"]


def test_a_waiting_process_is_next(new_lab, tmp_path) -> None:
    """One that gives its board back, and wants it again at once, does not starve the others."""
    board = LabBoard("third", KIND, port="/dev/microtvm-third")
    with new_lab(board).acquire(KIND, Deadline(NOW)):
        script = HOLDER.replace("/dev/microtvm-left", board.port).replace("10", "30")
        script = script.replace("lease =", 'print("starts", flush=True)\nlease =')
        waiting = subprocess.Popen(
            [sys.executable, "-c", script, str(tmp_path)],
            env=package_environment(),
            stdout=subprocess.PIPE,
        )
        assert waiting.stdout is not None
        assert waiting.stdout.readline() == b"starts\n"
        mine = new_lab(board)
        turn = next(lock_directory().glob("*third*.turn"))
        limit = Deadline(10)
        while not is_locked(turn):
            assert not limit.expired
    with pytest.raises(LeaseError):
        mine.acquire(KIND, Deadline(NOW))
    assert waiting.stdout.readline() == b"held\n"
    waiting.kill()
    waiting.communicate()


def is_locked(path: Path) -> bool:
    try:
        with filelock.FileLock(path, blocking=False):
            return False
    except filelock.Timeout:
        return True


def test_who_holds_it_is_told(other_process, new_lab) -> None:
    told: list[str] = []
    with pytest.raises(LeaseError) as caught:
        new_lab(LEFT).acquire(KIND, Deadline(0.3), on_wait=told.append)
    assert f"process {other_process.pid} of " in str(caught.value)
    assert "make coffee" in str(caught.value)
    assert len(told) == 1
    assert "left is held by process" in told[0]


def test_a_killed_holder_holds_nothing(other_process, new_lab) -> None:
    lab = new_lab(LEFT)
    with pytest.raises(LeaseError):
        lab.acquire(KIND, Deadline(NOW))
    threading.Timer(0.3, other_process.send_signal, [signal.SIGKILL]).start()
    lab.acquire(KIND, Deadline(5.0)).release()


@pytest.mark.parametrize(
    "changes",
    [{"since": 1e300}, {"since": "x"}, {"command": "\x1b[2J"}, {"user": None}, {"firmware": 1}],
)
def test_a_note_of_another_user_is_not_believed(tmp_path: Path, changes: dict[str, object]) -> None:
    note = {"pid": 1, "user": "a", "command": "make", "since": 1.0, "firmware": ""}
    path = tmp_path / "note.json"
    path.write_text(json.dumps(note))
    assert _read_note(path) is not None
    path.write_text(json.dumps({**note, **changes}))
    assert _read_note(path) is None
    path.write_text("[" * 100_000)
    assert _read_note(path) is None


def test_one_thing_has_one_name(tmp_path: Path, new_lab) -> None:
    device, link = tmp_path / "ttyACM0", tmp_path / "by-id"
    device.touch()
    link.symlink_to(device)
    names = [
        (LabBoard("a", KIND, port=str(device)), LabBoard("b", KIND, port=str(link))),
        (
            LabBoard("a", KIND, port="socket://localhost:4000"),
            LabBoard("b", KIND, port="rfc2217://127.0.0.1:4000?logging=debug"),
        ),
        (
            LabBoard("a", KIND, port="x", probe="localhost:3333"),
            LabBoard("b", KIND, port="y", probe="127.0.0.1:3333"),
        ),
        (LabBoard("a", KIND, usb="0483:374B:AB"), LabBoard("b", KIND, usb="0483:374b:ab")),
    ]
    for one, other in names:
        assert set(things_of(one)) & set(things_of(other))
        with new_lab(one).acquire(KIND, Deadline(NOW)), pytest.raises(LeaseError):
            new_lab(other).acquire(KIND, Deadline(NOW))


def test_half_of_a_board_is_not_kept(new_lab) -> None:
    same_probe = LabBoard("other", KIND, port="/dev/microtvm-other", probe=LEFT.probe)
    same_port = LabBoard("port", KIND, port=same_probe.port)
    with new_lab(LEFT).acquire(KIND, Deadline(NOW)):
        with pytest.raises(LeaseError):
            new_lab(same_probe).acquire(KIND, Deadline(NOW))
        new_lab(same_port).acquire(KIND, Deadline(NOW)).release()


def test_a_sick_board_is_passed_over(new_lab) -> None:
    mine, theirs = (new_lab(LEFT, RIGHT) for _ in range(2))
    mine.quarantine.add(LEFT, "it does\nnot answer")
    mine.quarantine.add(LEFT, "the second cause")
    with theirs.acquire(KIND, Deadline(NOW)) as lease:
        assert lease.board == RIGHT
        with pytest.raises(LeaseError, match="left is in quarantine: it does not answer; right is"):
            mine.acquire(KIND, Deadline(NOW))
    mine.quarantine.add(RIGHT, "no probe")
    start = Deadline(60)
    with pytest.raises(LeaseError, match="no board of the lab is left") as caught:
        theirs.acquire(KIND, start)
    assert start.elapsed_s < 5, "nobody waits for boards that nobody repairs"
    assert "right is in quarantine: no probe" in str(caught.value)


def test_locks_are_for_all_users(new_lab) -> None:
    mask = os.umask(0o077)
    try:
        with new_lab(LEFT).acquire(KIND, Deadline(NOW)):
            pass
    finally:
        os.umask(mask)
    directory = lock_directory()
    assert directory.stat().st_mode & 0o7777 == 0o1777
    files = list(directory.iterdir())
    assert {path.suffix for path in files} == {".lock", ".json", ".turn"}
    assert {path.stat().st_mode & 0o777 for path in files} == {0o666}


def test_a_folder_that_cannot_be(tmp_path: Path, monkeypatch, new_lab) -> None:
    tmp_path.joinpath("file").touch()
    monkeypatch.setenv("MICROTVM_LEASES", str(tmp_path / "file" / "leases"))
    with pytest.raises(ConfigError, match="MICROTVM_LEASES"):
        new_lab(LEFT).acquire(KIND, Deadline(NOW))
