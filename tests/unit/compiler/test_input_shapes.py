"""Shapes of inputs as they are written on a command line."""

from __future__ import annotations

import pytest

from pytest_microtvm.compiler.options import parse_input_shapes, written_input_shapes
from pytest_microtvm.errors import ConfigError


def test_shapes_are_read_as_they_are_written():
    shapes = {"x": (1, 49, 10, 1), "serving_default_x:0": (1,), "number": ()}
    assert parse_input_shapes(written_input_shapes(shapes)) == shapes
    assert parse_input_shapes(["x: [1, 2]"]) == {"x": (1, 2)}


@pytest.mark.parametrize("text", ["x", "x:1,2", "x:[1,a]", ":[1]", "x:[1,]", "x:[-1]"])
def test_anything_else_is_refused(text: str):
    with pytest.raises(ConfigError, match=r"is no shape of an input.*name:\[1,49,10,1\]"):
        parse_input_shapes([text])


def test_an_input_has_one_shape():
    with pytest.raises(ConfigError, match="a second shape"):
        parse_input_shapes(["x:[1]", "x:[2]"])
