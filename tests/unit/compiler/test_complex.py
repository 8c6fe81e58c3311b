"""What becomes of complex numbers in TFLite models."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pytest_microtvm.compiler import compile_to_files
from pytest_microtvm.errors import ModelError
from tests.unit.compiler.native import NativeModel
from tests.unit.compiler.tflite_models import Model, Operator, Tensor


def spectrum(last: str, length: int = 8) -> Model:
    """The transform of 3 rows, without the axis that it has for converters, and its parts."""
    bins = length // 2 + 1
    tensors = [
        *(Tensor("x", [3, 1, 8]), Tensor("length", [2], "INT32", np.array([1, length], np.int32))),
        *(Tensor("pairs", [3, 1, bins], "COMPLEX64"), Tensor("flat", [3, bins], "COMPLEX64")),
        *(Tensor("shape", [2], "INT32", np.array([3, bins], np.int32)), Tensor("y", [3, bins])),
    ]
    steps = [Operator("RFFT2D", [0, 1], [2]), Operator("RESHAPE", [2, 4], [3])]
    if not last:
        return Model(tensors, steps, [0], [3])
    return Model(tensors, [*steps, Operator(last, [3], [5])], [0], [5])


def files_of(model: Model, folder: Path):
    path = folder / "model.tflite"
    path.write_bytes(model.to_bytes())
    return compile_to_files(path)


@pytest.mark.parametrize(
    ("operator", "part"), [("REAL", np.real), ("IMAG", np.imag), ("COMPLEX_ABS", np.abs)]
)
def test_a_part_of_a_spectrum_is_computed(tmp_path: Path, operator, part):
    x = np.random.default_rng(0).normal(size=(3, 1, 8)).astype(np.float32)
    [result] = NativeModel(files_of(spectrum(operator), tmp_path), tmp_path)(x)
    np.testing.assert_allclose(result, part(np.fft.rfft(x))[:, 0], atol=1e-5)


def test_fewer_numbers_than_there_are_may_be_transformed(tmp_path: Path):
    x = np.random.default_rng(0).normal(size=(3, 1, 8)).astype(np.float32)
    [result] = NativeModel(files_of(spectrum("REAL", length=4), tmp_path), tmp_path)(x)
    np.testing.assert_allclose(result, np.fft.rfft(x[..., :4]).real[:, 0], atol=1e-5)


def test_complex_numbers_are_no_output(tmp_path: Path):
    with pytest.raises(ModelError, match="'flat' has the element type COMPLEX64"):
        files_of(spectrum(""), tmp_path)


def test_what_computes_with_complex_numbers_is_refused(tmp_path: Path):
    with pytest.raises(ModelError, match=r"NEG .*'flat' holds complex numbers"):
        files_of(spectrum("NEG"), tmp_path)


def test_parts_of_what_is_not_complex_are_refused(tmp_path: Path):
    model = Model([Tensor("x", [4]), Tensor("y", [4])], [Operator("REAL", [0], [1])], [0], [1])
    with pytest.raises(ModelError, match=r"REAL .*holds no complex numbers"):
        files_of(model, tmp_path)


def test_rows_that_are_transformed_together_are_refused(tmp_path: Path):
    model = spectrum("REAL")
    model.tensors[0] = Tensor("x", [3, 2, 8])
    with pytest.raises(ModelError, match=r"RFFT2D .*not floats of one row"):
        files_of(model, tmp_path)
