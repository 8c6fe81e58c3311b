"""Real boards of a run, with boards that are made up: who is tried, how often, and what is said."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from pytest_microtvm.boards import load_boards
from pytest_microtvm.deadline import Deadline
from pytest_microtvm.errors import (
    ConfigError,
    FlashError,
    LeaseError,
    MicroTVMError,
    TargetError,
    TransportTimeout,
)
from pytest_microtvm.flow import rig as rig_module
from pytest_microtvm.flow.rig import Rig
from pytest_microtvm.lab.file import LabBoard
from pytest_microtvm.lab.pool import Lab, Quarantine
from pytest_microtvm.measure.elf import Image
from pytest_microtvm.measure.records import Record
from pytest_microtvm.mlf.library import ModelLibrary
from pytest_microtvm.project.firmware import Firmware

KIND = "netduinoplus2"


class World:
    """Boards that run what they were flashed with, and fail as told."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.running: dict[str, str] = {}
        self.flashed: list[str] = []
        self.opened: list[str] = []
        self.closed: list[str] = []
        self.flash_errors: dict[str, list[MicroTVMError]] = {}
        self.open_errors: dict[str, list[MicroTVMError]] = {}
        self.said: list[str] = []

    def firmware(self, build_id: str) -> Firmware:
        library = ModelLibrary(Path(), "model", (), (), 0, 0, ("aot",), "", {})
        board = load_boards()[KIND]
        return Firmware(
            Path(build_id), build_id, board, "aot", library, None, None, True, 0.0, 0.0, ""
        )

    def rig(self, *boards: LabBoard) -> Rig:
        lab = Lab(boards, Quarantine(self.directory), "this test")
        return Rig(lab, 1.0, 0.0, self.said.append)

    def board(self, name: str, **fields: object) -> LabBoard:
        """A board whose power switch leaves a mark."""
        mark = f"echo {name} >> {self.directory}/power"
        switch = {"power_off": ("true",), "power_on": ("sh", "-c", mark)}
        return LabBoard(name, KIND, port=f"/dev/microtvm-{name}", **{**switch, **fields})  # type: ignore[arg-type]

    def power_cycles(self) -> list[str]:
        path = self.directory / "power"
        return path.read_text().split() if path.exists() else []


@pytest.fixture
def world(tmp_path, monkeypatch):
    world = World(tmp_path)
    monkeypatch.setenv("MICROTVM_LEASES", str(tmp_path / "leases"))
    monkeypatch.setattr("pytest_microtvm.lab.power.OFF_S", 0.0)

    def name_of(options) -> str:
        return options["port"].removeprefix("/dev/microtvm-")

    class FakeSession:
        def __init__(
            self, firmware, timeout_s, on_log, *, open_timeout_s, options, board, bridges
        ) -> None:
            self.firmware, self.board, self.on_log = firmware, board, on_log
            self.name, self.open_s, self.is_open = name_of(options), 0.0, False
            self.flash_s = 0.0

        def flash(self) -> None:
            world.flashed.append(self.name)
            world.running.pop(self.name, None)
            if world.flash_errors.get(self.name):
                error = world.flash_errors[self.name].pop(0)
                error.board = self.board
                raise error
            world.running[self.name] = self.firmware.build_id

        def open(self) -> None:
            world.opened.append(self.name)
            if world.open_errors.get(self.name):
                raise world.open_errors[self.name].pop(0)
            if world.running.get(self.name) != self.firmware.build_id:
                raise TransportTimeout("no answer", board=self.board, operation="open")
            self.is_open = True

        def close(self) -> None:
            self.is_open = False
            world.closed.append(self.name)

    monkeypatch.setattr(rig_module, "Session", FakeSession)
    return world


@pytest.fixture
def record():
    return Record("m.tflite", KIND, "baremetal", "aot")


def silent(line: str) -> None:
    pass


def test_firmware_is_flashed_once(world, record) -> None:
    left = world.board("left")
    for _ in range(2):
        rig = world.rig(left)
        session = rig.open(world.firmware("one"), record, silent)
        assert rig.open(world.firmware("one"), record, silent) is session
        rig.release()
    assert world.flashed == ["left"]
    assert world.closed == ["left"] * 2
    assert (record.lab_boards, record.incidents) == (["left"], [])
    rig = world.rig(left)
    rig.open(world.firmware("two"), record, silent)
    rig.open(world.firmware("one"), record, silent)  # on the same lease
    rig.release()
    assert world.flashed == ["left"] * 3


def test_another_image_of_the_same_build_id_is_flashed(world, record) -> None:
    left = world.board("left")
    for digest in ("damaged", "sound", "sound"):
        firmware = dataclasses.replace(world.firmware("one"), image=Image(0, 0, digest=digest))
        rig = world.rig(left)
        rig.open(firmware, record, silent)
        rig.release()
    assert world.flashed == ["left", "left"]


def test_a_board_that_was_flashed_by_others_is_asked(world, record) -> None:
    left = world.board("left")
    world.running["left"] = "one"
    world.rig(left).open(world.firmware("one"), record, silent)
    assert world.flashed == []


