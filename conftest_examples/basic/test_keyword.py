"""A model, what it must compute, and what it may cost."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

MODELS = Path(__file__).parent.parent / "models"

# For every test of this file. A path is relative to this file, or to pytest's root folder.
pytestmark = pytest.mark.microtvm_model("../models/keyword_int8.tflite")


@pytest.fixture(scope="module")
def samples() -> dict[str, NDArray[np.int8]]:
    """Spectrograms that the training never saw, and what each one shows."""
    with np.load(MODELS / "keyword_int8_samples.npz") as arrays:
        return dict(arrays)


def test_device_computes_what_the_host_computes(microtvm):
    microtvm.check()  # inputs made up: the same in every run


def test_sounds_are_recognised(microtvm, samples):
    for spectrogram, label in zip(samples["spectrogram"], samples["label"], strict=True):
        scores = microtvm.run(spectrogram[np.newaxis])["scores"]
        assert scores.argmax() == label


def test_fits(microtvm):
    assert microtvm.metrics.arena_bytes <= 48_000
