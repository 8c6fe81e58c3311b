"""Four networks as large as those of the MLPerf Tiny benchmark, with weights drawn at random.

What a network costs to build and to run depends on its shapes, not on what it has learned. Weights
are scaled so that signals keep their strength from layer to layer: few activations saturate, and
outputs depend on inputs.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import tflite

from tests.operators.cases import Array, Case, merged
from tests.unit.compiler.tflite_models import Quantization

SEED = 1

LINEAR = Quantization([4 / 128], [0])
"""Activations from -4 to 4."""
RECTIFIED = Quantization([4 / 256], [-128])
"""Activations from 0 to 4."""
CHANCES = Quantization([1 / 256], [-128])

RELU = {
    False: tflite.ActivationFunctionType.NONE,
    True: tflite.ActivationFunctionType.RELU,
}

WEIGHT_LIMIT = 127
WEIGHT_SPREAD = WEIGHT_LIMIT / math.sqrt(3)
"""The standard deviation of uniform weights up to the limit."""
BIAS_SPREAD = 0.25
"""A standard deviation, too, but scaled as activations are."""


class Network:
    """A network in the making; its layers take tensors, and return what they compute, by index.

    Args:
        name: What tensors are named after.
        shape: Of the input.
    """

    def __init__(self, name: str, shape: list[int]) -> None:
        self._case = Case("network", name)
        # Not default_rng: NumPy keeps only RandomState's values the same for ever (NEP 19).
        self._random = np.random.RandomState(SEED)
        self.input = self._case.add(shape, "int8", Quantization([1 / 128], [0]))

    def shape(self, tensor: int) -> list[int]:
        """The shape of a tensor."""
        return list(self._case.tensors[tensor].shape)

    def dense(self, source: int, units: int, *, relu: bool = True) -> int:
        """A fully connected layer."""
        _, inputs = self.shape(source)
        weights = self._weights(source, [units, inputs], None)
        output = self._activations([1, units], relu)
        self._case.step(
            "FULLY_CONNECTED", [source, *weights], [output], FusedActivationFunction=RELU[relu]
        )
        return output

    def conv(
        self,
        source: int,
        channels: int,
        taps: tuple[int, int] = (3, 3),
        *,
        stride: int = 1,
        relu: bool = True,
    ) -> int:
        """A convolution."""
        weights = self._weights(source, [channels, *taps, self.shape(source)[3]], 0)
        return self._slid("CONV_2D", source, weights, channels, stride, relu)

    def separable(self, source: int, channels: int, *, stride: int = 1) -> int:
        """A 3x3 convolution of each channel by itself, and a 1x1 convolution of all."""
        depth = self.shape(source)[3]
        weights = self._weights(source, [1, 3, 3, depth], 3)
        output = self._slid(
            "DEPTHWISE_CONV_2D", source, weights, depth, stride, relu=True, DepthMultiplier=1
        )
        return self.conv(output, channels, (1, 1))

    def add(self, left: int, right: int) -> int:
        """The sum of two tensors."""
        output = self._activations(self.shape(left), relu=True)
        self._case.step("ADD", [left, right], [output], FusedActivationFunction=RELU[True])
        return output

    def classify(self, source: int, classes: int) -> int:
        """The chance of each class, by the mean of each channel."""
        _, height, width, channels = self.shape(source)
        pooled = self._activations([1, 1, 1, channels], relu=True)
        self._case.step(
            "AVERAGE_POOL_2D",
            [source],
            [pooled],
            Padding=tflite.Padding.VALID,
            StrideH=height,
            StrideW=width,
            FilterHeight=height,
            FilterWidth=width,
        )
        flat = self._activations([1, channels], relu=True)
        shape = [1, channels]
        self._case.step("RESHAPE", [pooled, self._case.constant(shape)], [flat], NewShape=shape)
        scores = self.dense(flat, classes, relu=False)
        chances = self._case.add([1, classes], "int8", CHANCES)
        self._case.step("SOFTMAX", [scores], [chances], Beta=1.0)
        return chances

    def to_bytes(self, output: int) -> bytes:
        """The file's content."""
        self._case.inputs, self._case.outputs = [self.input], [output]
        return merged([self._case]).to_bytes()

    def _activations(self, shape: list[int], relu: bool) -> int:
        return self._case.add(shape, "int8", RECTIFIED if relu else LINEAR)

    def _slid(
        self,
        operator: str,
        source: int,
        weights: tuple[int, int],
        channels: int,
        stride: int,
        relu: bool,
        **options: int,
    ) -> int:
        """A kernel at every `stride`-th place, with padding where it reaches beyond the edge."""
        _, height, width, _ = self.shape(source)
        output = self._activations([1, -(-height // stride), -(-width // stride), channels], relu)
        self._case.step(
            operator,
            [source, *weights],
            [output],
            Padding=tflite.Padding.SAME,
            StrideH=stride,
            StrideW=stride,
            FusedActivationFunction=RELU[relu],
            **options,
        )
        return output

    def _weights(self, source: int, shape: list[int], axis: int | None) -> tuple[int, int]:
        """Weights and a bias, with a scale for each index of `axis`, or one for all."""
        channels = shape[0 if axis is None else axis]
        taps = math.prod(shape) // channels
        # The mean square of rectified sums is half of theirs.
        gains = np.exp2(self._random.uniform(-0.5, 0.5, 1 if axis is None else channels))
        scales = np.float32(gains * math.sqrt(2 / taps) / WEIGHT_SPREAD)
        values = self._random.randint(-WEIGHT_LIMIT, WEIGHT_LIMIT + 1, shape, np.int8)
        weights = self._constant(values, scales, axis or 0)
        given = self._case.tensors[source].quantization
        assert given is not None
        steps = scales * np.float32(given.scales[0])
        bias = np.round(self._random.normal(0, BIAS_SPREAD, channels) / steps).astype(np.int32)
        return weights, self._constant(bias, steps, 0)

    def _constant(self, values: Array, scales: Array, axis: int) -> int:
        quantization = Quantization([float(s) for s in scales], [0] * len(scales), axis)
        return self._case.add(values.shape, str(values.dtype), quantization, values)


def autoencoder() -> bytes:
    """What a machine's sound should have been: fully connected layers through a bottleneck."""
    network = Network("autoencoder", [1, 640])
    tensor = network.input
    for units in (128, 128, 128, 128, 8, 128, 128, 128, 128):
        tensor = network.dense(tensor, units)
    return network.to_bytes(network.dense(tensor, 640, relu=False))


def keyword() -> bytes:
    """Which of 12 words was said: separable convolutions (DS-CNN)."""
    network = Network("keyword", [1, 49, 10, 1])
    tensor = network.conv(network.input, 64, (10, 4), stride=2)
    for _ in range(4):
        tensor = network.separable(tensor, 64)
    return network.to_bytes(network.classify(tensor, 12))


def person() -> bytes:
    """Whether someone is in sight: MobileNet v1, a quarter as wide."""
    network = Network("person", [1, 96, 96, 3])
    tensor = network.conv(network.input, 8, stride=2)
    for channels, stride in (
        *((16, 1), (32, 2), (32, 1), (64, 2), (64, 1), (128, 2)),
        *((128, 1),) * 5,
        *((256, 2), (256, 1)),
    ):
        tensor = network.separable(tensor, channels, stride=stride)
    return network.to_bytes(network.classify(tensor, 2))


def image() -> bytes:
    """Which of 10 things is seen: a residual network (ResNet-8)."""
    network = Network("image", [1, 32, 32, 3])
    tensor = network.conv(network.input, 16)
    for channels, stride in ((16, 1), (32, 2), (64, 2)):
        inner = network.conv(tensor, channels, stride=stride)
        inner = network.conv(inner, channels, relu=False)
        if stride > 1:
            tensor = network.conv(tensor, channels, (1, 1), stride=stride, relu=False)
        tensor = network.add(tensor, inner)
    return network.to_bytes(network.classify(tensor, 10))


NETWORKS: dict[str, Callable[[], bytes]] = {
    "autoencoder": autoencoder,
    "keyword": keyword,
    "person": person,
    "image": image,
}


def write_networks(folder: Path) -> list[Path]:
    """Write all networks to a folder; the same bytes each time.

    Args:
        folder: Made when it does not exist.

    Returns:
        The files, one for each of `NETWORKS`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, make in NETWORKS.items():
        paths.append(folder / f"{name}.tflite")
        paths[-1].write_bytes(make())
    return paths
