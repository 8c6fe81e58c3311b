"""Options are checked against what the platform says before it sees them."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from pytest_microtvm.errors import ConfigError
from pytest_microtvm.project.descriptions import Option, ServerDescription
from pytest_microtvm.project.options import check_options

OPTIONS = [
    Option("board", "str", ("generate_project",), (), ("uno", "due"), None, "Which board."),
    Option("verbose", "bool", (), ("build",), None, False, "Tell more."),
    Option("port", "int", (), ("flash",), None, None, "Which port."),
    Option("cores", "path", (), ("build",), None, None, "Where cores are."),
]


ARDUINO = ServerDescription("arduino", True, None, tuple(OPTIONS), (), None)


def check(method: str, **given: Any) -> dict[str, Any]:
    return check_options(ARDUINO, method, given)


def test_a_server_written_for_tvm_gets_text_as_it_did() -> None:
    """v0.16's for Arduino declares its port as a number, and takes the path of one."""
    written_for_tvm = dataclasses.replace(ARDUINO, board_keys=None)
    given = {"port": "/dev/ttyACM0", "verbose": "true"}
    assert check_options(written_for_tvm, "flash", given) == given
    with pytest.raises(ConfigError, match="cannot be 'mega'"):
        check_options(written_for_tvm, "generate_project", {"board": "mega"})


def test_good_options_pass_and_none_is_left_out() -> None:
    assert check("generate_project", board="due", port=None) == {"board": "due"}
    assert check("flash", port=3, verbose=True) == {"port": 3, "verbose": True}


def test_relative_paths_are_those_of_whoever_gives_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert check("build", cores="cores/mine") == {"cores": f"{tmp_path}/cores/mine"}
    assert check("build", cores="/cores") == {"cores": "/cores"}
    assert check("build", cores="") == {"cores": ""}
    monkeypatch.setenv("HOME", "/home/me")
    assert check("build", cores="~/cores") == {"cores": "/home/me/cores"}


@pytest.mark.parametrize(
    ("method", "given", "expected"),
    [
        ("build", {"colour": 1}, "has no option colour; its options are board, cores, port"),
        ("generate_project", {}, "needs the option board"),
        ("generate_project", {"board": "mega"}, "cannot be 'mega'; choose from uno, due"),
        ("build", {"verbose": 1}, "verbose is true or false"),
        ("flash", {"port": "COM1"}, "port is a number"),
        ("flash", {"port": True}, "port is a number"),
    ],
)
def test_bad_options(method: str, given: dict[str, Any], expected: str) -> None:
    with pytest.raises(ConfigError) as caught:
        check(method, **given)
    assert "platform arduino" in str(caught.value)
    assert expected in str(caught.value)
