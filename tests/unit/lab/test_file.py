"""The lab file: what is read, what is refused, and that a refusal names file, entry and key."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_microtvm.boards import load_boards
from pytest_microtvm.errors import ConfigError
from pytest_microtvm.lab.file import LAB_FILE, LabBoard, find_lab_file, load_lab

KINDS = load_boards()
ENTRY = '[[board]]\nname = "left"\nkind = "netduinoplus2"\n'
WHOLE = ENTRY + 'port = "/dev/ttyACM0"\n'
OTHER = WHOLE.replace("left", "right")


def write(directory: Path, text: str) -> Path:
    path = directory / LAB_FILE
    path.write_text(text)
    return path


def test_a_whole_entry(tmp_path: Path) -> None:
    text = WHOLE + (
        'probe = "localhost:3333"\nflash = "gdb"\nreset = ["r", "1"]\n'
        'power_off = ["p", "0"]\npower_on = ["p", "1"]\nnotes = "by the window"\n'
    )
    (board,) = load_lab(write(tmp_path, text), KINDS)
    assert board == LabBoard(
        name="left",
        kind="netduinoplus2",
        port="/dev/ttyACM0",
        probe="localhost:3333",
        flash="gdb",
        reset=("r", "1"),
        power_off=("p", "0"),
        power_on=("p", "1"),
        notes="by the window",
    )
    assert board.label == "netduinoplus2 (left)"
    assert board.project_options == {
        "port": "/dev/ttyACM0",
        "probe": "localhost:3333",
        "flash_method": "gdb",
        "reset_command": ["r", "1"],
    }


@pytest.mark.parametrize(
    "way",
    [
        'usb = "0483:374B"',
        'usb = "0483:374b:066DFF"',
        'port = "socket://lab-pi:2000"',
        'port = "rfc2217://lab-pi:2000?logging=debug"',
        'place = "desk"\ncoordinator = "lab-pi:20408"',
    ],
)
def test_ways_to_a_board(tmp_path: Path, way: str) -> None:
    assert len(load_lab(write(tmp_path, ENTRY + way + "\n"), KINDS)) == 1


def test_an_empty_file_is_an_empty_lab() -> None:
    assert load_lab(Path("/dev/null")) == ()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (ENTRY + 'prot = "/dev/ttyACM0"\n', "board 1 (left): unknown key prot; did you mean port?"),
        (WHOLE + ENTRY.replace("left", "b"), "board 2 (b): there is no way to it"),
        (WHOLE.replace("kind", "knid"), "board 1 (left): unknown key knid; did you mean kind?"),
        (WHOLE.replace('name = "left"\n', ""), "board 1: key name is missing"),
        (WHOLE.replace("plus2", "plus3"), "'netduinoplus3'; did you mean netduinoplus2?"),
        (WHOLE + 'usb = "0483:374b"\n', "port and usb exclude each other"),
        (ENTRY + 'usb = "483:374b"\n', "usb must be 'vid:pid'"),
        (ENTRY + 'port = "tcp://lab-pi:2000"\n', "port must be a device, socket://HOST:PORT"),
        (ENTRY + 'port = "socket://lab-pi"\n', "port must be a device, socket://HOST:PORT"),
        (ENTRY + 'port = "socket://lab-pi:65536"\n', "port must be a device, socket://HOST:PORT"),
        (ENTRY + 'port = "rfc2217://lab-pi:0"\n', "port must be a device, socket://HOST:PORT"),
        (ENTRY + "port = 2000\n", "port must be a string, not 2000"),
        (WHOLE + 'reset = "make reset"\n', "reset must be a list of strings"),
        (WHOLE + "reset = []\n", "reset must be a list of strings"),
        (WHOLE + 'power_off = ["p"]\n', "key power_on is missing"),
        (WHOLE + 'coordinator = "lab-pi:20408"\n', "coordinator goes with place only"),
        (ENTRY + 'place = "a"\ncoordinator = "lab-pi"\n', "coordinator must be 'host:port'"),
        (WHOLE.replace("left", "my board"), "name must be letters"),
        (WHOLE + WHOLE, "board 2 (left): name 'left' is that of board 1 already"),
        (WHOLE + OTHER, "board 2 (right): port '/dev/ttyACM0' is that of board 1 already"),
        ('[[boards]]\nname = "left"\n', "unknown key boards"),
        ('[board]\nname = "left"\n', "board must be a list of tables"),
        ("[[board]\n", "not a TOML file"),
        ("board = " + "[" * 100_000, "not a TOML file"),
    ],
)
def test_mistakes(tmp_path: Path, text: str, expected: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(ConfigError) as caught:
        load_lab(path, KINDS)
    assert str(caught.value).startswith(str(path))
    assert expected in str(caught.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot read the lab file .*No such file"):
        load_lab(tmp_path / "nowhere.toml")


def test_which_file_counts(tmp_path: Path) -> None:
    option, configured = Path("/option.toml"), Path("/ini.toml")
    variable = {"MICROTVM_LAB": "/variable.toml"}
    assert find_lab_file(None, None, tmp_path, {}) is None
    found = write(tmp_path, "")
    assert find_lab_file(None, None, tmp_path, {}) == found
    assert find_lab_file(None, configured, tmp_path, {}) == configured
    assert find_lab_file(None, configured, tmp_path, variable) == Path("/variable.toml")
    assert find_lab_file(option, configured, tmp_path, variable) == option
