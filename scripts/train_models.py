#!/usr/bin/env python3
"""Train the example models and write them to conftest_examples/models/.

The only program of this project that needs TensorFlow, and nobody has to run it: the trained models
are in the tree. To make them again, in an environment of its own:

    pip install tensorflow-cpu==2.21.0
    python scripts/train_models.py

Everything is seeded. The same TensorFlow on the same kind of CPU gives the same models; another
TensorFlow gives models as good but not the same bytes. The accuracies printed are those of the
finished .tflite files, run by TensorFlow Lite's reference kernels on data that training never saw.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")  # its sums depend on the number of cores

import tensorflow as tf
from tensorflow.lite.tools import flatbuffer_utils

MODELS = Path(__file__).resolve().parent.parent / "conftest_examples" / "models"
SEED = 20240917
FloatArray = npt.NDArray[np.float32]

KEYWORD_CLASSES = ("silence", "tone", "rising", "falling")
KEYWORD_RATE_HZ = 4000
KEYWORD_FRAMES, KEYWORD_FRAME_SAMPLES = 32, 125  # one second
KEYWORD_BANDS = 20

MOTION_CLASSES = ("still", "walking", "shaking")
MOTION_RATE_HZ = 25
MOTION_SAMPLES = 32  # 1.28 seconds


@dataclass(frozen=True)
class Trained:
    """A finished model and what it can do.

    Attributes:
        name: File name without suffix.
        content: The .tflite file.
        task: One sentence for the README.
        accuracy: What was measured on held-out data, in words.
        samples: Held-out inputs and labels that examples may use, by name; empty for none.
    """

    name: str
    content: bytes
    task: str
    accuracy: str
    samples: dict[str, npt.NDArray[Any]]


# Making .tflite files ---------------------------------------------------------------------------


def convert(
    model: Any,
    inputs: Sequence[tuple[str, tuple[int, ...]]],
    outputs: Sequence[str],
    calibration: Sequence[FloatArray] | None = None,
) -> bytes:
    """Convert a Keras model to a .tflite file for one sample at a time.

    Args:
        model: The trained model; called with a list where it has several inputs.
        inputs: Name and shape, without the batch, of each input.
        outputs: The name of each output, in the model's order.
        calibration: One array of samples per input: the model becomes int8 with ranges taken from
            them, inputs and outputs too. None leaves it float32.

    Returns:
        The content of the .tflite file; its tensors of input and output carry the names given.
    """
    specs = [tf.TensorSpec((1, *shape), tf.float32, name=name) for name, shape in inputs]

    def one_sample(*arguments: Any) -> dict[str, Any]:
        results = model(list(arguments) if len(arguments) > 1 else arguments[0], training=False)
        results = results if isinstance(results, list) else [results]
        return dict(zip(outputs, results, strict=True))

    with tempfile.TemporaryDirectory() as saved:
        archive = tf.keras.export.ExportArchive()
        archive.track(model)
        archive.add_endpoint("serving_default", one_sample, specs)
        archive.write_out(saved, verbose=False)
        converter = tf.lite.TFLiteConverter.from_saved_model(saved)
        if calibration is not None:
            set_up_int8(converter, calibration)
        return name_tensors(converter.convert())


def set_up_int8(converter: Any, calibration: Sequence[FloatArray]) -> None:
    """Make a converter write an int8 model, its ranges taken from samples of every input."""

    def representative() -> Iterator[list[FloatArray]]:
        for sample in zip(*calibration, strict=True):
            yield [array[np.newaxis] for array in sample]

    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = representative
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = tf.int8
    converter.inference_output_type = tf.int8


def name_tensors(content: bytes) -> bytes:
    """Give inputs and outputs the names they have in the signature.

    The converter calls them `serving_default_x:0` and `StatefulPartitionedCall:0`.
    """
    model = flatbuffer_utils.convert_bytearray_to_object(content)
    (graph,) = model.subgraphs
    (signature,) = model.signatureDefs
    for tensor in (*signature.inputs, *signature.outputs):
        graph.tensors[tensor.tensorIndex].name = tensor.name
    return bytes(flatbuffer_utils.convert_object_to_bytearray(model))


class Interpreter:
    """Runs a .tflite file with the reference kernels, in and out in the model's own units."""

    def __init__(self, content: bytes) -> None:
        self._interpreter = tf.lite.Interpreter(
            model_content=content,
            experimental_op_resolver_type=tf.lite.experimental.OpResolverType.BUILTIN_REF,
        )
        self._interpreter.allocate_tensors()
        self.inputs = self._interpreter.get_input_details()
        self.outputs = self._interpreter.get_output_details()
        for detail in (*self.inputs, *self.outputs):
            if detail["shape"][0] != 1 or -1 in detail["shape_signature"]:
                raise ValueError(f"{detail['name']} has the shape {detail['shape_signature']}")

    def quantize(self, name: str, values: FloatArray) -> npt.NDArray[Any]:
        """Values of the input `name` as the model takes them: int8 for an int8 model."""
        (detail,) = (detail for detail in self.inputs if detail["name"] == name)
        scale, zero_point = detail["quantization"]
        if scale == 0:
            return values.astype(np.float32)
        levels = np.round(values / scale) + zero_point
        return np.asarray(np.clip(levels, -128, 127), np.int8)

    def run(self, sample: dict[str, FloatArray]) -> dict[str, FloatArray]:
        """Run one sample (arrays without the batch); outputs come back as float32."""
        for detail in self.inputs:
            name = detail["name"]
            self._interpreter.set_tensor(
                detail["index"], self.quantize(name, sample[name])[np.newaxis]
            )
        self._interpreter.invoke()
        results = {}
        for detail in self.outputs:
            values = self._interpreter.get_tensor(detail["index"])[0].astype(np.float32)
            scale, zero_point = detail["quantization"]
            results[detail["name"]] = (values - zero_point) * scale if scale else values
        return results


