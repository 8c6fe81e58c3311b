"""TFLite models with several signatures, of which one is compiled."""

from __future__ import annotations

import numpy as np
import pytest

from pytest_microtvm.compiler import CompileOptions, compile_to_files
from pytest_microtvm.errors import ModelError
from tests.unit.compiler.native import NativeModel
from tests.unit.compiler.relax_models import relax_module
from tests.unit.compiler.tflite_models import Model, two_by_two, two_signatures


def compiled(model: Model, tmp_path, options: CompileOptions) -> NativeModel:
    path = tmp_path / "both.tflite"
    path.write_bytes(model.to_bytes())
    return NativeModel(compile_to_files(path, options), tmp_path)


def test_a_signature_is_compiled_by_its_name(tmp_path):
    options = CompileOptions(signature="product", input_shapes={"first": (5,), "second": (5,)})
    model = compiled(two_signatures(), tmp_path, options)
    assert model.library.signature == "product"
    assert [spec.signature_name for spec in model.library.inputs] == ["first", "second"]
    x = np.arange(5, dtype=np.float32)
    np.testing.assert_array_equal(model(x, x + 1)[0], x * (x + 1))


def test_without_a_name_the_first_subgraph_is_compiled(tmp_path):
    model = compiled(two_signatures(), tmp_path, CompileOptions())
    assert model.library.signature is None
    assert [spec.signature_name for spec in model.library.outputs] == ["sum"]


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (two_signatures(), "no signature 'train'; name one of 'sum', 'product'"),
        (two_by_two(), "no signature 'train'; leave out the signature: it has none"),
    ],
)
def test_a_signature_has_to_be_there(model, message, tmp_path):
    with pytest.raises(ModelError) as caught:
        compiled(model, tmp_path, CompileOptions(signature="train"))
    assert message in caught.value.one_line()


def test_other_models_have_no_signatures(tmp_path):
    with pytest.raises(ModelError, match="a module in memory has no signatures"):
        compile_to_files(
            relax_module(lambda x: x, ((2,), "float32")), CompileOptions(signature="x")
        )
    (tmp_path / "m.onnx").write_bytes(b"x")
    with pytest.raises(ModelError, match=r"a \.onnx file has no signatures"):
        compile_to_files(tmp_path / "m.onnx", CompileOptions(signature="x"))
