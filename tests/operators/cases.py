"""Operators over quantized tensors, drawn at random: what goes in, and the file that says it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import flatbuffers
import numpy as np
import numpy.typing as npt
import tflite

from tests.unit.compiler.tflite_models import Model, Operator, Quantization, Tensor

Array = npt.NDArray[Any]
Rng = np.random.Generator

SAMPLES = 3
"""Inputs for each case: random ones, extremes, and a mixture."""

_ACTIVATIONS = ("NONE", "RELU", "RELU6", "RELU_N1_TO_1")


@dataclass
class Case:
    """A few operators, the tensors that they read and write, and inputs to run them with.

    Args:
        operator: A name of `OPERATORS`.
        name: The operator and a number.
        tensors: Those that indices refer to.
        operators: In order of execution.
        inputs: Indices of the inputs.
        outputs: Indices of the outputs.
        samples: Arrays for each input, `SAMPLES` times.
        tolerance: How far floats may be off, and as much of the value; 0 asks for the bytes.
        versions: Of operators, where it is not 1.
    """

    operator: str
    name: str
    tensors: list[Tensor] = field(default_factory=list)
    operators: list[Operator] = field(default_factory=list)
    inputs: list[int] = field(default_factory=list)
    outputs: list[int] = field(default_factory=list)
    samples: list[list[Array]] = field(default_factory=lambda: [[] for _ in range(SAMPLES)])
    tolerance: float = 0.0
    versions: dict[str, int] = field(default_factory=dict)

    def __str__(self) -> str:
        steps = []
        for step in self.operators:
            ends = [
                ", ".join(_text(self.tensors[index]) for index in indices)
                for indices in (step.inputs, step.outputs)
            ]
            steps.append(f"{step.name}({ends[0]}) -> {ends[1]}")
        return f"{self.name}: {'; '.join(steps)}"

    def add(
        self,
        shape: Sequence[int],
        dtype: str,
        quantization: Quantization | None = None,
        data: Array | None = None,
    ) -> int:
        """Add a tensor; its index. `data` makes it a constant."""
        name = f"{self.name}:{len(self.tensors)}"
        extents = [int(extent) for extent in shape]
        self.tensors.append(Tensor(name, extents, dtype.upper(), data, quantization))
        return len(self.tensors) - 1

    def add_input(
        self, rng: Rng, shape: Sequence[int], dtype: str, quantization: Quantization | None
    ) -> int:
        """Add an input of the model, with its samples; its index."""
        index = self.add(shape, dtype, quantization)
        self.inputs.append(index)
        for number, sample in enumerate(self.samples):
            sample.append(_sample(rng, number, shape, dtype, quantization))
        return index

    def constant(self, values: Sequence[int] | Array) -> int:
        """Add a constant of int32; its index."""
        data = np.asarray(values, np.int32)
        return self.add(data.shape, "int32", None, data)

    def run(
        self, operator: str, inputs: Sequence[int], outputs: Sequence[int], **options: Any
    ) -> None:
        """Add an operator whose results are outputs of the model."""
        self.step(operator, inputs, outputs, **options)
        self.outputs += outputs

    def step(
        self, operator: str, inputs: Sequence[int], outputs: Sequence[int], **options: Any
    ) -> None:
        """Add an operator."""
        self.operators.append(Operator(operator, inputs, outputs, _options(operator, options)))


def _text(tensor: Tensor) -> str:
    """A tensor's element type, shape and quantization."""
    text = f"{tensor.dtype.lower()}{list(tensor.shape)}"
    known = tensor.quantization
    if known is None:
        return text
    return f"{text} {known.scales[0]:.6g}*(q-{known.zero_points[0]})"


def merged(cases: Sequence[Case]) -> Model:
    """One model with all of the cases side by side; inputs and outputs in their order."""
    model = Model([], [], [], [])
    inputs: list[int] = []
    outputs: list[int] = []
    for case in cases:
        start = len(model.tensors)
        model.tensors += case.tensors
        for step in case.operators:
            ends = [
                [start + i if i >= 0 else i for i in indices]
                for indices in (step.inputs, step.outputs)
            ]
            version = case.versions.get(step.name, 1)
            model.operators.append(Operator(step.name, ends[0], ends[1], step.options, version))
        inputs += [start + index for index in case.inputs]
        outputs += [start + index for index in case.outputs]
    model.inputs, model.outputs = inputs, outputs
    return model


# Numbers.


