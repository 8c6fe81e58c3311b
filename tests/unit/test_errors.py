"""Errors on one line, whatever is in the names that they tell."""

import errno

import pytest

from pytest_microtvm.errors import ModelError, printable, refused_path


def test_an_error_is_one_line_without_control_characters():
    error = ModelError("no a\x1b[2J\nb\u2028\udcff.tflite", cure="look\r for\tit")
    assert error.one_line() == "no a\\x1b[2J b \\udcff.tflite; look for it"


def test_what_can_be_printed_stays_as_it_is():
    assert printable("\u00fc \u6f22 a b.tflite") == "\u00fc \u6f22 a b.tflite"
    assert printable("a\nb\x07") == "a\\nb\\x07"


def test_a_long_name_does_not_make_a_long_line():
    line = ModelError(f"{'x' * 5000} is no model", cure="give another").one_line()
    assert len(line) < 1100
    assert line.startswith("xxx")
    assert " [...] " in line
    assert line.endswith("x is no model; give another")


@pytest.mark.parametrize("name", ["aaa", b"aaa"])
def test_a_path_that_the_system_refuses_is_named(name: str | bytes):
    error = refused_path(OSError(errno.ENAMETOOLONG, "File name too long", name))
    assert error.one_line() == "cannot use aaa: File name too long; name another path"


def test_what_is_about_no_path_stays_what_it_is():
    with pytest.raises(BrokenPipeError):
        refused_path(BrokenPipeError(errno.EPIPE, "Broken pipe"))
