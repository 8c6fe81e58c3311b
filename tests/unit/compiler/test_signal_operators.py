"""The operators of TensorFlow Lite Micro's audio front end, held to what that computes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flatbuffers import flexbuffers

from pytest_microtvm.compiler import compile_to_files
from pytest_microtvm.errors import ModelError
from tests.unit.compiler.native import NativeModel
from tests.unit.compiler.tflite_models import Model, Operator, Tensor

TYPES = {"float32": 0, "int16": 7, "int32": 2}

GOLDEN_TRANSFORM = [
    *(1481, 0, 1540, -179, -360, -3455, -363, 507, -3903),
    *(-1547, 1992, 3219, -3609, 207, 5268, 2534, -1615, 0),
]
"""What TensorFlow Lite Micro's interpreter gave."""

GOLDEN_FEATURES = [
    [
        [13650, 31633, 16703],
        [634, 48229237, 4279],
        [1708546, 49468596, 9351203],
        [66675, 332004, 364925],
        [4445496008, 110226980972, 133170476480],
    ],
    [
        [14392, 31702, 0],
        [1007, 50331550, 0],
        [2379036, 40325120, 2333696],
        [27834, 39380, 2279],
        [49585711448, 99252046356, 332670824],
    ],
    [
        [0, 0, 0],
        [0, 0, 0],
        [5120, 75776, 375808],
        [5, 74, 367],
        [6786824, 1443686452, 35357269004],
    ],
    [[0, 0, 0]] * 5,
]
"""The same, of the outputs of `front_end` for each of `samples`."""


def operator(name: str, inputs: list[int], outputs: list[int], **options: Any) -> Operator:
    data = bytes(flexbuffers.Dumps(options)) if options else b""
    return Operator(f"CUSTOM Signal{name}", inputs, outputs, custom_options=data)


def native(model: Model, folder: Path) -> NativeModel:
    (folder / "model.tflite").write_bytes(model.to_bytes())
    return NativeModel(compile_to_files(folder / "model.tflite"), folder)


def transform(dtype: str, rows: int, frame: int, length: int) -> Model:
    kind = dtype.upper()
    tensors = [Tensor("x", [rows, frame], kind), Tensor("y", [rows, length + 2], kind)]
    step = operator("Rfft", [0], [1], T=TYPES[dtype], fft_length=length)
    return Model(tensors, [step], [0], [1])