# Sine: the smallest model that does something ---------------------------------------------------


def train_sine() -> list[Trained]:
    """Three dense layers that learn sin(x) for x in [0, 2π]; as float32 and as int8."""
    random = np.random.default_rng(SEED)
    x = random.uniform(0, 2 * np.pi, (2000, 1)).astype(np.float32)
    model = tf.keras.Sequential(
        [
            tf.keras.layers.Input((1,)),
            tf.keras.layers.Dense(16, activation="relu"),
            tf.keras.layers.Dense(16, activation="relu"),
            tf.keras.layers.Dense(1),
        ]
    )
    fit(model, x, np.sin(x), loss="mse", epochs=150, learning_rate=5e-3)

    trained = []
    for name, calibration in (("sine_float32", None), ("sine_int8", [x[:500]])):
        content = convert(model, [("x", (1,))], ["y"], calibration)
        interpreter = Interpreter(content)
        grid = np.linspace(0, 2 * np.pi, 500, dtype=np.float32)
        predicted = [float(interpreter.run({"x": np.array([v])})["y"][0]) for v in grid]
        error = float(np.abs(np.array(predicted) - np.sin(grid)).mean())
        trained.append(
            Trained(
                name, content, "sin(x) for x in [0, 2π]", f"mean absolute error {error:.3f}", {}
            )
        )
    return trained


# Keyword: a depthwise-separable convolutional net over spectrograms -----------------------------


def keyword_sound(random: np.random.Generator, label: int) -> FloatArray:
    """One second of sound of class `label`, float32 (4000,): noise alone, or a tone in it."""
    t = np.arange(KEYWORD_FRAMES * KEYWORD_FRAME_SAMPLES) / KEYWORD_RATE_HZ
    low_hz, high_hz = random.uniform(200, 700), random.uniform(1000, 1800)
    middle_hz = random.uniform(300, 1600)
    start_hz, end_hz = [(0, 0), (middle_hz, middle_hz), (low_hz, high_hz), (high_hz, low_hz)][label]
    phase = 2 * np.pi * (start_hz * t + (end_hz - start_hz) * t**2 / 2)
    onset_s, length_s = random.uniform(0, 0.3), random.uniform(0.5, 0.7)
    envelope = (t >= onset_s) & (t < onset_s + length_s)
    loudness = 0.0 if label == 0 else random.uniform(0.15, 1.0)
    noise = random.normal(0, random.uniform(0.02, 0.3), t.shape)
    return np.asarray(loudness * envelope * np.sin(phase) + noise, np.float32)


def spectrogram(sound: FloatArray) -> FloatArray:
    """Log energy in bands of 100 Hz, float32 (32 frames, 20 bands, 1), about -3 to 3."""
    frames = sound.reshape(KEYWORD_FRAMES, KEYWORD_FRAME_SAMPLES)
    energy = np.abs(np.fft.rfft(frames * np.hanning(KEYWORD_FRAME_SAMPLES))) ** 2
    bands = energy[:, 1 : 3 * KEYWORD_BANDS + 1].reshape(KEYWORD_FRAMES, KEYWORD_BANDS, 3).sum(2)
    return np.asarray(np.log10(bands + 1e-3)[..., np.newaxis], np.float32)


