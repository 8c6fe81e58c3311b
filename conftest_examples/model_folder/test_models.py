"""Tests for every model of a folder, found when pytest starts.

Without tests of your own, `pytest FOLDER --microtvm-board=...` is all it takes.
"""

import numpy as np
import pytest


def test_device_computes_what_the_host_computes(microtvm, model_path):
    microtvm.check()


def test_samples(microtvm, model_path):
    """Beside MODEL.tflite may be MODEL_samples.npz: inputs in one array, labels in `label`."""
    samples = model_path.with_name(f"{model_path.stem}_samples.npz")
    if not samples.exists():
        pytest.skip(f"there is no {samples.name}")
    with np.load(samples) as arrays:
        labels = arrays["label"]
        (inputs,) = (arrays[name] for name in arrays.files if name != "label")
    outputs = [next(iter(microtvm.run(array[np.newaxis]).values())) for array in inputs]
    right = sum(output.argmax() == label for output, label in zip(outputs, labels, strict=True))
    assert right / len(labels) >= 0.9
