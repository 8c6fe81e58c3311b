"""A model that the tests of this folder export, compiled once."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_microtvm.compiler import compile_to_files
from pytest_microtvm.mlf.library import ModelLibrary, open_library, write_library

MODELS = Path(__file__).parents[2] / "conftest_examples" / "models"


@pytest.fixture(scope="session")
def keyword(tmp_path_factory: pytest.TempPathFactory) -> ModelLibrary:
    """The archive of the trained keyword model."""
    path = tmp_path_factory.mktemp("keyword") / "model.tar"
    write_library(path, compile_to_files(MODELS / "keyword_int8.tflite"))
    return open_library(path)


@pytest.fixture(scope="session")
def sine(tmp_path_factory: pytest.TempPathFactory) -> ModelLibrary:
    """The archive of the trained sine model, which is small."""
    path = tmp_path_factory.mktemp("sine") / "model.tar"
    write_library(path, compile_to_files(MODELS / "sine_int8.tflite"))
    return open_library(path)


@pytest.fixture(scope="session")
def sine_float(tmp_path_factory: pytest.TempPathFactory) -> ModelLibrary:
    """The archive of a second small model."""
    path = tmp_path_factory.mktemp("sine_float") / "model.tar"
    write_library(path, compile_to_files(MODELS / "sine_float32.tflite"))
    return open_library(path)
