"""Rows of TFLite models that are reduced by the numbers of their segments."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pytest_microtvm.compiler import compile_to_files
from pytest_microtvm.errors import ModelError
from tests.unit.compiler.native import NativeModel
from tests.unit.compiler.tflite_models import Model, Operator, Tensor


def files_of(model: Model, folder: Path):
    path = folder / "model.tflite"
    path.write_bytes(model.to_bytes())
    return compile_to_files(path)


def test_rows_are_added_up_by_segments(tmp_path: Path):
    count = Tensor("count", [], "INT32", np.array(3, np.int32))
    tensors = [Tensor("x", [4, 2]), Tensor("numbers", [4], "INT32"), count, Tensor("y", [3, 2])]
    model = Model(tensors, [Operator("UNSORTED_SEGMENT_SUM", [0, 1, 2], [3])], [0, 1], [3])
    native = NativeModel(files_of(model, tmp_path), tmp_path)
    # Numbers that are made up for a test stay below the count.
    assert [spec.index_limit for spec in native.library.inputs] == [None, 3]
    x = np.arange(8, dtype=np.float32).reshape(4, 2)
    [result] = native(x, np.array([2, 0, 2, -1], np.int32))
    np.testing.assert_array_equal(result, [x[1], [0, 0], x[0] + x[2]])


def test_sums_that_are_counted_at_run_time_are_refused(tmp_path: Path):
    result = Tensor("y", [1, 2], shape_signature=[-1, 2])
    tensors = [Tensor("x", [4, 2]), Tensor("numbers", [4], "INT32"), result]
    model = Model(tensors, [Operator("SEGMENT_SUM", [0, 1], [2])], [0, 1], [2])
    with pytest.raises(ModelError, match=r"SEGMENT_SUM .*computed at run time.*unsorted"):
        files_of(model, tmp_path)