def _sample(
    rng: Rng, number: int, shape: Sequence[int], dtype: str, quantization: Quantization | None
) -> Array:
    if dtype == "bool":
        return rng.random(shape) < 0.5
    if dtype == "int32":
        return rng.integers(-1000, 1000, shape).astype(np.int32)
    if dtype == "float32":
        values = rng.normal(0, 4.0 ** (number + 1), shape).astype(np.float32)
        return np.round(values * 4) / np.float32(4) if number == 2 else values
    limits = np.iinfo(dtype)
    random = rng.integers(limits.min, limits.max, shape, dtype, endpoint=True)
    zero_point = quantization.zero_points[0] if quantization else 0
    extremes = rng.choice(np.array([limits.min, limits.max, zero_point], dtype), shape)
    if number < 2:
        return (random, extremes)[number]
    return np.where(rng.random(shape) < 0.5, random, extremes).astype(dtype)


def _scale(rng: Rng, low: float = -8.0, high: float = 0.0) -> float:
    """A scale, now and then a power of two."""
    exponent = rng.uniform(low, high)
    return float(np.float32(2.0 ** (round(exponent) if rng.random() < 0.1 else exponent)))


def _zero_point(rng: Rng, dtype: str) -> int:
    """A zero point, often at the edges of its range."""
    if dtype == "int16":
        return 0
    limits = np.iinfo(dtype)
    middle = (int(limits.min) + int(limits.max) + 1) // 2
    edges = [int(limits.min), int(limits.max), middle]
    if rng.random() < 0.5:
        return int(rng.choice(edges))
    return int(rng.integers(limits.min, limits.max, endpoint=True))


def _quantization(rng: Rng, dtype: str, scale: float | None = None) -> Quantization:
    return Quantization([scale or _scale(rng)], [_zero_point(rng, dtype)])


def _dtype(rng: Rng, *others: str) -> str:
    """int8, or one of the others in one case of three."""
    return str(rng.choice(others)) if others and rng.random() < 1 / 3 else "int8"


def _shape(rng: Rng, rank: int, low: int = 1, high: int = 6) -> list[int]:
    return [int(extent) for extent in rng.integers(low, high, rank, endpoint=True)]


def _image(rng: Rng, least: int = 1, most: int = 10) -> list[int]:
    return [
        int(rng.choice([1, 1, 1, 2])),
        *(int(extent) for extent in rng.integers(least, most, 2, endpoint=True)),
        _channels(rng),
    ]


def _channels(rng: Rng) -> int:
    """Mostly a few; often as many as vectors have lanes, or a few more or fewer."""
    if rng.random() < 0.6:
        return int(rng.integers(1, 9, endpoint=True))
    return int(rng.choice([4, 8, 16, 32])) + int(rng.choice([-1, 0, 0, 0, 1]))


def _activation(rng: Rng) -> int:
    name = str(rng.choice(_ACTIVATIONS, p=[0.4, 0.25, 0.2, 0.15]))
    return int(getattr(tflite.ActivationFunctionType, name))


def _output(rng: Rng, dtype: str, scale: float, activation: int) -> Quantization:
    """A quantization; what an activation leaves is mostly a good part of the range."""
    zero_point = _zero_point(rng, dtype)
    if activation and dtype != "int16" and rng.random() < 0.8:
        least = int(np.iinfo(dtype).min)
        zero_point = least + int(rng.integers(128)) * int(rng.integers(2))
    return Quantization([float(np.float32(scale))], [zero_point])


# Options of operators.

_OPTIONS = {
    "ABS": "AbsOptions",
    "ADD_N": "AddNOptions",
    "ARG_MAX": "ArgMaxOptions",
    "ARG_MIN": "ArgMinOptions",
    "BATCH_MATMUL": "BatchMatMulOptions",
    "CUMSUM": "CumsumOptions",
    "DEPTH_TO_SPACE": "DepthToSpaceOptions",
    "DIV": "DivOptions",
    "GATHER": "GatherOptions",
    "GELU": "GeluOptions",
    "L2_NORMALIZATION": "L2NormOptions",
    "L2_POOL_2D": "Pool2DOptions",
    "MIRROR_PAD": "MirrorPadOptions",
    "PACK": "PackOptions",
    "REDUCE_MAX": "ReducerOptions",
    "REDUCE_MIN": "ReducerOptions",
    "REDUCE_PROD": "ReducerOptions",
    "SPACE_TO_DEPTH": "SpaceToDepthOptions",
    "SPLIT_V": "SplitVOptions",
    "SUM": "ReducerOptions",
    "SVDF": "SVDFOptions",
    "TRANSPOSE_CONV": "TransposeConvOptions",
    "UNPACK": "UnpackOptions",
    "ADD": "AddOptions",
    "AVERAGE_POOL_2D": "Pool2DOptions",
    "CONCATENATION": "ConcatenationOptions",
    "CONV_2D": "Conv2DOptions",
    "DEPTHWISE_CONV_2D": "DepthwiseConv2DOptions",
    "FULLY_CONNECTED": "FullyConnectedOptions",
    "LEAKY_RELU": "LeakyReluOptions",
    "MAX_POOL_2D": "Pool2DOptions",
    "MEAN": "ReducerOptions",
    "MUL": "MulOptions",
    "RESHAPE": "ReshapeOptions",
    "RESIZE_BILINEAR": "ResizeBilinearOptions",
    "RESIZE_NEAREST_NEIGHBOR": "ResizeNearestNeighborOptions",
    "SOFTMAX": "SoftmaxOptions",
    "SPLIT": "SplitOptions",
    "SQUEEZE": "SqueezeOptions",
    "STRIDED_SLICE": "StridedSliceOptions",
    "SUB": "SubOptions",
}


