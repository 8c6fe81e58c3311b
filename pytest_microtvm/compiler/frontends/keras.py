"""Keras models are no programs: TensorFlow converts them."""

from __future__ import annotations

from collections.abc import Mapping

from pytest_microtvm.compiler.frontends.imported import ImportedModel
from pytest_microtvm.errors import ModelError


def refuse_keras(
    data: bytes, input_shapes: Mapping[str, tuple[int, ...]] | None = None
) -> ImportedModel:
    """Say how to convert a model that Keras saved.

    Raises:
        ModelError: Always.
    """
    raise ModelError(
        "Keras models are compiled from their TFLite form",
        cure="convert it: open('model.tflite', 'wb').write(tf.lite.TFLiteConverter"
        ".from_keras_model(tf.keras.models.load_model(PATH)).convert())",
    )
