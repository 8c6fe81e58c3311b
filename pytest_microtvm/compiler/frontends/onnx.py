"""ONNX models."""

from __future__ import annotations

from pytest_microtvm.compiler.frontends.imported import ImportedModel, import_failure, imported
from pytest_microtvm.errors import ModelError


def import_onnx(data: bytes) -> ImportedModel:
    """Import an ONNX model.

    Raises:
        ModelError: It is damaged, or holds what cannot be compiled.
    """
    try:
        from tvm.relax.frontend.onnx import from_onnx

        from pytest_microtvm.compiler.frontends.onnx_file import read_onnx
    except ImportError as error:
        raise ModelError(
            f"reading ONNX models needs the package {error.name or 'onnx'!r}",
            cure="pip install 'pytest-microtvm[onnx]'",
        ) from error

    model = read_onnx(data)
    try:
        module = from_onnx(model.proto, keep_params_in_input=False)
    except Exception as error:
        raise import_failure(error) from error
    return imported(module, model.inputs, model.outputs)
