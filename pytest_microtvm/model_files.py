"""Which files are models: told by their suffix, whatever its letter case."""

from __future__ import annotations

import os
from pathlib import Path

from pytest_microtvm.extensions import FRONT_ENDS

_LIBRARY_SUFFIX = ".tar"
_COMMON_SUFFIXES = (".h5", ".json", ".keras", _LIBRARY_SUFFIX)
"""Suffixes that too many other files have as well."""


def suffix_of(path: Path) -> str:
    """The suffix of a file's name in lower case, with its dot."""
    return path.suffix.lower()


def is_library(path: Path) -> bool:
    """Whether a file is an MLF archive by its name."""
    return suffix_of(path) == _LIBRARY_SUFFIX


def is_model(path: Path) -> bool:
    """Whether a file that is named is a model: an MLF archive, or one that a front end reads."""
    return is_library(path) or suffix_of(path)[1:] in FRONT_ENDS.names()


def is_surely_model(path: Path) -> bool:
    """Whether a file that is found in a folder is a model: its suffix means nothing else."""
    return is_model(path) and suffix_of(path) not in _COMMON_SUFFIXES


def weight_files(model: Path) -> tuple[Path, ...]:
    """The files beside an ONNX model that its exporter may have put weights into.

    PyTorch calls it `NAME.onnx.data`, others `NAME.onnx_data`; a model may name no other file.
    """
    if suffix_of(model) != ".onnx":
        return ()
    found = (model.with_name(f"{model.name}{ending}") for ending in (".data", "_data"))
    return tuple(path for path in found if path.is_file() and not path.is_symlink())


_KERAS = (
    "Keras models are compiled from their TFLite form",
    "convert it: open('model.tflite', 'wb').write(tf.lite.TFLiteConverter"
    ".from_keras_model(tf.keras.models.load_model(PATH)).convert())",
)
_PYTORCH = (
    "PyTorch models are compiled from exported programs",
    "export it: torch.export.save(torch.export.export(model, inputs), 'model.pt2'); or to ONNX",
)
_WEIGHTS = ("these are weights without a model", "export the model to ONNX or TFLite")
_TENSORFLOW = (
    "TensorFlow's graphs are compiled from their TFLite form",
    "convert it: tf.lite.TFLiteConverter.from_saved_model(FOLDER).convert()",
)
NOT_COMPILED = {
    ".h5": _KERAS,
    ".keras": _KERAS,
    ".pt": _PYTORCH,
    ".pth": _PYTORCH,
    ".ckpt": _WEIGHTS,
    ".safetensors": _WEIGHTS,
    ".pb": _TENSORFLOW,
}
"""By the suffix of models that nothing here reads: why, and what to do."""


def plain_path(path: Path) -> Path:
    """The absolute path of a file, without "..": one file has one such path, links aside."""
    absolute = path.absolute()
    plain = Path(os.path.normpath(absolute))
    is_same = not absolute.exists() or (plain.exists() and plain.samefile(absolute))
    return plain if is_same else absolute.resolve()  # ".." after a link to a folder


def shown_path(path: Path) -> str:
    """A file's path as a person may know it: from the current folder on, else with its folder."""
    plain, here = plain_path(path), Path.cwd()
    shown = plain.relative_to(here) if plain.is_relative_to(here) else Path(*plain.parts[-2:])
    return shown.as_posix()
