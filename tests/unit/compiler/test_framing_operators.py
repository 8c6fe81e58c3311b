"""Signal operators that keep samples from run to run, held to what TensorFlow Lite Micro gave."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pytest_microtvm.errors import ModelError
from tests.unit.compiler.test_signal_operators import native, operator, transform
from tests.unit.compiler.tflite_models import Model, Operator, Tensor

GOLDEN: dict[str, list[list[int]]] = {
    "delayed": [[0] * 6, [0, 1, 2, 0, 4, 5], [3, 7, 8, 6, 10, 11]],
    "frames": [[0] * 10, [1, 2, 3, 4, 5, 3, 4, 5, 6, 7], [5, 6, 7, 8, 9, 7, 8, 9, 10, 11]],
    "prefilled": [
        [0, 0, 0, 1, 2, 0, 1, 2, 3, 4],
        [2, 3, 4, 5, 6, 4, 5, 6, 7, 8],
        [6, 7, 8, 9, 10, 8, 9, 10, 11, 12],
    ],
    "stacked": [[0] * 8, [0] * 8, [1, 2, 1, 2, 3, 4, 5, 6], [0] * 8, [3, 4, 5, 6, 7, 8, 9, 10]],
    "added": [[-2900, 5800, 8700, -8700], [-23200, 6667, 28999, -1], [-32768, -1, 32766, -1]],
    "samples": [
        [
            *(5564, -9827, 10713, 16581, -2228, -1197, 4975, 3013),
            *(-3788, 673, 3385, -1315, -5128, 3319, 1439, 3681),
        ],
        [
            *(-4094, -20586, 4095, 13644, -4095, -2737, 4095, 2578),
            *(-4096, 814, 4095, -656, -4095, 6129, 4095, 814),
        ],
    ],
}
"""What TensorFlow Lite Micro's interpreter gave, run after run; 0 for what it left unwritten."""
FULL = {"frames": [0, 1, 1], "prefilled": [1, 1, 1], "stacked": [0, 0, 1, 0, 1]}
SHAPES = {
    "delayed": ([2, 3], [2, 3]),
    "frames": ([4], [2, 5]),
    "prefilled": ([4], [2, 5]),
    "stacked": ([2], [8]),
    "added": ([2, 5], [4]),
    "samples": ([18], [16]),
}


def model_of(dtype: str, shape: list[int], name: str, **options: Any) -> Model:
    """One operator with one output."""
    tensors = [Tensor("x", shape, dtype), Tensor("y", [-1], dtype)]
    return Model(tensors, [operator(name, [0], [1], **options)], [0], [1])


def all_of_them() -> Model:
    """Each of `GOLDEN` by an input of its own."""
    tensors: list[Tensor] = []
    places: dict[str, list[int]] = {}
    for name, (given, made) in SHAPES.items():
        places[name] = [len(tensors), len(tensors) + 1]
        tensors += [Tensor(f"x_{name}", given, "INT16"), Tensor(name, made, "INT16")]
    for name in FULL:
        places[name].append(len(tensors))
        tensors.append(Tensor(f"{name}_full", [], "BOOL"))

    def step(name: str, operator_name: str, **options: Any) -> Operator:
        return operator(operator_name, places[name][:1], places[name][1:], **options)

    context = {"stacker_left_context": 1, "stacker_right_context": 2}
    steps = [
        step("delayed", "Delay", delay_length=4),
        step("frames", "Framer", frame_size=5, frame_step=2, prefill=False),
        step("prefilled", "Framer", frame_size=5, frame_step=2, prefill=True),
        step("stacked", "Stacker", num_channels=2, **context, stacker_step=2),
        step("added", "OverlapAdd", T=7, frame_step=2),
        step("samples", "Irfft", T=7, fft_length=16),
    ]
    outputs = [place for name in SHAPES for place in places[name][1:]]
    return Model(tensors, steps, [places[name][0] for name in SHAPES], outputs)


def given(name: str, run: int) -> np.ndarray:
    shape = SHAPES[name][0]
    size = int(np.prod(shape))
    counted = np.arange(1, size + 1)
    values = counted + size * run
    if name in ("added", "samples"):
        values = values * (-1) ** counted * 2900
    return np.clip(values, -32768, 32767).astype(np.int16).reshape(shape)


def test_samples_are_kept_as_in_tensorflow_lite_micro(tmp_path: Path):
    model = native(all_of_them(), tmp_path)
    for _ in range(2):
        model.reset()
        for run in range(5):
            results = iter(model(*(given(name, run) for name in SHAPES)))
            for name in SHAPES:
                result = next(results)
                is_full = next(results) if name in FULL else None
                if run < len(GOLDEN[name]):
                    np.testing.assert_array_equal(result.reshape(-1), GOLDEN[name][run], name)
                    assert is_full is None or bool(is_full) == FULL[name][run], name


def test_the_inverse_is_the_inverse(tmp_path: Path):
    for folder in ("there", "back"):
        (tmp_path / folder).mkdir()
    x = np.random.default_rng(0).normal(size=(2, 32)).astype(np.float32)
    [spectrum] = native(transform("float32", 2, 32, 32), tmp_path / "there")(x)
    inverse = model_of("FLOAT32", [2, 34], "Irfft", T=0, fft_length=32)
    [result] = native(inverse, tmp_path / "back")(spectrum)
    np.testing.assert_allclose(result, x, atol=1e-6)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (model_of("INT16", [4], "Delay"), "its delay_length is None"),
        (model_of("FLOAT32", [4], "Delay", delay_length=1), "it has the inputs float32"),
        (
            model_of("INT16", [5], "Framer", frame_size=4, frame_step=2, prefill=True),
            "its 5 samples are no multiple of its frame_step 2",
        ),
        (
            model_of("INT16", [4], "Framer", frame_size=1, frame_step=2, prefill=True),
            "its frame_size 1 is less than its frame_step 2",
        ),
        (
            model_of("INT32", [2, 4], "OverlapAdd", frame_step=2),
            "its input is neither int16 nor float32",
        ),
        (
            model_of("INT16", [2, 4], "OverlapAdd", frame_step=5),
            "its frame_step is 5, not a number from 1 to 4",
        ),
        (
            model_of("INT16", [16], "Irfft", fft_length=16),
            "its spectrum has 16 numbers, not 18 for its length 16",
        ),
    ],
)
def test_uses_that_are_not_known_are_refused(model: Model, message: str, tmp_path: Path):
    with pytest.raises(ModelError, match=message):
        native(model, tmp_path)
