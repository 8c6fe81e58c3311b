"""Options are checked against what the platform says before it sees them."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_microtvm.errors import ConfigError
from pytest_microtvm.project.descriptions import Option
from pytest_microtvm.project.options import check_options

OPTIONS = [
    Option("board", "str", ("generate_project",), (), ("uno", "due"), None, "Which board."),
    Option("verbose", "bool", (), ("build",), None, False, "Tell more."),
    Option("port", "int", (), ("flash",), None, None, "Which port."),
]


def check(method: str, **given: Any) -> dict[str, Any]:
    return check_options("arduino", method, OPTIONS, given)


def test_good_options_pass_and_none_is_left_out() -> None:
    assert check("generate_project", board="due", port=None) == {"board": "due"}
    assert check("flash", port=3, verbose=True) == {"port": 3, "verbose": True}


@pytest.mark.parametrize(
    ("method", "given", "expected"),
    [
        ("build", {"colour": 1}, "has no option colour; its options are board, port, verbose"),
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