def test_a_note_is_no_proof(world, record) -> None:
    rig = world.rig(world.board("left"))
    rig.open(world.firmware("one"), record, silent)
    rig.release()
    world.running["left"] = "another"
    rig.open(world.firmware("one"), record, silent)
    assert world.flashed == ["left"] * 2


def test_half_a_firmware_is_never_asked(world, record) -> None:
    rig = world.rig(world.board("left"))
    world.flash_errors["left"] = [FlashError("power lost"), FlashError("power lost")]
    with pytest.raises(FlashError):
        rig.open(world.firmware("one"), record, silent)
    world.running["left"] = "one"  # enough of it to say so
    world.opened.clear()
    world.rig(world.board("left"))
    (world.directory / "left.json").unlink()
    rig.open(world.firmware("one"), record, silent)
    assert world.flashed == ["left"] * 3
    assert world.opened == ["left"]


def test_a_sick_board_gets_one_more_try(world, record) -> None:
    rig = world.rig(world.board("left"))
    world.flash_errors["left"] = [FlashError("the probe is stuck", operation="flash")]
    rig.open(world.firmware("one"), record, silent)
    assert world.power_cycles() == ["left"]
    assert world.flashed == ["left"] * 2
    assert record.incidents == [f"{KIND} (left): the probe is stuck (during flash)"]
    rig.release()


def test_a_board_that_stays_sick_is_replaced(world, record) -> None:
    left, right = world.board("left"), world.board("right", power_off=(), power_on=())
    rig, other_worker = world.rig(left, right), world.rig(left, right)
    world.flash_errors["left"] = [FlashError(f"broken {n}") for n in range(9)]
    session = rig.open(world.firmware("one"), record, silent)
    assert session.board == f"{KIND} (right)"
    assert record.lab_boards == ["left", "right"]
    assert len(record.incidents) == 2
    assert "left is in quarantine now" in record.incidents[-1]
    assert world.flashed == ["left", "left", "right"]
    rig.release()
    # No process of this run tries it again.
    other_worker.open(world.firmware("two"), record, silent)
    assert world.flashed == ["left", "left", "right", "right"]
    other_worker.release()


def test_when_all_are_sick_each_test_says_why(world, record) -> None:
    rig = world.rig(world.board("left"), world.board("right"))
    for name in ("left", "right"):
        world.open_errors[name] = [TransportTimeout(f"{name} is dead") for _ in range(9)]
    with pytest.raises(TransportTimeout, match="right is dead"):
        rig.open(world.firmware("one"), record, silent)
    assert world.power_cycles() == ["left", "right"]
    flashed = list(world.flashed)
    with pytest.raises(LeaseError) as caught:
        rig.open(world.firmware("two"), record, silent)
    assert "left is in quarantine: left is dead" in str(caught.value)
    assert "right is in quarantine: right is dead" in str(caught.value)
    assert world.flashed == flashed


def test_a_port_that_others_hold_is_no_sickness(world, record) -> None:
    rig = world.rig(world.board("left"), world.board("right"))
    world.running["left"] = "one"
    world.open_errors["left"] = [LeaseError("screen has it"), LeaseError("screen has it")]
    assert rig.open(world.firmware("one"), record, silent).board == f"{KIND} (right)"
    rig.release()
    world.running["right"] = world.running.pop("left")
    alone = world.rig(world.board("left"))
    with pytest.raises(LeaseError, match="screen has it"):
        alone.open(world.firmware("one"), record, silent)
    assert world.power_cycles() == []
    alone.open(world.firmware("one"), record, silent)
    alone.release()


@pytest.mark.parametrize("error", [TargetError("out of memory"), ConfigError("no such method")])
def test_what_is_not_the_boards_fault(world, record, error) -> None:
    rig = world.rig(world.board("left"), world.board("right"))
    world.running["left"] = "one"
    world.open_errors["left"] = [error]
    with pytest.raises(type(error)):
        rig.open(world.firmware("one"), record, silent)
    assert world.opened == ["left"]
    assert world.power_cycles() == []
    rig.open(world.firmware("one"), record, silent)
    rig.release()


def test_a_broken_power_switch_hides_nothing(world, record) -> None:
    switch = ("sh", "-c", "echo no relay >&2; exit 3")
    rig = world.rig(world.board("left", power_off=switch))
    world.flash_errors["left"] = [FlashError("broken"), FlashError("broken")]
    with pytest.raises(FlashError):
        rig.open(world.firmware("one"), record, silent)
    assert "the command sh failed with exit status 3" in record.incidents[1]


def test_a_session_that_failed_is_opened_anew(world, record) -> None:
    rig = world.rig(world.board("left"))
    session = rig.open(world.firmware("one"), record, silent)
    rig.drop(session)
    assert rig.open(world.firmware("one"), record, silent) is not session
    assert world.flashed == ["left"]
    rig.release()


def test_a_power_switch_that_hangs(world) -> None:
    from pytest_microtvm.lab.power import power_cycle

    board = dataclasses.replace(world.board("left"), power_off=("sleep", "60"))
    with pytest.raises(LeaseError, match="the command sleep does not end"):
        power_cycle(board, Deadline(0.2))
