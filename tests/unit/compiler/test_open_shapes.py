"""TFLite inputs whose file leaves extents open: 1, or what is given."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pytest_microtvm.compiler import CompileOptions, compile_to_files
from pytest_microtvm.errors import ModelError
from tests.unit.compiler.native import NativeModel
from tests.unit.compiler.tflite_models import Model, Tensor, add


def open_sum() -> Model:
    """(a, b) -> a + b of float32 [?, 3], stored as [1, 3]; the signature calls them left, right."""
    tensors = [Tensor(name, [1, 3], shape_signature=[-1, 3]) for name in ("a:0", "b:0", "sum")]
    return Model(tensors, [add([0, 1], 2)], [0, 1], [2], {0: "left", 1: "right", 2: "total"})


def compiled(directory: Path, **shapes: tuple[int, ...]) -> NativeModel:
    path = directory / "open.tflite"
    path.write_bytes(open_sum().to_bytes())
    options = CompileOptions(input_shapes={n.replace("_0", ":0"): s for n, s in shapes.items()})
    return NativeModel(compile_to_files(path, options), directory)


@pytest.mark.parametrize(
    ("shapes", "rows"),
    [({}, 1), ({"a_0": (4, 3), "b_0": (4, 3)}, 4), ({"left": (2, 3), "right": (2, 3)}, 2)],
    ids=["open", "by name", "by signature"],
)
def test_an_open_extent_is_1_or_what_is_given(tmp_path, shapes, rows):
    model = compiled(tmp_path, **shapes)
    assert [spec.shape for spec in model.library.outputs] == [(rows, 3)]
    a = np.arange(rows * 3, dtype=np.float32).reshape(rows, 3)
    np.testing.assert_array_equal(model(a, 2 * a)[0], 3 * a)


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        ({"c": (1, 3)}, "no input 'c' to give a shape to; name one of a:0, b:0"),
        ({"a_0": (1, 4)}, r"'a:0' has the shape \[\?, 3\], which \[1, 4\] does not fit"),
        ({"a_0": (3,)}, "does not fit"),
        ({"a_0": (0, 3)}, "does not fit"),
    ],
)
def test_what_does_not_fit_is_refused(tmp_path, shapes, message):
    with pytest.raises(ModelError, match=message):
        compiled(tmp_path, **shapes)


def test_a_shape_counts_whose_open_extents_an_editor_left_behind(tmp_path):
    """LiteRT does not look at the signature."""
    model = open_sum()
    model.tensors[2] = Tensor("sum", [1, 3], shape_signature=[-1, 2])
    (tmp_path / "open.tflite").write_bytes(model.to_bytes())
    native = NativeModel(compile_to_files(tmp_path / "open.tflite"), tmp_path)
    a = np.arange(3, dtype=np.float32).reshape(1, 3)
    np.testing.assert_array_equal(native(a, a)[0], 2 * a)