def keyword_data(count: int, seed: int) -> tuple[FloatArray, npt.NDArray[np.int32]]:
    """`count` spectrograms (count, 32, 20, 1) and their labels (count,), classes in equal parts."""
    random = np.random.default_rng(seed)
    labels = (np.arange(count) % len(KEYWORD_CLASSES)).astype(np.int32)
    return np.stack([spectrogram(keyword_sound(random, int(label))) for label in labels]), labels


def train_keyword() -> list[Trained]:
    """Which of four sounds a spectrogram shows; int8."""
    x, labels = keyword_data(4000, SEED)

    def separable(filters: int, strides: int) -> list[Any]:
        layers = tf.keras.layers
        return [
            layers.DepthwiseConv2D(3, strides, padding="same", use_bias=False),
            layers.BatchNormalization(),
            layers.ReLU(),
            layers.Conv2D(filters, 1, use_bias=False),
            layers.BatchNormalization(),
            layers.ReLU(),
        ]

    model = tf.keras.Sequential(
        [
            tf.keras.layers.Input((KEYWORD_FRAMES, KEYWORD_BANDS, 1)),
            tf.keras.layers.Conv2D(16, (5, 3), (2, 2), padding="same", use_bias=False),
            tf.keras.layers.BatchNormalization(),
            tf.keras.layers.ReLU(),
            *separable(24, 1),
            tf.keras.layers.MaxPooling2D((2, 1)),
            *separable(32, 2),
            *separable(32, 1),
            tf.keras.layers.AveragePooling2D((4, 5)),
            tf.keras.layers.Flatten(),
            tf.keras.layers.Dense(len(KEYWORD_CLASSES)),
            tf.keras.layers.Softmax(),
        ]
    )
    fit(model, x, labels, loss="sparse_categorical_crossentropy", epochs=8, learning_rate=3e-3)

    shape = (KEYWORD_FRAMES, KEYWORD_BANDS, 1)
    content = convert(model, [("spectrogram", shape)], ["scores"], [x[:400]])
    interpreter = Interpreter(content)
    unseen, truth = keyword_data(800, SEED + 1)
    predicted = [interpreter.run({"spectrogram": sample})["scores"].argmax() for sample in unseen]
    correct = float(np.mean(np.array(predicted) == truth))
    return [
        Trained(
            "keyword_int8",
            content,
            f"which of {', '.join(KEYWORD_CLASSES)} a one-second spectrogram shows",
            f"{correct:.1%} of 800 right",
            {
                "spectrogram": interpreter.quantize("spectrogram", unseen[:8]),
                "label": truth[:8],
            },
        )
    ]


# Motion: two inputs, two outputs ----------------------------------------------------------------


def motion_data(
    count: int, seed: int
) -> tuple[FloatArray, FloatArray, npt.NDArray[np.int32], FloatArray]:
    """Windows of a worn accelerometer whose orientation is known.

    Walking is a swing along gravity and shaking the same swing across it, so that neither input
    alone tells them apart.

    Returns:
        acceleration (count, 32, 3) in g, gravity (count, 3) of unit length, activity (count,), and
        intensity (count, 1): the swing's amplitude in g, 0 when still.
    """
    random = np.random.default_rng(seed)
    t = np.arange(MOTION_SAMPLES) / MOTION_RATE_HZ
    activity = (np.arange(count) % len(MOTION_CLASSES)).astype(np.int32)
    gravity = random.normal(size=(count, 3))
    gravity /= np.linalg.norm(gravity, axis=1, keepdims=True)
    across = np.cross(gravity, random.normal(size=(count, 3)))
    across /= np.linalg.norm(across, axis=1, keepdims=True)
    direction = np.where((activity == 1)[:, np.newaxis], gravity, across)
    amplitude = np.where(activity == 0, 0.0, random.uniform(0.3, 1.5, count))
    frequency_hz, phase = (
        random.uniform(1.5, 4, (count, 1)),
        random.uniform(0, 2 * np.pi, (count, 1)),
    )
    swing = amplitude[:, np.newaxis] * np.sin(2 * np.pi * frequency_hz * t + phase)
    acceleration = gravity[:, np.newaxis, :] + swing[..., np.newaxis] * direction[:, np.newaxis, :]
    acceleration += random.normal(0, 0.05, acceleration.shape)
    return (
        acceleration.astype(np.float32),
        gravity.astype(np.float32),
        activity,
        amplitude[:, np.newaxis].astype(np.float32),
    )


