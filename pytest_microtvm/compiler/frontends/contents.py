"""What a file is by how it begins, where its name says that it is a model."""

from __future__ import annotations

from pytest_microtvm.errors import ModelError

_TFLITE = b"TFL3"
"""Begins at the fifth byte."""

_BEGINNINGS = (
    (b"version https://git-lfs.", "a pointer of Git LFS", "fetch the model itself: git lfs pull"),
    (b"<!doctype html", "a web page", "download the model itself"),
    (b"<html", "a web page", "download the model itself"),
    (b"\x1f\x8b", "compressed by gzip", "unpack it"),
    (b"\x89hdf", "an HDF5 file, as Keras writes", "convert the model to TFLite"),
    (b"pk\x03\x04", "a ZIP archive", "unpack it; PyTorch's exported programs are named .pt2"),
)
"""In lower case."""
_ARCHIVES = {"keras": b"pk", "pt2": b"pk", "h5": b"\x89hdf"}
"""What files of these suffixes begin with."""


def check_content(suffix: str, data: bytes) -> None:
    """Refuse what is known to be something else than the file's name says.

    Args:
        suffix: The file's, without its dot.
        data: What it holds.

    Raises:
        ModelError: It is something else; says what.
    """
    start = data[:64].lstrip().lower()
    if data[4:8] == _TFLITE and suffix != "tflite":
        raise ModelError("the file is a TFLite model", cure="name it .tflite")
    for beginning, what, cure in _BEGINNINGS:
        is_right = beginning.startswith(_ARCHIVES.get(suffix, b"\0"))
        if start.startswith(beginning) and not is_right:
            raise ModelError(f"the file is {what}, not what its name says", cure=cure)
