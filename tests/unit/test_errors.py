"""Errors on one line, whatever is in the names that they tell."""

from pytest_microtvm.errors import ModelError, printable


def test_an_error_is_one_line_without_control_characters():
    error = ModelError("no a\x1b[2J\nb\u2028\udcff.tflite", cure="look\r for\tit")
    assert error.one_line() == "no a\\x1b[2J b \\udcff.tflite; look for it"


def test_what_can_be_printed_stays_as_it_is():
    assert printable("\u00fc \u6f22 a b.tflite") == "\u00fc \u6f22 a b.tflite"
    assert printable("a\nb\x07") == "a\\nb\\x07"
