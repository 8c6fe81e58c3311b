"""Keras models are no programs: TensorFlow converts them."""

from __future__ import annotations

from collections.abc import Mapping

from pytest_microtvm.compiler.frontends.imported import ImportedModel
from pytest_microtvm.errors import ModelError
from pytest_microtvm.model_files import NOT_COMPILED


def refuse_keras(
    data: bytes, input_shapes: Mapping[str, tuple[int, ...]] | None = None
) -> ImportedModel:
    """Say how to convert a model that Keras saved.

    Raises:
        ModelError: Always.
    """
    why, cure = NOT_COMPILED[".keras"]
    raise ModelError(why, cure=cure)