def train_motion() -> list[Trained]:
    """What somebody is doing and how hard, from an accelerometer and its orientation; float32."""
    acceleration, gravity, activity, intensity = motion_data(9000, SEED)
    layers = tf.keras.layers
    window = layers.Input((MOTION_SAMPLES, 3), name="acceleration")
    orientation = layers.Input((3,), name="gravity")
    mixed = layers.Concatenate()([layers.Flatten()(window), orientation])
    hidden = layers.Dense(48, activation="relu")(mixed)
    hidden = layers.Dense(32, activation="relu")(hidden)
    model = tf.keras.Model(
        [window, orientation],
        [
            layers.Dense(len(MOTION_CLASSES), activation="softmax", name="activity")(hidden),
            layers.Dense(1, activation="relu", name="intensity")(hidden),
        ],
    )
    fit(
        model,
        [acceleration, gravity],
        [activity, intensity],
        loss=["sparse_categorical_crossentropy", "mse"],
        epochs=40,
        learning_rate=2e-3,
    )
    content = convert(
        model,
        [("acceleration", (MOTION_SAMPLES, 3)), ("gravity", (3,))],
        ["activity", "intensity"],
    )
    interpreter = Interpreter(content)
    windows, orientations, truth, amplitudes = motion_data(900, SEED + 1)
    answers = [
        interpreter.run({"acceleration": window, "gravity": orientation})
        for window, orientation in zip(windows, orientations, strict=True)
    ]
    correct = float(np.mean([a["activity"].argmax() for a in answers] == truth))
    error_g = float(np.abs(np.stack([a["intensity"] for a in answers]) - amplitudes).mean())
    return [
        Trained(
            "motion_float32",
            content,
            f"whether somebody is {', '.join(MOTION_CLASSES)}, and how hard",
            f"{correct:.1%} of 900 right, intensity off by {error_g:.2f} g on average",
            {},
        )
    ]


# The program ------------------------------------------------------------------------------------


def fit(
    model: Any, inputs: Any, targets: Any, *, loss: Any, epochs: int, learning_rate: float
) -> None:
    """Train with Adam, the learning rate falling to nothing along a cosine."""
    samples = len(inputs[0]) if isinstance(inputs, list) else len(inputs)
    schedule = tf.keras.optimizers.schedules.CosineDecay(learning_rate, epochs * -(-samples // 64))
    model.compile(tf.keras.optimizers.Adam(schedule), loss)
    model.fit(inputs, targets, batch_size=64, epochs=epochs, verbose=0)


def readme(models: Sequence[Trained]) -> str:
    """The table of the models, as Markdown."""
    lines = [
        "# Example models",
        "",
        "Trained on synthetic data by `scripts/train_models.py`, which also wrote this page, with",
        f"TensorFlow {tf.__version__}. The accuracies are those of the reference kernels of",
        "TensorFlow Lite on data that training never saw.",
        "",
        "| model | task | inputs | outputs | bytes | accuracy |",
        "| --- | --- | --- | --- | ---: | --- |",
    ]
    for model in models:
        interpreter = Interpreter(model.content)
        inputs, outputs = (
            ", ".join(
                f"`{d['name']}` {np.dtype(d['dtype']).name} {tuple(map(int, d['shape']))}"
                for d in details
            )
            for details in (interpreter.inputs, interpreter.outputs)
        )
        lines.append(
            f"| `{model.name}.tflite` | {model.task} | {inputs} | {outputs} "
            f"| {len(model.content)} | {model.accuracy} |"
        )
    return "\n".join(lines) + "\n"


def main(arguments: Sequence[str] | None = None) -> int:
    """Train every model and write the files."""
    parser = argparse.ArgumentParser(description="Train the example models.")
    parser.add_argument("--output", type=Path, default=MODELS, help="folder to write to")
    directory: Path = parser.parse_args(arguments).output
    directory.mkdir(parents=True, exist_ok=True)

    # TensorFlow Lite moved to a package of its own; the one inside TensorFlow says so at each use.
    warnings.filterwarnings("ignore", module="tensorflow.lite")

    models: list[Trained] = []
    trainers: list[Callable[[], list[Trained]]] = [train_sine, train_keyword, train_motion]
    for train in trainers:
        tf.keras.utils.set_random_seed(SEED)
        tf.config.experimental.enable_op_determinism()
        for model in train():
            print(f"{model.name}: {len(model.content)} bytes, {model.accuracy}", flush=True)
            (directory / f"{model.name}.tflite").write_bytes(model.content)
            if model.samples:
                np.savez(
                    directory / f"{model.name}_samples.npz", allow_pickle=False, **model.samples
                )
            models.append(model)
    (directory / "README.md").write_text(readme(models), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
