"""TFLite models."""

from __future__ import annotations

from pytest_microtvm.compiler.frontends.imported import ImportedModel, import_failure, imported


def import_tflite(data: bytes) -> ImportedModel:
    """Import a TFLite model.

    Raises:
        ModelError: It is damaged, or holds what cannot be compiled.
    """
    from tvm.relax.frontend.tflite import from_tflite

    from pytest_microtvm.compiler.frontends.tflite_converter import Converter
    from pytest_microtvm.compiler.frontends.tflite_file import read_tflite

    model = read_tflite(data)
    try:
        module = from_tflite(model.flatbuffer, op_converter=Converter)
    except Exception as error:
        raise import_failure(error) from error
    return imported(module, model.inputs, model.outputs)
