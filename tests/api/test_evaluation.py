"""A data set on a device: the same figure as by the model's own interpreter."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pytest_microtvm as microtvm
from pytest_microtvm import Environment
from tests.contract.running import need_tools

MODELS = Path(__file__).resolve().parents[2] / "conftest_examples" / "models"
KEYWORD = MODELS / "keyword_int8.tflite"
BOARD = "mps2_an386"
SAMPLES = 200


def test_the_accuracy_on_a_board_is_that_of_litert(
    environment: Environment, tmp_path: Path
) -> None:
    interpreter = pytest.importorskip(
        "ai_edge_litert.interpreter", reason="LiteRT is missing: pip install -e .[litert]"
    ).Interpreter(str(KEYWORD))
    need_tools(environment.board(BOARD))
    with np.load(MODELS / "keyword_int8_samples.npz") as known:
        which = np.arange(SAMPLES) % len(known["label"])
        noise = np.random.RandomState(3).randint(-60, 61, (SAMPLES, 32, 20, 1))
        samples = np.clip(known["spectrogram"][which] + noise, -128, 127).astype(np.int8)
        labels = known["label"][which]
    interpreter.allocate_tensors()
    (given,), (told,) = interpreter.get_input_details(), interpreter.get_output_details()
    right = 0
    for sample, label in zip(samples, labels, strict=True):
        interpreter.set_tensor(given["index"], sample[None])
        interpreter.invoke()
        right += int(interpreter.get_tensor(told["index"])[0].argmax() == label)
    assert 0 < right < SAMPLES

    np.savez(tmp_path / "x.npz", spectrogram=samples)
    np.save(tmp_path / "y.npy", labels)
    found = microtvm.evaluate(
        KEYWORD, tmp_path / "x.npz", tmp_path / "y.npy", board=BOARD, environment=environment
    )
    assert found.device == found.host == right / SAMPLES
    assert (found.samples, found.differing) == (SAMPLES, 0)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"samples": np.zeros((2, 5), np.int8)}, "the model takes"),
        ({"labels": np.zeros(3)}, "labels of dtype float64"),
        ({"metric": "f1"}, "unknown metric 'f1'"),
        ({"output": "z"}, "the model has no output 'z'; it has 'y'"),
        ({"labels": "no.npy"}, "cannot read labels from no.npy"),
    ],
)
def test_what_does_not_fit_is_told(
    environment: Environment, changes: dict[str, Any], message: str
) -> None:
    arguments: dict[str, Any] = {
        "samples": np.zeros((3, 1), np.int8),
        "labels": np.zeros(3, int),
        **changes,
    }
    with pytest.raises(microtvm.ConfigError, match=message):
        microtvm.evaluate(
            MODELS / "sine_int8.tflite", board="host", environment=environment, **arguments
        )
