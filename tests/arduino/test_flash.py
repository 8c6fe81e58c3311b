"""A real board that arduino-cli uploads to: what it is asked, and what its failures are told as."""

from __future__ import annotations

import pytest

from pytest_microtvm.project import server
from tests.arduino.standin_cli import calls_of, make_cli

PORT = "/dev/ttyACM7"


def board_of(**more):
    flash = {"method": "arduino-cli", "arguments": [], "timeout_s": 20.0, "usb_ids": []}
    return {
        "name": "mega",
        "flash": flash,
        "memory": [],
        "arduino": {"fqbn": "arduino:avr:mega"},
        **more,
    }


def real_board(tmp_path, program, board=None):
    firmware = tmp_path / "build" / "microtvm_sketch.ino.elf"
    firmware.parent.mkdir(exist_ok=True)
    firmware.touch()
    return server.RealBoard(
        board or board_of(),
        {"port": PORT},
        tmp_path,
        firmware,
        baud=115200,
        program=str(program),
    )


def test_what_is_asked(tmp_path):
    program = make_cli(tmp_path / "bin")
    real_board(tmp_path, program).flash()
    (words,) = calls_of(program)
    assert words[:-1] == [
        *("upload", "--fqbn", "arduino:avr:mega", "--port", PORT),
        *("--input-dir", str(tmp_path / "build")),
    ]


@pytest.mark.parametrize(
    ("output", "message"),
    [
        (
            'avrdude: ser_open(): can\'t open device "/dev/ttyACM7": Device or resource busy\n',
            f"the port {PORT} is busy",
        ),
        (
            'avrdude: ser_open(): can\'t open device "/dev/ttyACM7": Permission denied\n',
            f"the port {PORT} may not be opened",
        ),
        (
            'avrdude: ser_open(): can\'t open device "/dev/ttyACM7": No such file or directory\n',
            f"there is no board at the port {PORT}",
        ),
        (
            "avrdude: stk500v2_getsync(): timeout communicating with programmer\n"
            "avrdude: stk500_recv(): programmer is not responding\n",
            f"the boot loader of mega does not answer at {PORT}",
        ),
        (
            "Error during Upload: Platform 'arduino:avr' not found: platform not installed\n",
            "arduino-cli has no core for mega",
        ),
        (
            "avrdude: verification error, first mismatch at byte 0x0000\n",
            "the flash of mega does not hold what was written to it",
        ),
        ("Error during Upload: uploading error: exit status 1\n", "arduino-cli ended with exit"),
    ],
)
def test_a_failed_upload_is_one_line(tmp_path, output, message):
    program = make_cli(tmp_path / "bin", fails={"upload": [1, "", output]})
    with pytest.raises(server.ProjectError) as caught:
        real_board(tmp_path, program).flash()
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)
    assert caught.value.data["details"] == output


def test_it_is_for_boards_of_the_platform(tmp_path):
    program = make_cli(tmp_path / "bin")
    with pytest.raises(server.OptionError, match="but not for the platform arduino"):
        real_board(tmp_path, program, board_of(arduino=None)).flash()
