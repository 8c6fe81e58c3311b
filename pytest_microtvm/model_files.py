"""Which files are models: told by their suffix, whatever its letter case."""

from __future__ import annotations

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
