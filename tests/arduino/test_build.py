"""How a sketch is built, by either program, and how failures are told."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from arduino_build import build, folder_state
from arduino_tools import Core, Job

from pytest_microtvm.deadline import Deadline
from pytest_microtvm.errors import BuildError
from pytest_microtvm.project import build_project, server
from tests.arduino.boards import MEGA, generate, mega
from tests.arduino.standin_cli import calls_of, make_cli, values_of

BOARD = {
    "name": "acme",
    "cpu": {"arch": "avr"},
    "memory": [
        {"name": "flash", "kind": "flash", "origin": 0, "bytes": 1000},
        {"name": "ram", "kind": "ram", "origin": 0x80_0100, "bytes": 2048},
    ],
    "arduino": {"stack_bytes": 500},
}


class Says:
    """A builder that prints something and ends."""

    program = "says"

    def __init__(self, status: int | None, output: str) -> None:
        self._answer = (status, output)

    def version(self) -> str:
        return ""

    def core_missing(self, core: Core) -> None:
        return None

    def properties(self, job: Job) -> dict[str, str]:
        return {}

    def port_of(self, fqbn: str, serial_number: str) -> None:
        return None

    def compile(self, job: Job) -> tuple[int | None, str]:
        return self._answer


def built(tmp_path: Path, status: int, output: str, *, strict: bool = False) -> None:
    job = Job(tmp_path / "s", (), MEGA, Core("arduino:avr"), {}, tmp_path / "build")
    build(Says(status, output), job, BOARD, warnings_are_errors=strict)


SIZES = (
    "Sketch uses 900 bytes (90%) of program storage space. Maximum is 1000 bytes.\n"
    "Global variables use {used} bytes (1%) of dynamic memory, leaving 1 bytes for local "
    "variables. Maximum is 2048 bytes.\n"
)


@pytest.mark.parametrize(
    ("status", "output", "expected"),
    [
        (
            1,
            "ld: region `text' overflowed by 590 bytes\ncollect2: error: ld returned 1\n",
            "firmware too large: needs 1590 bytes of flash, acme has 1000",
        ),
        (
            1,
            "ld: address 0x800d70 of x.elf section `.bss' is not within region `data'\n",
            "firmware too large: needs 3684 bytes of RAM, acme has 2048",
        ),
        (0, SIZES.format(used=1549), "firmware too large: needs 2049 bytes of RAM, acme has 2048"),
        (1, "a.c:1:2: error: no\nexit status 1\n", "does not build: a.c:1:2: error: no"),
        (1, "x.o: undefined reference to `y'\n", "does not build: x.o: undefined reference to `y'"),
        (1, "", "does not build: no reason"),
    ],
)
def test_why_a_build_failed_is_one_line(tmp_path, status, output, expected):
    with pytest.raises(server.ProjectError, match=expected.replace("(", r"\(")) as caught:
        built(tmp_path, status, output)
    assert "\n" not in str(caught.value)
    assert caught.value.data["details"] == output


def test_what_leaves_room_for_the_stack_is_built(tmp_path):
    built(tmp_path, 0, SIZES.format(used=1548))


def test_only_warnings_of_the_project_are_errors(tmp_path):
    core = "/usr/share/arduino/new.cpp:1:2: warning: unused\n"
    own = f"{tmp_path}/libraries/m/src/a.c:1:2: warning: unused\n"
    built(tmp_path, 0, core, strict=True)
    built(tmp_path, 0, own)
    with pytest.raises(server.ProjectError, match=r"a\.c:1:2: warning: unused"):
        built(tmp_path, 0, core + own, strict=True)


def test_the_state_of_a_folder_is_that_of_its_files(tmp_path):
    (tmp_path / "a").write_text("1")
    before = folder_state(tmp_path)
    assert folder_state(tmp_path) == before
    (tmp_path / "a").write_text("12")
    assert folder_state(tmp_path) != before


def need_builder() -> None:
    if shutil.which("arduino-builder") is None:
        pytest.skip("arduino-builder is missing; apt-get install arduino-builder arduino-core-avr")


def test_arduino_cli_builds_a_project(tmp_path, monkeypatch):
    """By the stand-in, and without a warning about the project's own files."""
    need_builder()
    program = make_cli(tmp_path / "bin")
    project = generate(tmp_path, arduino_cli_cmd=str(program), warning_as_error=True)
    made = build_project(project, {"build_cache": str(tmp_path / "cache")}, Deadline(120))
    assert made is not None
    assert (project / made.artifact).is_file()
    assert (project / "build" / "microtvm_sketch.ino.hex").is_file()
    words = calls_of(program)[-1]
    (flags,) = [
        each
        for each in values_of(words, "--build-property")
        if each.startswith("compiler.c.extra_flags=")
    ]
    assert "-ffp-contract=off" in flags
    assert words[-1].startswith(f"CACHE={tmp_path}/cache/")


def test_a_project_of_an_unknown_board_is_told(tmp_path):
    need_builder()
    project = generate(tmp_path, mega(tmp_path, fqbn="arduino:avr:mega3"))
    with pytest.raises(BuildError) as caught:
        build_project(project, {}, Deadline(60))
    assert caught.value.message.startswith("Arduino does not know the board arduino:avr:mega3: ")
    assert "mega3" in caught.value.message.partition(": ")[2]
