"""Networks that compute much for nothing, drawn at random.

Channels without weights, with biases from one end of the range to the other; channels that nobody
reads; channels that are equal to others. In tensors whose zero point is at an end of the range or
anywhere, with padding, with one scale and with a scale for each channel.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from tests.operators.cases import (
    Case,
    Rng,
    _activation,
    _biased_output,
    _dilation_of,
    _dtype,
    _quantization,
    _scale,
    _shape,
    _steps_of,
    _taps_of,
    _weights,
    _window,
)
from tests.unit.compiler.tflite_models import Quantization

_DEAD = 0.4
_UNREAD = 0.2
_EQUAL = 0.25
_LEAST_SCALE = 1e-5


@dataclass
class _Network:
    """A case in the making.

    Args:
        rng: What is drawn from.
        case: The case.
        dtype: Of all tensors.
        made: Tensors of the network so far, the newest last.
    """

    rng: Rng
    case: Case
    dtype: str
    made: list[int]

    @property
    def weights_dtype(self) -> str:
        return "uint8" if self.dtype == "uint8" else "int8"

    def shape(self, index: int) -> list[int]:
        return list(self.case.tensors[index].shape)

    def quantization(self, index: int) -> Quantization:
        found = self.case.tensors[index].quantization
        assert found is not None
        return found

    def image(self) -> int:
        """One of the images, mostly the newest."""
        if self.rng.random() < 0.8:
            return self.made[-1]
        return int(self.rng.choice(self.made))

    def activation(self, source: int) -> int:
        """An activation for what is made of a tensor; none where its bounds overflow."""
        drawn = _activation(self.rng)
        return drawn if self.quantization(source).scales[0] > _LEAST_SCALE else 0

    def add(self, shape: list[int], quantization: Quantization) -> int:
        self.made.append(self.case.add(shape, self.dtype, quantization))
        return self.made[-1]

    def weighted(
        self, source: int, shape: list[int], axis: int, taps: int, activation: int
    ) -> tuple[list[int], Quantization]:
        """Weights and a bias with dead channels among them, and what suits their sums."""
        rng, case, channels = self.rng, self.case, shape[axis]
        is_dense = len(shape) == 2
        can_differ = self.dtype == "int8" or (self.dtype == "int16" and not is_dense)
        can_differ = can_differ and (axis == 3 or rng.random() < 0.7)
        weights, scales = _weights(rng, case, shape, axis, self.weights_dtype, can_differ)
        known, values = case.tensors[weights].quantization, case.tensors[weights].data
        assert known is not None
        assert values is not None
        zero = known.zero_points[0]
        by_output = np.moveaxis(values, axis, 0)
        if axis == 0:
            by_output[..., rng.random(shape[-1]) < _UNREAD] = zero
        dead = rng.random(channels) < _DEAD
        by_output[dead] = zero
        equal_to = np.where(
            rng.random(channels) < _EQUAL,
            rng.integers(channels, size=channels),
            np.arange(channels),
        )
        by_output[:] = by_output[equal_to].copy()
        if len(scales) > 1:
            scales[:] = scales[equal_to].copy()
            known = replace(known, scales=[float(scale) for scale in scales])
            case.tensors[weights] = replace(case.tensors[weights], quantization=known)
        source_quantization = self.quantization(source)
        bias, output = _biased_output(
            rng,
            case,
            source_quantization,
            scales,
            taps,
            channels,
            self.dtype,
            activation,
            is_optional=axis != 0 or is_dense,
        )
        for index in bias:
            biases = case.tensors[index].data
            assert biases is not None
            biases[:] = biases[equal_to].copy()
        return [weights, *bias], output


def _convolution(network: _Network, *, is_depthwise: bool) -> None:
    rng, case, source = network.rng, network.case, network.image()
    image = network.shape(source)
    window = _window(rng, image, 3, dilated=True)
    activation = network.activation(source)
    options: dict[str, Any] = {}
    if is_depthwise:
        options["DepthMultiplier"] = int(rng.choice([1, 1, 1, 2]))
        channels = image[3] * options["DepthMultiplier"]
        shape, axis, taps = [1, *window["taps"], channels], 3, math.prod(window["taps"])
    else:
        channels = int(rng.integers(1, 9, endpoint=True))
        shape, axis = [channels, *window["taps"], image[3]], 0
        taps = math.prod(shape[1:])
    inputs, output = network.weighted(source, shape, axis, taps, activation)
    result = network.add([image[0], *window["outputs"], channels], output)
    case.step(
        "DEPTHWISE_CONV_2D" if is_depthwise else "CONV_2D",
        [source, *inputs],
        [result],
        **_steps_of(window),
        **_dilation_of(window),
        FusedActivationFunction=activation,
        **options,
    )


def _pool(network: _Network) -> None:
    rng, source = network.rng, network.image()
    image, quantization = network.shape(source), network.quantization(source)
    window = _window(rng, image, 3, dilated=False)
    result = network.add([image[0], *window["outputs"], image[3]], quantization)
    network.case.step(
        str(rng.choice(["AVERAGE_POOL_2D", "MAX_POOL_2D"])),
        [source],
        [result],
        **_steps_of(window),
        **_taps_of(window),
        FusedActivationFunction=network.activation(source),
    )


def _element(network: _Network) -> None:
    rng, source = network.rng, network.image()
    operator = str(rng.choice(["RELU", "RELU6", "QUANTIZE"]))
    scale = float(np.float32(network.quantization(source).scales[0] * 2.0 ** rng.uniform(-1, 1)))
    if operator == "RELU6" and min(scale, network.quantization(source).scales[0]) <= _LEAST_SCALE:
        operator = "RELU"
    output = _quantization(rng, network.dtype, scale)
    result = network.add(network.shape(source), output)
    network.case.step(operator, [source], [result])


def _pair(network: _Network) -> None:
    """A sum, a difference or a product: of two images, or of one and what is known."""
    rng, case, left = network.rng, network.case, network.image()
    shape = network.shape(left)
    others = [index for index in network.made if network.shape(index) == shape]
    right = int(rng.choice(others))
    if rng.random() < 0.3:
        known = _quantization(rng, network.dtype, _scale(rng, -6, -3))
        extents = [shape[3]] if rng.random() < 0.6 else [1]
        limits = np.iinfo(network.dtype)
        values = rng.integers(limits.min, limits.max, extents, network.dtype, endpoint=True)
        right = case.add(extents, network.dtype, known, values)
    scale = network.quantization(left).scales[0] * 2.0 ** rng.uniform(-1, 1)
    operator = str(rng.choice(["ADD", "ADD", "SUB", "MUL"]))
    if network.dtype == "int16":
        operator = "MUL"
    result = network.add(shape, _quantization(rng, network.dtype, float(np.float32(scale))))
    case.step(operator, [left, right], [result], FusedActivationFunction=network.activation(left))


def _joined(network: _Network) -> None:
    """Images side by side, channel after channel or row after row."""
    rng, source = network.rng, network.image()
    shape, quantization = network.shape(source), network.quantization(source)
    axis = int(rng.choice([1, 3, 3]))
    parts = [source]
    for index in network.made:
        other = network.shape(index)
        fits = all(a == b for at, (a, b) in enumerate(zip(shape, other, strict=True)) if at != axis)
        if fits and len(parts) < 3 and network.quantization(index) == quantization:
            parts.append(index)
    extents = [sum(network.shape(i)[at] if at == axis else 0 for i in parts) for at in range(4)]
    result = network.add([e or s for e, s in zip(extents, shape, strict=True)], quantization)
    network.case.step("CONCATENATION", parts, [result], Axis=axis)


def _resized(network: _Network) -> None:
    rng, source = network.rng, network.image()
    n, *_, channels = network.shape(source)
    size = _shape(rng, 2, 1, 6)
    kind = str(rng.choice(["RESIZE_NEAREST_NEIGHBOR", "RESIZE_BILINEAR"]))
    if network.dtype == "uint8":
        kind = "RESIZE_NEAREST_NEIGHBOR"
    result = network.add([n, *size, channels], network.quantization(source))
    network.case.step(kind, [source, network.case.constant(size)], [result])


def _classified(network: _Network) -> None:
    """What ends the network: the image, its mean or all of it, and perhaps scores of that."""
    rng, case, last = network.rng, network.case, network.made[-1]
    if rng.random() < 0.25:
        case.outputs.append(last)
        return
    n, height, width, channels = network.shape(last)
    count = height * width * channels
    if rng.random() < 0.4 and network.dtype != "int16":
        mean = case.add(
            [n, channels], network.dtype, _quantization(rng, network.dtype, _scale(rng))
        )
        case.step("MEAN", [last, case.constant([1, 2])], [mean], KeepDims=False)
        last, count = mean, channels
    else:
        flat = case.add([n, count], network.dtype, network.quantization(last))
        case.step("RESHAPE", [last, case.constant([n, count])], [flat], NewShape=[n, count])
        last = flat
    outputs = int(rng.integers(1, 7, endpoint=True))
    activation = network.activation(last)
    inputs, output = network.weighted(last, [outputs, count], 0, count, activation)
    scores = case.add([n, outputs], network.dtype, output)
    case.step("FULLY_CONNECTED", [last, *inputs], [scores], FusedActivationFunction=activation)
    case.outputs.append(scores)


def dead_network(rng: Rng, case: Case) -> None:
    """A few layers with dead channels; some of the tensors between them may be outputs as well."""
    dtype = _dtype(rng, "uint8", "int16")
    image = [int(rng.choice([1, 1, 2])), *_shape(rng, 2, 2, 7), int(rng.integers(1, 5))]
    source = _quantization(rng, dtype, _scale(rng, -6, -3))
    network = _Network(rng, case, dtype, [case.add_input(rng, image, dtype, source)])
    _convolution(network, is_depthwise=False)
    if rng.random() < 0.6:
        _convolution(network, is_depthwise=True)
        _convolution(network, is_depthwise=False)
    steps = (
        lambda: _convolution(network, is_depthwise=False),
        lambda: _convolution(network, is_depthwise=True),
        lambda: _convolution(network, is_depthwise=True),
        lambda: _pool(network),
        lambda: _element(network),
        lambda: _pair(network),
        lambda: _joined(network),
        lambda: _resized(network),
    )
    for _ in range(int(rng.integers(1, 6))):
        steps[int(rng.choice(len(steps), p=[0.25, 0.15, 0.15, 0.1, 0.1, 0.15, 0.05, 0.05]))]()
    _classified(network)
    if rng.random() < 0.2:
        between = int(rng.choice(network.made[1:]))
        if between not in case.outputs:
            case.outputs.append(between)


DEAD = {"dead_network": dead_network}
"""What is drawn: fills a case from random numbers."""
