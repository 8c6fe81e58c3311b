"""Models that keep a state by the API: step by step, as sequences, and on data sets."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pytest_microtvm as microtvm
from pytest_microtvm import Device, Environment
from tests.unit.compiler.tflite_models import running_sum

ONES = np.ones(3, np.float32)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """x -> x + the sum of all that came before, which begins with [1, 2, 3]."""
    path = tmp_path_factory.mktemp("model") / "sum.tflite"
    path.write_bytes(running_sum().to_bytes())
    return path


@pytest.fixture(scope="module")
def device(model: Path, cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Device]:
    environment = Environment(cache_dir=cache)
    folder = tmp_path_factory.mktemp("project") / "p"
    project = microtvm.create_project(folder, model, board="host", environment=environment)
    project.build()
    with project.open() as device:
        yield device


def test_runs_go_on_until_the_state_is_reset(device: Device) -> None:
    device.reset()
    assert device.run(ONES)["after"].tolist() == [2, 3, 4]
    assert device.run(ONES)["after"].tolist() == [3, 4, 5]
    device.reset()
    assert device.run(ONES)["after"].tolist() == [2, 3, 4]
    assert device.run()["after"].shape == (3,)


def test_a_sequence_begins_with_the_initial_state(device: Device) -> None:
    device.run(ONES)
    outputs = device.run_sequence(np.ones((4, 3), np.float32))
    assert outputs["after"][:, 0].tolist() == [2, 3, 4, 5]
    assert device.run_sequence()["after"].shape == (20, 3)


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        (ONES, r"'x' has shape \(3,\), but the model .* takes a sequence, of shape \(steps, 3\)"),
        (np.ones((0, 3)), r"at least one; these have: 'x' 0"),
        ({"y": ONES}, r"unknown tensor 'y', 'x' is missing; the model has 'x' float32\[3\]"),
    ],
)
def test_what_is_no_sequence_is_told(device: Device, inputs: Any, message: str) -> None:
    with pytest.raises(microtvm.ConfigError, match=message):
        device.run_sequence(inputs)


def test_each_sample_begins_with_the_initial_state(model: Path, environment: Environment) -> None:
    """Single steps, and sequences of which the last step is scored."""
    for samples, labels in (
        (np.ones((2, 3)), [[2, 3, 4]] * 2),
        (np.ones((2, 5, 3)), [[6, 7, 8]] * 2),
    ):
        found = microtvm.evaluate(
            *(model, samples, np.array(labels, np.float32)),
            board="host",
            metric="mse",
            environment=environment,
        )
        assert (found.device, found.host, found.samples, found.differing) == (0, 0, 2, 0)


def test_samples_of_another_shape_are_told(model: Path, environment: Environment) -> None:
    with pytest.raises(microtvm.ConfigError, match="with the steps as second dimension"):
        microtvm.evaluate(
            *(model, np.ones((2, 5, 4)), np.ones(2)), board="host", environment=environment
        )