def _options(
    operator: str, values: Mapping[str, Any]
) -> tuple[str, Callable[[flatbuffers.Builder], int]] | None:
    name = _OPTIONS.get(operator)
    return None if name is None else (name, partial(_build_options, name, dict(values)))


def _build_options(name: str, values: dict[str, Any], builder: flatbuffers.Builder) -> int:
    """Write a table of options; lists become vectors of int32."""
    vectors = {
        key: builder.CreateNumpyVector(np.array(value, np.int32))
        for key, value in values.items()
        if isinstance(value, list)
    }
    getattr(tflite, f"{name}Start")(builder)
    for key, value in {**values, **vectors}.items():
        getattr(tflite, f"{name}Add{key}")(builder, value)
    return int(getattr(tflite, f"{name}End")(builder))


# Layers with weights.


def _window(rng: Rng, image: Sequence[int], most: int, dilated: bool) -> dict[str, Any]:
    """A kernel that fits the image: taps, strides, dilation, padding."""
    taps = [int(rng.integers(1, min(most, extent), endpoint=True)) for extent in image[1:3]]
    strides = [int(rng.choice([1, 1, 2, 3])) for _ in range(2)]
    dilation = [1, 1]
    if dilated and rng.random() < 0.25:
        dilation = [int(rng.integers(1, 3, endpoint=True)) for _ in range(2)]
    spans = [(tap - 1) * gap + 1 for tap, gap in zip(taps, dilation, strict=True)]
    fits = all(span <= extent for span, extent in zip(spans, image[1:3], strict=True))
    same = not fits or rng.random() < 0.5
    if same:
        outputs = [-(-extent // stride) for extent, stride in zip(image[1:3], strides, strict=True)]
    else:
        outputs = [
            (extent - span) // stride + 1
            for extent, span, stride in zip(image[1:3], spans, strides, strict=True)
        ]
    return {
        "taps": taps,
        "strides": strides,
        "dilation": dilation,
        "outputs": outputs,
        "padding": tflite.Padding.SAME if same else tflite.Padding.VALID,
    }


def _weights(
    rng: Rng, case: Case, shape: Sequence[int], axis: int, dtype: str, per_channel: bool
) -> tuple[int, npt.NDArray[np.float32]]:
    """Add weights; their index and the scale of each channel (or one)."""
    count = shape[axis] if per_channel else 1
    scales = np.array([_scale(rng, -9, -3) for _ in range(count)], np.float32)
    limits = np.iinfo(dtype)
    least = -127 if dtype == "int8" else int(limits.min)
    if rng.random() < 0.15:
        values = rng.choice(np.array([least, limits.max], dtype), shape)
    else:
        values = rng.integers(least, limits.max, shape, dtype, endpoint=True)
    zero_point = 0 if dtype == "int8" else _zero_point(rng, dtype)
    quantization = Quantization(list(scales), [zero_point] * count, axis)
    return case.add(shape, dtype, quantization, values.astype(dtype)), scales


def _biased_output(
    rng: Rng,
    case: Case,
    source: Quantization,
    scales: npt.NDArray[np.float32],
    taps: int,
    channels: int,
    dtype: str,
    activation: int,
    is_optional: bool = True,
) -> tuple[list[int], Quantization]:
    """Add a bias, perhaps; its index, if any, and a quantization that suits the sums."""
    spread = float(np.median(scales)) * source.scales[0] * math.sqrt(taps) * 74 * 74
    levels = 2**15 if dtype == "int16" else 2**7
    # Some saturate, some hardly move.
    scale = spread / levels * 2.0 ** rng.uniform(-2.5, 2)
    output = _output(rng, dtype, scale, activation)
    if is_optional and rng.random() < 0.2:
        return [], output
    reach = levels * scale / (scales * np.float32(source.scales[0]))
    drawn = rng.normal(0, 0.5, channels) * reach
    limit = 2**40 if dtype == "int16" else 2**30
    values = np.clip(np.round(drawn), -limit, limit).astype(np.int64)
    bias_dtype = "int64" if dtype == "int16" else "int32"
    quantization = Quantization(
        [float(s) for s in scales * np.float32(source.scales[0])], [0] * len(scales)
    )
    return [case.add([channels], bias_dtype, quantization, values.astype(bias_dtype))], output


def _conv_2d(rng: Rng, case: Case) -> None:
    dtype = _dtype(rng, "int16", "uint8")
    image = _image(rng)
    groups = int(rng.choice([2, 3])) if dtype == "int8" and rng.random() < 0.1 else 1
    image[3] *= groups
    channels = groups * _channels(rng)
    source = _quantization(rng, dtype)
    window = _window(rng, image, 5, dilated=True)
    weights_dtype = "uint8" if dtype == "uint8" else "int8"
    per_channel = dtype != "uint8" and rng.random() < 0.7
    data = case.add_input(rng, image, dtype, source)
    shape = [channels, *window["taps"], image[3] // groups]
    weights, scales = _weights(rng, case, shape, 0, weights_dtype, per_channel)
    taps = math.prod(shape[1:])
    # LiteRT has no convolution without a bias.
    activation = _activation(rng)
    bias, output = _biased_output(
        rng, case, source, scales, taps, channels, dtype, activation, is_optional=False
    )
    result = case.add([image[0], *window["outputs"], channels], dtype, output)
    case.run(
        "CONV_2D",
        [data, weights, *bias],
        [result],
        Padding=window["padding"],
        StrideH=window["strides"][0],
        StrideW=window["strides"][1],
        DilationHFactor=window["dilation"][0],
        DilationWFactor=window["dilation"][1],
        FusedActivationFunction=activation,
    )


def _depthwise_conv_2d(rng: Rng, case: Case) -> None:
    dtype = _dtype(rng, "int16", "uint8")
    image = _image(rng)
    multiplier = int(rng.choice([1, 1, 1, 2, 3]))
    channels = image[3] * multiplier
    source = _quantization(rng, dtype)
    window = _window(rng, image, 5, dilated=True)
    weights_dtype = "uint8" if dtype == "uint8" else "int8"
    per_channel = dtype == "int16" or (dtype == "int8" and rng.random() < 0.7)
    data = case.add_input(rng, image, dtype, source)
    shape = [1, *window["taps"], channels]
    weights, scales = _weights(rng, case, shape, 3, weights_dtype, per_channel)
    taps = math.prod(window["taps"])
    activation = _activation(rng)
    bias, output = _biased_output(rng, case, source, scales, taps, channels, dtype, activation)
    result = case.add([image[0], *window["outputs"], channels], dtype, output)
    case.run(
        "DEPTHWISE_CONV_2D",
        [data, weights, *bias],
        [result],
        Padding=window["padding"],
        StrideH=window["strides"][0],
        StrideW=window["strides"][1],
        DepthMultiplier=multiplier,
        DilationHFactor=window["dilation"][0],
        DilationWFactor=window["dilation"][1],
        FusedActivationFunction=activation,
    )


def _fully_connected(rng: Rng, case: Case) -> None:
    dtype = _dtype(rng, "int16", "uint8")
    rows, inputs, outputs = int(rng.integers(1, 4)), *_shape(rng, 2, 1, 40)
    if rng.random() < 0.3:
        inputs = 4 * _channels(rng)
    source = _quantization(rng, dtype)
    weights_dtype = "uint8" if dtype == "uint8" else "int8"
    data = case.add_input(rng, [rows, inputs], dtype, source)
    per_channel = dtype == "int8" and rng.random() < 0.4
    weights, scales = _weights(rng, case, [outputs, inputs], 0, weights_dtype, per_channel)
    activation = _activation(rng)
    bias, output = _biased_output(rng, case, source, scales, inputs, outputs, dtype, activation)
    result = case.add([rows, outputs], dtype, output)
    case.run(
        "FULLY_CONNECTED",
        [data, weights, *bias],
        [result],
        FusedActivationFunction=activation,
    )


def _padded_conv_2d(rng: Rng, case: Case) -> None:
    """A convolution after a PAD, as many training tools write it."""
    image = _image(rng)
    margins = rng.integers(0, 2, (4, 2), endpoint=True)
    margins[[0, 3]] = 0
    padded = [int(extent) for extent in np.array(image) + margins.sum(axis=1)]
    taps = [int(rng.integers(1, min(3, extent), endpoint=True)) for extent in padded[1:3]]
    strides = [int(rng.choice([1, 2])) for _ in range(2)]
    source = _quantization(rng, "int8")
    data = case.add_input(rng, image, "int8", source)
    middle = case.add(padded, "int8", source)
    case.step("PAD", [data, case.constant(margins)], [middle])
    channels = int(rng.integers(1, 6, endpoint=True))
    weights, scales = _weights(rng, case, [channels, *taps, image[3]], 0, "int8", True)
    depth = math.prod(taps) * image[3]
    activation = _activation(rng)
    bias, output = _biased_output(
        rng, case, source, scales, depth, channels, "int8", activation, is_optional=False
    )
    extents = [
        (extent - tap) // stride + 1
        for extent, tap, stride in zip(padded[1:3], taps, strides, strict=True)
    ]
    result = case.add([image[0], *extents, channels], "int8", output)
    case.run(
        "CONV_2D",
        [middle, weights, *bias],
        [result],
        Padding=tflite.Padding.VALID,
        StrideH=strides[0],
        StrideW=strides[1],
        FusedActivationFunction=activation,
    )


def _network(rng: Rng, case: Case) -> None:
    """A few layers that read each other's outputs, so that tensors live for different times."""
    image = [1, *_shape(rng, 2, 3, 8), int(rng.integers(1, 8, endpoint=True))]
    source = _quantization(rng, "int8", _scale(rng, -6, -3))
    data = case.add_input(rng, image, "int8", source)
    made = [(data, source)]
    for _ in range(int(rng.integers(3, 7))):
        index, given = made[-1 if rng.random() < 0.8 else int(rng.integers(len(made)))]
        other, known = made[int(rng.integers(len(made)))]
        kind = str(rng.choice(["conv", "depthwise", "add", "mul", "relu", "leaky", "pool", "max"]))
        output = _quantization(rng, "int8", _scale(rng, -6, -3))
        window: dict[str, Any] = {"StrideH": 1, "StrideW": 1, "Padding": tflite.Padding.SAME}
        if kind in ("pool", "max"):
            output = given
        if kind in ("conv", "depthwise"):
            shape = [1, 3, 3, image[3]] if kind == "depthwise" else [image[3], 3, 3, image[3]]
            axis = 3 if kind == "depthwise" else 0
            weights, scales = _weights(rng, case, shape, axis, "int8", image[3] > 1)
            taps = 9 if kind == "depthwise" else 9 * image[3]
            activation = _activation(rng)
            bias, output = _biased_output(
                rng, case, given, scales, taps, image[3], "int8", activation, is_optional=False
            )
            window["FusedActivationFunction"] = activation
        result = case.add(image, "int8", output)
        if kind == "conv":
            case.step("CONV_2D", [index, weights, *bias], [result], **window)
        elif kind == "depthwise":
            case.step(
                "DEPTHWISE_CONV_2D",
                [index, weights, *bias],
                [result],
                DepthMultiplier=1,
                **window,
            )
        elif kind in ("add", "mul"):
            case.step(kind.upper(), [index, other], [result])
        elif kind == "relu":
            case.step("RELU", [index], [result])
        elif kind == "leaky":
            case.step("LEAKY_RELU", [index], [result], Alpha=0.2)
        else:
            operator = "AVERAGE_POOL_2D" if kind == "pool" else "MAX_POOL_2D"
            case.step(operator, [index], [result], FilterHeight=2, FilterWidth=2, **window)
        made.append((result, output))
    count = math.prod(image)
    last, known = made[-1]
    flat = case.add([1, count], "int8", known)
    case.step("RESHAPE", [last, case.constant([1, count])], [flat], NewShape=[1, count])
    weights, scales = _weights(rng, case, [5, count], 0, "int8", False)
    bias, output = _biased_output(rng, case, known, scales, count, 5, "int8", 0)
    scores = case.add([1, 5], "int8", output)
    case.step("FULLY_CONNECTED", [flat, weights, *bias], [scores])
    chances = case.add([1, 5], "int8", Quantization([1 / 256], [-128]))
    case.run("SOFTMAX", [scores], [chances], Beta=1.0)


# Arithmetic.


def _pair_of_shapes(rng: Rng) -> tuple[list[int], list[int], list[int]]:
    """Shapes of two inputs and of what they broadcast to."""
    output = _shape(rng, int(rng.integers(1, 4, endpoint=True)))
    kind = rng.random()
    if kind < 0.5:
        return output, output, output
    other = [1 if rng.random() < 0.5 else extent for extent in output]
    if kind < 0.6:
        other = other[int(rng.integers(0, len(other))) :]
    elif kind < 0.7:
        other = [1]
    return (output, other, output) if rng.random() < 0.7 else (other, output, output)


def _binary(operator: str) -> Callable[[Rng, Case], None]:
    def draw_case(rng: Rng, case: Case) -> None:
        dtype = _dtype(rng, "uint8")
        left, right, shape = _pair_of_shapes(rng)
        scales = [_scale(rng), _scale(rng)]
        if rng.random() < 0.2:
            scales[1] = scales[0]
        reach = scales[0] * scales[1] * 128 if operator == "MUL" else max(scales)
        known = int(rng.choice([0, 1])) if rng.random() < 0.2 else None
        inputs = []
        for position, (extents, scale) in enumerate(zip((left, right), scales, strict=True)):
            quantization = _quantization(rng, dtype, scale)
            if position == known:
                data = _sample(rng, 0, extents, dtype, quantization)
                inputs.append(case.add(extents, dtype, quantization, data))
            else:
                inputs.append(case.add_input(rng, extents, dtype, quantization))
        activation = _activation(rng)
        output = _output(rng, dtype, reach * 2.0 ** rng.uniform(-2, 2), activation)
        result = case.add(shape, dtype, output)
        case.run(operator, inputs, [result], FusedActivationFunction=activation)

    return draw_case


def _pool(operator: str) -> Callable[[Rng, Case], None]:
    def draw_case(rng: Rng, case: Case) -> None:
        dtype = _dtype(rng, "uint8", "int16")
        image = _image(rng)
        quantization = _quantization(rng, dtype)
        window = _window(rng, image, 8, dilated=False)
        data = case.add_input(rng, image, dtype, quantization)
        result = case.add([image[0], *window["outputs"], image[3]], dtype, quantization)
        case.run(
            operator,
            [data],
            [result],
            Padding=window["padding"],
            StrideH=window["strides"][0],
            StrideW=window["strides"][1],
            FilterHeight=window["taps"][0],
            FilterWidth=window["taps"][1],
            FusedActivationFunction=_activation(rng),
        )

    return draw_case


def _mean(rng: Rng, case: Case) -> None:
    dtype = _dtype(rng, "uint8")
    shape = _shape(rng, int(rng.integers(2, 4, endpoint=True)), 1, 8)
    if len(shape) == 4 and rng.random() < 0.5:
        axes = [1, 2]
    else:
        count = int(rng.integers(1, len(shape), endpoint=True))
        axes = sorted(int(axis) for axis in rng.choice(len(shape), count, replace=False))
    source = _quantization(rng, dtype)
    keep = bool(rng.random() < 0.5)
    output = _quantization(rng, dtype, float(np.float32(source.scales[0] * rng.uniform(0.3, 2))))
    kept = [extent for axis, extent in enumerate(shape) if axis not in axes]
    if keep:
        kept = [1 if axis in axes else extent for axis, extent in enumerate(shape)]
    data = case.add_input(rng, shape, dtype, source)
    result = case.add(kept, dtype, output)
    case.run("MEAN", [data, case.constant(axes)], [result], KeepDims=keep)


def _softmax(rng: Rng, case: Case) -> None:
    dtype = _dtype(rng, "uint8")
    shape = _shape(rng, int(rng.integers(1, 3, endpoint=True)), 1, 20)
    data = case.add_input(rng, shape, dtype, _quantization(rng, dtype, _scale(rng, -9, 1)))
    output = Quantization([1 / 256], [int(np.iinfo(dtype).min)])
    result = case.add(shape, dtype, output)
    beta = float(rng.choice([1.0, 1.0, 1.0, 0.5, 2.0]))
    case.run("SOFTMAX", [data], [result], Beta=beta)


def _unary(operator: str, *dtypes: str) -> Callable[[Rng, Case], None]:
    def draw_case(rng: Rng, case: Case) -> None:
        dtype = _dtype(rng, *dtypes)
        shape = _shape(rng, int(rng.integers(1, 4, endpoint=True)), 1, 8)
        source = _quantization(rng, dtype, _scale(rng, -8, -1))
        output = _quantization(
            rng, dtype, float(np.float32(source.scales[0] * 2.0 ** rng.uniform(-1.5, 2)))
        )
        least = int(np.iinfo(dtype).min)
        if operator == "LOGISTIC":
            output = Quantization([1 / 256], [least])
        if operator == "TANH":
            output = Quantization([1 / 128], [least + 128])
        options = {"Alpha": float(rng.uniform(0.01, 1.5))} if operator == "LEAKY_RELU" else {}
        data = case.add_input(rng, shape, dtype, source)
        if operator != "LEAKY_RELU" and rng.random() < 0.3 and "RELU" in operator:
            output = source
        result = case.add(shape, dtype, output)
        case.run(operator, [data], [result], **options)

    return draw_case


def _quantize(rng: Rng, case: Case) -> None:
    dtype = str(rng.choice(["int8", "uint8", "int16"]))
    shape = _shape(rng, int(rng.integers(1, 4, endpoint=True)))
    data = case.add_input(rng, shape, "float32", None)
    result = case.add(shape, dtype, _quantization(rng, dtype))
    case.run("QUANTIZE", [data], [result])


def _dequantize(rng: Rng, case: Case) -> None:
    dtype = str(rng.choice(["int8", "uint8", "int16"]))
    shape = _shape(rng, int(rng.integers(1, 4, endpoint=True)))
    data = case.add_input(rng, shape, dtype, _quantization(rng, dtype))
    case.run("DEQUANTIZE", [data], [case.add(shape, "float32")])


def _requantize(rng: Rng, case: Case) -> None:
    pairs = [
        ("int8", "int8"),
        ("int8", "uint8"),
        ("int8", "int16"),
        ("uint8", "int8"),
        ("uint8", "uint8"),
        ("int16", "int8"),
        ("int16", "int16"),
    ]
    source_dtype, dtype = pairs[int(rng.integers(len(pairs)))]
    shape = _shape(rng, int(rng.integers(1, 4, endpoint=True)))
    source = _quantization(rng, source_dtype)
    levels = np.iinfo(source_dtype).max / np.iinfo(dtype).max
    scale = float(np.float32(source.scales[0] * levels * 2.0 ** rng.uniform(-1.5, 2)))
    if source_dtype != "int16" and rng.random() < 0.2:
        scale = source.scales[0]
    data = case.add_input(rng, shape, source_dtype, source)
    case.run("QUANTIZE", [data], [case.add(shape, dtype, _quantization(rng, dtype, scale))])


# What moves elements.


def _moved(rng: Rng) -> tuple[str, Quantization]:
    dtype = _dtype(rng, "uint8", "int16")
    return dtype, _quantization(rng, dtype)


def _pad(rng: Rng, case: Case) -> None:
    dtype, quantization = _moved(rng)
    shape = _shape(rng, int(rng.integers(1, 4, endpoint=True)))
    margins = rng.integers(0, 3, (len(shape), 2), endpoint=True)
    data = case.add_input(rng, shape, dtype, quantization)
    result = case.add(np.array(shape) + margins.sum(axis=1), dtype, quantization)
    case.run("PAD", [data, case.constant(margins)], [result])


def _reshape(rng: Rng, case: Case) -> None:
    dtype, quantization = _moved(rng)
    shape = _shape(rng, int(rng.integers(1, 4, endpoint=True)))
    target = [math.prod(shape[:-1]), shape[-1]] if rng.random() < 0.5 else [math.prod(shape)]
    data = case.add_input(rng, shape, dtype, quantization)
    result = case.add(target, dtype, quantization)
    case.run("RESHAPE", [data, case.constant(target)], [result], NewShape=target)


def _squeeze(rng: Rng, case: Case) -> None:
    dtype, quantization = _moved(rng)
    shape = [1, *_shape(rng, 2), 1]
    data = case.add_input(rng, shape, dtype, quantization)
    result = case.add(shape[1:-1], dtype, quantization)
    case.run("SQUEEZE", [data], [result], SqueezeDims=[0, 3])


def _transpose(rng: Rng, case: Case) -> None:
    dtype, quantization = _moved(rng)
    shape = _shape(rng, int(rng.integers(2, 4, endpoint=True)))
    order = [int(axis) for axis in rng.permutation(len(shape))]
    data = case.add_input(rng, shape, dtype, quantization)
    result = case.add([shape[axis] for axis in order], dtype, quantization)
    case.run("TRANSPOSE", [data, case.constant(order)], [result])


def _concatenation(rng: Rng, case: Case) -> None:
    dtype, quantization = _moved(rng)
    shape = _shape(rng, int(rng.integers(1, 4, endpoint=True)))
    axis = int(rng.integers(len(shape)))
    extents = _shape(rng, int(rng.integers(2, 4)))
    inputs = []
    for extent in extents:
        part = [*shape[:axis], extent, *shape[axis + 1 :]]
        own = quantization
        if dtype == "uint8" and rng.random() < 0.5:
            factor = 2.0 ** rng.uniform(-1, 1)
            own = _quantization(rng, dtype, float(np.float32(quantization.scales[0] * factor)))
        inputs.append(case.add_input(rng, part, dtype, own))
    total = [*shape[:axis], sum(extents), *shape[axis + 1 :]]
    result = case.add(total, dtype, quantization)
    case.run("CONCATENATION", inputs, [result], Axis=axis)


def _split(rng: Rng, case: Case) -> None:
    dtype, quantization = _moved(rng)
    shape = _shape(rng, int(rng.integers(1, 4, endpoint=True)))
    axis, parts = int(rng.integers(len(shape))), int(rng.integers(2, 3, endpoint=True))
    shape[axis] *= parts
    data = case.add_input(rng, shape, dtype, quantization)
    part = [*shape[:axis], shape[axis] // parts, *shape[axis + 1 :]]
    results = [case.add(part, dtype, quantization) for _ in range(parts)]
    case.run("SPLIT", [case.constant(np.int32(axis)), data], results, NumSplits=parts)


def _strided_slice(rng: Rng, case: Case) -> None:
    dtype, quantization = _moved(rng)
    shape = _shape(rng, int(rng.integers(1, 4, endpoint=True)), 1, 8)
    begins, ends, strides, extents = [], [], [], []
    for extent in shape:
        begin = int(rng.integers(extent))
        end = int(rng.integers(begin + 1, extent, endpoint=True))
        stride = int(rng.integers(1, 3, endpoint=True))
        begins.append(begin)
        ends.append(end)
        strides.append(stride)
        extents.append(-(-(end - begin) // stride))
    data = case.add_input(rng, shape, dtype, quantization)
    result = case.add(extents, dtype, quantization)
    bounds = [case.constant(values) for values in (begins, ends, strides)]
    case.run("STRIDED_SLICE", [data, *bounds], [result])


def _resize(operator: str, *dtypes: str) -> Callable[[Rng, Case], None]:
    def draw_case(rng: Rng, case: Case) -> None:
        dtype = _dtype(rng, *dtypes)
        quantization = _quantization(rng, dtype)
        image = _image(rng, 1, 8)
        size = _shape(rng, 2, 1, 16)
        if rng.random() < 0.4:
            size = [2 * image[1], 2 * image[2]]
        kind = int(rng.integers(3))
        data = case.add_input(rng, image, dtype, quantization)
        result = case.add([image[0], *size, image[3]], dtype, quantization)
        options = {"AlignCorners": kind == 1, "HalfPixelCenters": kind == 2}
        case.run(operator, [data, case.constant(size)], [result], **options)

    return draw_case


OPERATORS: dict[str, Callable[[Rng, Case], None]] = {
    "conv_2d": _conv_2d,
    "depthwise_conv_2d": _depthwise_conv_2d,
    "fully_connected": _fully_connected,
    "padded_conv_2d": _padded_conv_2d,
    "network": _network,
    "add": _binary("ADD"),
    "sub": _binary("SUB"),
    "mul": _binary("MUL"),
    "average_pool_2d": _pool("AVERAGE_POOL_2D"),
    "max_pool_2d": _pool("MAX_POOL_2D"),
    "mean": _mean,
    "softmax": _softmax,
    "logistic": _unary("LOGISTIC", "uint8"),
    "tanh": _unary("TANH", "uint8"),
    "relu": _unary("RELU", "uint8", "int16"),
    "relu6": _unary("RELU6", "uint8", "int16"),
    "relu_n1_to_1": _unary("RELU_N1_TO_1", "uint8"),
    "leaky_relu": _unary("LEAKY_RELU", "uint8"),
    "quantize": _quantize,
    "dequantize": _dequantize,
    "requantize": _requantize,
    "pad": _pad,
    "reshape": _reshape,
    "squeeze": _squeeze,
    "transpose": _transpose,
    "concatenation": _concatenation,
    "split": _split,
    "strided_slice": _strided_slice,
    "resize_nearest_neighbor": _resize("RESIZE_NEAREST_NEIGHBOR", "uint8", "int16"),
    "resize_bilinear": _resize("RESIZE_BILINEAR", "int16"),
}
"""What is drawn: fills a case from random numbers."""