@pytest.mark.parametrize(
    ("dtype", "frame", "length"),
    [("float32", 20, 32), ("float32", 4, 4), ("int16", 60, 64), ("int16", 8, 8), ("int32", 16, 16)],
)
def test_a_real_transform_is_that_of_fourier(dtype: str, frame: int, length: int, tmp_path: Path):
    """That of integers is divided by its length."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2, frame)).astype(np.float32)
    if dtype != "float32":
        x = (x * np.iinfo(dtype).max / 8).astype(dtype)
    [result] = native(transform(dtype, 2, frame, length), tmp_path)(x)
    wanted = np.fft.rfft(x.astype(np.float64), length)
    found = result[:, ::2] + 1j * result[:, 1::2]
    if dtype == "float32":
        np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-5)
    else:
        assert np.abs(found - wanted / length).max() < 5


def test_a_transform_of_integers_is_rounded_as_in_tensorflow_lite_micro(tmp_path: Path):
    x = np.array([[1000, -2000, 30000, 4, 5, -6000, 700, 8, -32768, 32767]], np.int16)
    [result] = native(transform("int16", 1, 10, 16), tmp_path)(x)
    np.testing.assert_array_equal(result[0], GOLDEN_TRANSFORM)


def front_end() -> Model:
    """Samples -> log-mel features, and what is between: of 24 samples, 17 bins and 3 channels."""
    constants = [
        Tensor("window", [24], "INT16", (4095 * np.hanning(24)).astype(np.int16)),
        Tensor(
            "weights", [8], "INT16", np.array([4096, 3000, 2000, 1000, 0, 500, 900, 4000], "<i2")
        ),
        Tensor(
            "others", [8], "INT16", np.array([0, 1096, 2096, 3096, 4096, 3596, 3196, 96], "<i2")
        ),
        Tensor("places", [4], "INT16", np.array([1, 3, 6, 9], np.int16)),
        Tensor("begins", [4], "INT16", np.array([0, 2, 4, 5], np.int16)),
        Tensor("widths", [4], "INT16", np.array([2, 3, 3, 3], np.int16)),
        Tensor("gains", [125], "INT16", (np.arange(125) * 37 % 400 - 90).astype(np.int16)),
    ]
    tensors = [
        Tensor("x", [24], "INT16"),
        *constants,
        Tensor("windowed", [24], "INT16"),
        Tensor("scaled", [24], "INT16"),
        Tensor("shift", [], "INT32"),
        Tensor("spectrum", [34], "INT16"),
        Tensor("energy", [17], "UINT32"),
        Tensor("sums", [3], "UINT64"),
        Tensor("roots", [3], "UINT32"),
        Tensor("cleaned", [3], "UINT32"),
        Tensor("noise", [3], "UINT32"),
        Tensor("gained", [3], "UINT32"),
        Tensor("features", [3], "INT16"),
    ]
    steps = [
        operator("Window", [0, 1], [8], shift=12),
        operator("FftAutoScale", [8], [9, 10]),
        operator("Rfft", [9], [11], T=7, fft_length=32),
        operator("Energy", [11], [12], start_index=0, end_index=17),
        operator("FilterBank", [12, 2, 3, 4, 5, 6], [13], num_channels=3),
        operator("FilterBankSquareRoot", [13, 10], [14]),
        operator(
            "FilterBankSpectralSubtraction",
            [14],
            [15, 16],
            alternate_one_minus_smoothing=14000,
            alternate_smoothing=2384,
            clamping=True,
            min_signal_remaining=819,
            num_channels=3,
            one_minus_smoothing=15974,
            smoothing=410,
            smoothing_bits=10,
            spectral_subtraction_bits=14,
        ),
        operator("PCAN", [15, 16, 7], [17], snr_shift=6),
        operator("FilterBankLog", [17], [18], input_correction_bits=3, output_scale=1600),
    ]
    return Model(tensors, steps, [0], [18, 17, 16, 14, 13])


def samples() -> list[np.ndarray]:
    times = np.arange(24)
    return [
        (amplitude * np.sin(times * turn)).astype(np.int16)
        for amplitude, turn in ((30000, 1.1), (3000, 0.7), (40, 1.9), (0, 1.0))
    ]


def test_features_are_those_of_tensorflow_lite_micro(tmp_path: Path):
    model = native(front_end(), tmp_path)
    model.reset()
    for x, wanted in zip(samples(), GOLDEN_FEATURES, strict=True):
        for result, expected in zip(model(x), wanted, strict=True):
            np.testing.assert_array_equal(result, expected)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (transform("int16", 1, 12, 12), "its length 12 is no power of 2"),
        (transform("int16", 1, 16, 8), "its length 8 is no power of 2 that its frame fits"),
        (
            Model(
                [Tensor("x", [4], "INT32"), Tensor("y", [4], "INT32")],
                [operator("Window", [0, 0], [1], shift=3)],
                [0],
                [1],
            ),
            "it has the inputs int32, int32, not int16, int16",
        ),
        (
            Model(
                [Tensor("x", [4], "UINT32"), Tensor("y", [4], "INT16")],
                [operator("FilterBankLog", [0], [1], output_scale=1)],
                [0],
                [1],
            ),
            "its input_correction_bits is None, not a number from 0 to 31",
        ),
    ],
)
def test_uses_that_are_not_known_are_refused(model: Model, message: str, tmp_path: Path):
    with pytest.raises(ModelError, match=message):
        native(model, tmp_path)


def test_a_filter_bank_stays_within_its_tables(tmp_path: Path):
    model = front_end()
    model.tensors[4] = Tensor("places", [4], "INT16", np.array([1, 3, 6, 15], np.int16))
    with pytest.raises(ModelError, match="its channels reach beyond its bins or weights"):
        native(model, tmp_path)
