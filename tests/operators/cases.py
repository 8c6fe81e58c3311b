"""Operators over quantized tensors, drawn at random: what goes in, and the file that says it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import flatbuffers
import numpy as np
import numpy.typing as npt
import tflite

from pytest_microtvm.compiler.quantized.kernels.parts import packed
from tests.unit.compiler.tflite_models import Model, Operator, Quantization, Tensor

Array = npt.NDArray[Any]
Rng = np.random.Generator

SAMPLES = 3
"""Inputs for each case: random ones, extremes, and a mixture."""

_ACTIVATIONS = ("NONE", "RELU", "RELU6", "RELU_N1_TO_1")
_CLAMPS = (tflite.ActivationFunctionType.RELU6, tflite.ActivationFunctionType.RELU_N1_TO_1)


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
        is_clamped: Whether bounds hold results to less than the sums that they are of.
        versions: Of operators, where it is not 1.
        subgraphs: What operators run beside the graph; the options name them from 1 on.
        runs: By the position of an operator that runs some, its options.
    """

    operator: str
    name: str
    tensors: list[Tensor] = field(default_factory=list)
    operators: list[Operator] = field(default_factory=list)
    inputs: list[int] = field(default_factory=list)
    outputs: list[int] = field(default_factory=list)
    samples: list[list[Array]] = field(default_factory=lambda: [[] for _ in range(SAMPLES)])
    tolerance: float = 0.0
    is_clamped: bool = False
    versions: dict[str, int] = field(default_factory=dict)
    subgraphs: list[Model] = field(default_factory=list)
    runs: dict[int, dict[str, int]] = field(default_factory=dict)

    def __str__(self) -> str:
        steps = []
        for step in self.operators:
            ends = [
                ", ".join(_text(self.tensors[index]) if index >= 0 else "-" for index in indices)
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
        self.is_clamped |= options.get("FusedActivationFunction", 0) in _CLAMPS
        self.operators.append(Operator(operator, inputs, outputs, _options(operator, options)))

    def flow(
        self,
        operator: str,
        inputs: Sequence[int],
        outputs: Sequence[int],
        subgraphs: Sequence[Model],
        options: dict[str, int],
    ) -> None:
        """Add an operator that runs subgraphs, the first one of which is 1 in its options."""
        first = len(self.subgraphs)
        self.runs[len(self.operators)] = {key: n + first for key, n in options.items()}
        self.subgraphs += subgraphs
        self.step(operator, inputs, outputs)

    def keep(self, index: int) -> int:
        """Let operators keep a state in a tensor from run to run; its index."""
        self.tensors[index] = replace(self.tensors[index], is_variable=True)
        return index


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
        first = len(model.subgraphs)
        model.subgraphs += case.subgraphs
        for position, step in enumerate(case.operators):
            options = step.options
            if position in case.runs:
                shifted = {key: n + first for key, n in case.runs[position].items()}
                options = _options(step.name, shifted)
            given, made, inner = (
                [start + i if i >= 0 else i for i in indices]
                for indices in (step.inputs, step.outputs, step.intermediates)
            )
            version = case.versions.get(step.name, 1)
            model.operators.append(
                replace(
                    step,
                    inputs=given,
                    outputs=made,
                    options=options,
                    version=version,
                    intermediates=inner,
                )
            )
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


def _either(rng: Rng, axis: int, rank: int) -> int:
    """An axis, counted from the end now and then."""
    return axis - rank if rng.random() < 0.3 else axis


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
    "BIDIRECTIONAL_SEQUENCE_LSTM": "BidirectionalSequenceLSTMOptions",
    "CUMSUM": "CumsumOptions",
    "DEPTH_TO_SPACE": "DepthToSpaceOptions",
    "DIV": "DivOptions",
    "GATHER": "GatherOptions",
    "GELU": "GeluOptions",
    "IF": "IfOptions",
    "L2_NORMALIZATION": "L2NormOptions",
    "L2_POOL_2D": "Pool2DOptions",
    "MIRROR_PAD": "MirrorPadOptions",
    "PACK": "PackOptions",
    "ONE_HOT": "OneHotOptions",
    "REDUCE_ALL": "ReducerOptions",
    "REDUCE_ANY": "ReducerOptions",
    "REDUCE_MAX": "ReducerOptions",
    "REDUCE_MIN": "ReducerOptions",
    "REDUCE_PROD": "ReducerOptions",
    "SHAPE": "ShapeOptions",
    "SPACE_TO_DEPTH": "SpaceToDepthOptions",
    "SPLIT_V": "SplitVOptions",
    "SUM": "ReducerOptions",
    "SVDF": "SVDFOptions",
    "TRANSPOSE_CONV": "TransposeConvOptions",
    "TOPK_V2": "TopKV2Options",
    "UNIDIRECTIONAL_SEQUENCE_LSTM": "UnidirectionalSequenceLSTMOptions",
    "BUCKETIZE": "BucketizeOptions",
    "CONV_3D": "Conv3DOptions",
    "CONV_3D_TRANSPOSE": "Conv3DOptions",
    "UNPACK": "UnpackOptions",
    "WHILE": "WhileOptions",
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
    """Write a table of options; lists become vectors of int32, or of float32."""
    vectors = {
        key: builder.CreateNumpyVector(
            np.array(value, np.float32 if isinstance(sum(value), float) else np.int32)
        )
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


def _steps_of(window: Mapping[str, Any]) -> dict[str, Any]:
    """The options of an operator that say how a window slides, by the schema's names."""
    down, right = window["strides"]
    return {"Padding": window["padding"], "StrideH": down, "StrideW": right}


def _dilation_of(window: Mapping[str, Any]) -> dict[str, Any]:
    """Those of a convolution that say how far its taps are from each other."""
    down, right = window["dilation"]
    return {"DilationHFactor": down, "DilationWFactor": right}


def _taps_of(window: Mapping[str, Any]) -> dict[str, Any]:
    """Those of a pool that say what it covers."""
    height, width = window["taps"]
    return {"FilterHeight": height, "FilterWidth": width}


def run_pool(rng: Rng, case: Case, operator: str, data: int, window: Mapping[str, Any]) -> None:
    """A pool of an image, whose type and quantization its result has."""
    image = case.tensors[data]
    shape = [image.shape[0], *window["outputs"], image.shape[3]]
    result = case.add(shape, image.dtype.lower(), image.quantization)
    options = {**_steps_of(window), **_taps_of(window)}
    case.run(operator, [data], [result], **options, FusedActivationFunction=_activation(rng))


def _weights(
    rng: Rng,
    case: Case,
    shape: Sequence[int],
    axis: int,
    dtype: str,
    per_channel: bool,
    packings: Sequence[str] = (),
) -> tuple[int, npt.NDArray[np.float32]]:
    """Add weights; their index and the scale of each channel (or one).

    Some of int8 are as small as those of 4 or 2 bits, and in `packings` of the file as that type.
    """
    count = shape[axis] if per_channel else 1
    scales = np.array([_scale(rng, -9, -3) for _ in range(count)], np.float32)
    least, greatest = int(np.iinfo(dtype).min), int(np.iinfo(dtype).max)
    bits = 8
    if dtype == "int8":
        bits = int(rng.choice([8, 4, 2], p=[0.7, 0.2, 0.1]))
        greatest = (1 << (bits - 1)) - 1
        least = -greatest - (bits < 8)
    if rng.random() < 0.15:
        values = rng.choice(np.array([least, greatest], dtype), shape)
    else:
        values = rng.integers(least, greatest, shape, dtype, endpoint=True)
    zero_point = 0 if dtype == "int8" else _zero_point(rng, dtype)
    quantization = Quantization(list(scales), [zero_point] * count, axis)
    stored = values.astype(dtype)
    if f"int{bits}" in packings:
        return case.add(shape, f"int{bits}", quantization, packed(stored, bits)), scales
    return case.add(shape, dtype, quantization, stored), scales


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


def _moved(rng: Rng) -> tuple[str, Quantization]:
    dtype = _dtype(rng, "uint8", "int16")
    return dtype, _quantization(rng, dtype)
