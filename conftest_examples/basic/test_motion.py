"""A model with several inputs and outputs: arrays go in and come out by name."""

import numpy as np
import pytest

pytestmark = pytest.mark.microtvm_model("../models/motion_float32.tflite")

DOWN = np.array([[0, 0, 1]], np.float32)


def swing(direction):
    """A second of acceleration in g, float32 (1, 32, 3): gravity, and a swing along `direction`."""
    wave = 0.9 * np.sin(2 * np.pi * 2.5 * np.arange(32) / 25, dtype=np.float32)
    return (DOWN + wave[:, np.newaxis] * np.float32(direction))[np.newaxis]


@pytest.mark.parametrize(
    ("direction", "activity"),
    [((0, 0, 0), "still"), ((0, 0, 1), "walking"), ((1, 0, 0), "shaking")],
)
def test_motions_are_told_apart(microtvm, direction, activity):
    inputs = {"acceleration": swing(direction), "gravity": DOWN}
    microtvm.check(inputs, rtol=1e-4)  # floats: how far device and host may be apart
    outputs = microtvm.run(inputs)
    assert ["still", "walking", "shaking"][outputs["activity"].argmax()] == activity
    assert outputs["intensity"].item() == pytest.approx(0.9 * max(direction), abs=0.2)
