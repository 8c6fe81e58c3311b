"""Model files of every format, read into Relax modules."""

from __future__ import annotations

from pathlib import Path

from pytest_microtvm.compiler.frontends.imported import EXPORT_CURE, ImportedModel, imported
from pytest_microtvm.compiler.frontends.onnx import import_onnx
from pytest_microtvm.compiler.frontends.relax import import_relax
from pytest_microtvm.compiler.frontends.tflite import import_tflite
from pytest_microtvm.errors import ModelError

__all__ = ["FORMATS", "ImportedModel", "import_model", "imported"]

FORMATS = {".tflite": "TFLite", ".onnx": "ONNX", ".json": "Relax"}
"""Suffixes of model files, and what they hold."""


def import_model(path: Path, data: bytes) -> ImportedModel:
    """Import a model file by its suffix (see `FORMATS`).

    Args:
        path: Where the file is; its suffix decides the format.
        data: What the file holds.

    Raises:
        ModelError: The file is damaged, or holds what cannot be compiled.
    """
    importers = {".tflite": import_tflite, ".onnx": import_onnx, ".json": import_relax}
    importer = importers.get(path.suffix.lower())
    if importer is None:
        known = ", ".join(f"{suffix} ({name})" for suffix, name in FORMATS.items())
        raise ModelError(
            "the suffix does not say what kind of model this is",
            cure=f"name the file by one of {known}",
        )
    if not data:
        raise ModelError("the file is empty", cure=EXPORT_CURE)
    return importer(data)
