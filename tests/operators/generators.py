"""Random cases for each operator that has an integer kernel.

Each generator draws shapes, scales and zero points; edges of every range come up on purpose: zero
points at the least and greatest value, windows that hang over the image, outputs that saturate,
factors above 1, scales that are powers of two, so that results lie halfway.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import tflite

from tests.operators.packs import Case, options
from tests.unit.compiler.tflite_models import Quantization, Tensor

Rng = np.random.Generator

ACTIVATIONS = {
    "": tflite.ActivationFunctionType.NONE,
    "+relu": tflite.ActivationFunctionType.RELU,
    "+relu6": tflite.ActivationFunctionType.RELU6,
    "+relu_n1_to_1": tflite.ActivationFunctionType.RELU_N1_TO_1,
}
_PADDINGS = {"same": tflite.Padding.SAME, "valid": tflite.Padding.VALID}


def _pick(rng: Rng, choices: Any) -> Any:
    return choices[int(rng.integers(len(choices)))]


def _scale(rng: Rng, low: float = 1e-3, high: float = 0.5) -> float:
    """A scale; every fourth is a power of two."""
    value = float(np.exp(rng.uniform(math.log(low), math.log(high))))
    if rng.random() < 0.25:
        value = 2.0 ** round(math.log2(value))
    return float(np.float32(value))


def _zero_point(rng: Rng, dtype: str) -> int:
    if dtype == "INT16":
        return 0
    limits = np.iinfo(dtype.lower())
    edges = [int(limits.min), int(limits.max), (int(limits.min) + int(limits.max) + 1) // 2]
    return (
        int(rng.integers(limits.min, limits.max + 1)) if rng.random() < 0.5 else _pick(rng, edges)
    )


def _quantization(rng: Rng, dtype: str, scale: float | None = None) -> Quantization:
    return Quantization([scale or _scale(rng)], [_zero_point(rng, dtype)])


def _activation(rng: Rng) -> str:
    return str(_pick(rng, ["", "", "+relu", "+relu6", "+relu_n1_to_1"]))


def _shape(rng: Rng, rank: int | None = None, most: int = 6) -> list[int]:
    rank = rank or int(rng.integers(1, 5))
    return [int(extent) for extent in rng.integers(1, most + 1, rank)]


def _image(rng: Rng, channels: int | None = None) -> list[int]:
    height, width = (int(extent) for extent in rng.integers(1, 10, 2))
    return [int(rng.integers(1, 3)), height, width, channels or int(rng.integers(1, 9))]


def _extent(size: int, taps: int, stride: int, dilation: int, padding: str) -> int:
    reach = (taps - 1) * dilation + 1
    return -(-size // stride) if padding == "same" else (size - reach) // stride + 1


def _weights(rng: Rng, shape: list[int], dtype: str) -> np.ndarray[Any, Any]:
    limits = np.iinfo(dtype)
    if rng.random() < 0.2:
        return rng.choice([limits.min, limits.max], shape).astype(dtype)
    # int8 weights are symmetric, but files with -128 are about.
    return rng.integers(limits.min, limits.max + 1, shape).astype(dtype)


def _output_scale(rng: Rng, accumulator_scale: float, depth: int) -> float:
    """So that sums fill the range, or a part of it, or saturate, or need a factor above 1."""
    typical = accumulator_scale * 127 * 127 * math.sqrt(depth) / 127
    return float(np.float32(typical * _pick(rng, [0.02, 0.3, 1.0, 1.0, 4.0])))


class _Layer:
    """The quantized tensors of a layer with weights."""

    def __init__(self, rng: Rng, dtype: str, channels: int, depth: int, per_channel: bool) -> None:
        self.dtype = dtype
        self.input_scale = _scale(rng)
        count = channels if per_channel and dtype != "UINT8" else 1
        self.weight_scales = [_scale(rng, 1e-4, 2e-2) for _ in range(count)]
        self.weights_dtype = "uint8" if dtype == "UINT8" else "int8"
        zero_point = _zero_point(rng, "UINT8") if dtype == "UINT8" else 0
        self.weights_zero_point = zero_point
        accumulator = self.input_scale * float(np.mean(self.weight_scales))
        depth_scale = accumulator * (256 if dtype == "INT16" else 1)
        self.output_scale = _output_scale(rng, depth_scale, depth)
        if dtype == "INT16":
            self.output_scale = float(np.float32(self.output_scale / 256))
        self.bias_scales = [
            np.float32(self.input_scale) * np.float32(s) for s in self.weight_scales
        ]

    def weights(self, rng: Rng, shape: list[int], axis: int) -> Tensor:
        return Tensor(
            "",
            shape,
            self.weights_dtype.upper(),
            _weights(rng, shape, self.weights_dtype),
            Quantization(
                self.weight_scales, [self.weights_zero_point] * len(self.weight_scales), axis
            ),
        )

    def bias(self, rng: Rng, channels: int, depth: int, dtype: str) -> Tensor:
        reach = int(64 * math.sqrt(depth) * (_pick(rng, [1, 64, 1024])))
        values = rng.integers(-reach, reach + 1, channels).astype(dtype)
        quantization = Quantization(self.bias_scales, [0] * len(self.bias_scales), 0)
        return Tensor("", [channels], dtype.upper(), values, quantization)


def _layer_dtype(rng: Rng) -> str:
    return str(_pick(rng, ["INT8"] * 6 + ["UINT8", "INT16"]))


def conv2d(rng: Rng) -> Case:
    """CONV_2D, sometimes in groups, sometimes after a PAD."""
    dtype = _layer_dtype(rng)
    groups = int(_pick(rng, [1, 1, 1, 1, 2]))
    channels = int(rng.integers(1, 7)) * groups
    outputs = int(rng.integers(1, 7)) * groups
    taps = [int(extent) for extent in rng.integers(1, 5, 2)]
    strides = [int(step) for step in rng.integers(1, 4, 2)]
    dilation = [int(step) for step in rng.integers(1, 3, 2)] if rng.random() < 0.3 else [1, 1]
    if dilation != [1, 1]:
        strides = [1, 1]
    padding = str(_pick(rng, ["same", "valid"]))
    image = _image(rng, channels)
    for axis in (0, 1):
        image[1 + axis] = max(image[1 + axis], (taps[axis] - 1) * dilation[axis] + 1)
    depth = taps[0] * taps[1] * channels // groups
    layer = _Layer(rng, dtype, outputs, depth, rng.random() < 0.7)
    activation = _activation(rng)
    case = Case(f"conv2d {dtype} {image} {outputs}x{taps} /{strides} *{dilation} {padding}")
    case.name += activation
    quantization = _quantization(rng, dtype, layer.input_scale)
    source = case.add(Tensor("", image, dtype, None, quantization))
    case.inputs = [source]
    padded = image
    if rng.random() < 0.25 and dtype != "INT16":
        before, after = rng.integers(0, 3, (2, 2))
        widths = np.array([[0, 0], [before[0], after[0]], [before[1], after[1]], [0, 0]], np.int32)
        padded = [int(extent + sum(pair)) for extent, pair in zip(image, widths, strict=True)]
        table = case.add(Tensor("", [4, 2], "INT32", widths))
        result = case.add(Tensor("", padded, dtype, None, quantization))
        case.apply("PAD", [source, table], [result], options("Pad"))
        case.name += f" after pad {widths[1:3].tolist()}"
        source = result
    shape = [outputs, *taps, channels // groups]
    weights = case.add(layer.weights(rng, shape, 0))
    bias_dtype = "int64" if dtype == "INT16" else "int32"
    bias = case.add(layer.bias(rng, outputs, depth, bias_dtype))
    output_shape = [
        image[0],
        *(
            _extent(padded[1 + axis], taps[axis], strides[axis], dilation[axis], padding)
            for axis in (0, 1)
        ),
        outputs,
    ]
    result = case.add(
        Tensor("", output_shape, dtype, None, _quantization(rng, dtype, layer.output_scale))
    )
    case.apply(
        "CONV_2D",
        [source, weights, bias],
        [result],
        options(
            "Conv2D",
            Padding=_PADDINGS[padding],
            StrideH=strides[0],
            StrideW=strides[1],
            DilationHFactor=dilation[0],
            DilationWFactor=dilation[1],
            FusedActivationFunction=ACTIVATIONS[activation],
        ),
    )
    case.outputs = [result]
    return case


def depthwise_conv2d(rng: Rng) -> Case:
    """DEPTHWISE_CONV_2D with any multiplier."""
    dtype = _layer_dtype(rng)
    channels = int(rng.integers(1, 9))
    multiplier = int(_pick(rng, [1, 1, 1, 2, 3]))
    outputs = channels * multiplier
    taps = [int(extent) for extent in rng.integers(1, 5, 2)]
    step = int(rng.integers(1, 4))
    dilation = [int(step) for step in rng.integers(1, 3, 2)] if rng.random() < 0.3 else [1, 1]
    strides = [1, 1] if dilation != [1, 1] else [step, step]
    padding = str(_pick(rng, ["same", "valid"]))
    image = _image(rng, channels)
    for axis in (0, 1):
        image[1 + axis] = max(image[1 + axis], (taps[axis] - 1) * dilation[axis] + 1)
    depth = taps[0] * taps[1]
    layer = _Layer(rng, dtype, outputs, depth, rng.random() < 0.7)
    activation = _activation(rng)
    case = Case(f"depthwise {dtype} {image} x{multiplier} {taps} /{strides} *{dilation} {padding}")
    case.name += activation
    quantization = _quantization(rng, dtype, layer.input_scale)
    source = case.add(Tensor("", image, dtype, None, quantization))
    axis = 3 if len(layer.weight_scales) > 1 else 0
    weights = case.add(layer.weights(rng, [1, *taps, outputs], axis))
    bias_dtype = "int64" if dtype == "INT16" else "int32"
    bias = case.add(layer.bias(rng, outputs, depth, bias_dtype))
    output_shape = [
        image[0],
        *(
            _extent(image[1 + axis], taps[axis], strides[axis], dilation[axis], padding)
            for axis in (0, 1)
        ),
        outputs,
    ]
    result = case.add(
        Tensor("", output_shape, dtype, None, _quantization(rng, dtype, layer.output_scale))
    )
    case.apply(
        "DEPTHWISE_CONV_2D",
        [source, weights, bias],
        [result],
        options(
            "DepthwiseConv2D",
            Padding=_PADDINGS[padding],
            StrideH=strides[0],
            StrideW=strides[1],
            DilationHFactor=dilation[0],
            DilationWFactor=dilation[1],
            DepthMultiplier=multiplier,
            FusedActivationFunction=ACTIVATIONS[activation],
        ),
    )
    case.inputs, case.outputs = [source], [result]
    return case


def fully_connected(rng: Rng) -> Case:
    """FULLY_CONNECTED, with and without a bias."""
    dtype = _layer_dtype(rng)
    rows, depth, outputs = (
        int(rng.integers(1, 4)),
        int(rng.integers(1, 70)),
        int(rng.integers(1, 20)),
    )
    layer = _Layer(rng, dtype, outputs, depth, rng.random() < 0.3)
    activation = _activation(rng)
    case = Case(f"fully connected {dtype} {rows}x{depth} to {outputs}{activation}")
    source = case.add(
        Tensor("", [rows, depth], dtype, None, _quantization(rng, dtype, layer.input_scale))
    )
    weights = case.add(layer.weights(rng, [outputs, depth], 0))
    bias = -1
    if rng.random() < 0.8:
        bias_dtype = "int64" if dtype == "INT16" else "int32"
        bias = case.add(layer.bias(rng, outputs, depth, bias_dtype))
    inputs = [source, weights] if bias < 0 else [source, weights, bias]
    result = case.add(
        Tensor("", [rows, outputs], dtype, None, _quantization(rng, dtype, layer.output_scale))
    )
    function = ACTIVATIONS[activation]
    case.apply(
        "FULLY_CONNECTED",
        inputs,
        [result],
        options("FullyConnected", FusedActivationFunction=function),
    )
    case.inputs, case.outputs = [source], [result]
    return case


def _arithmetic(rng: Rng, name: str, dtypes: list[str]) -> Case:
    dtype = str(_pick(rng, dtypes))
    shape = _shape(rng, int(rng.integers(1, 5)))
    other = list(shape)
    if rng.random() < 0.4:
        other = [1 if rng.random() < 0.5 else extent for extent in shape]
        other = other[int(rng.integers(len(other))) :]
    activation = _activation(rng)
    case = Case(f"{name.lower()} {dtype} {shape} {other}{activation}")
    scales = [_scale(rng), _scale(rng)]
    if rng.random() < 0.2:
        scales[1] = scales[0]
    if dtype == "INT16":
        # Powers of two have a rounding of their own, which is not ours to follow.
        scales = [float(np.float32(scale * 1.01)) for scale in scales]
    typical = scales[0] * scales[1] * 100 if name == "MUL" else 2 * max(scales)
    output_scale = float(np.float32(typical * _pick(rng, [0.1, 0.5, 1.01, 3.0])))
    left = case.add(Tensor("", shape, dtype, None, _quantization(rng, dtype, scales[0])))
    known = None
    if rng.random() < 0.2:
        limits = np.iinfo(dtype.lower())
        known = rng.integers(limits.min, limits.max + 1, other).astype(limits.dtype)
        case.name += " known"
    right = case.add(Tensor("", other, dtype, known, _quantization(rng, dtype, scales[1])))
    result = case.add(Tensor("", shape, dtype, None, _quantization(rng, dtype, output_scale)))
    sides = [left, right]
    if rng.random() < 0.3:
        sides.reverse()
    kind = {"ADD": "Add", "SUB": "Sub", "MUL": "Mul"}[name]
    case.apply(
        name, sides, [result], options(kind, FusedActivationFunction=ACTIVATIONS[activation])
    )
    case.inputs = [left] if known is not None else [left, right]
    case.outputs = [result]
    return case


def add(rng: Rng) -> Case:
    """ADD, with broadcasting and with a constant."""
    return _arithmetic(rng, "ADD", ["INT8"] * 5 + ["UINT8", "INT16"])


def subtract(rng: Rng) -> Case:
    """SUB, likewise."""
    return _arithmetic(rng, "SUB", ["INT8"] * 5 + ["UINT8"])


def multiply(rng: Rng) -> Case:
    """MUL, likewise."""
    return _arithmetic(rng, "MUL", ["INT8"] * 5 + ["UINT8", "INT16"])


def _pool(rng: Rng, name: str) -> Case:
    dtype = str(_pick(rng, ["INT8", "INT8", "INT8", "UINT8"]))
    image = _image(rng)
    taps = [int(extent) for extent in rng.integers(1, 5, 2)]
    strides = [int(step) for step in rng.integers(1, 4, 2)]
    padding = str(_pick(rng, ["same", "valid"]))
    for axis in (0, 1):
        image[1 + axis] = max(image[1 + axis], taps[axis])
    activation = _activation(rng)
    case = Case(f"{name.lower()} {dtype} {image} {taps} /{strides} {padding}{activation}")
    quantization = _quantization(rng, dtype)
    source = case.add(Tensor("", image, dtype, None, quantization))
    shape = [
        image[0],
        *(_extent(image[1 + axis], taps[axis], strides[axis], 1, padding) for axis in (0, 1)),
        image[3],
    ]
    result = case.add(Tensor("", shape, dtype, None, quantization))
    case.apply(
        name,
        [source],
        [result],
        options(
            "Pool2D",
            Padding=_PADDINGS[padding],
            StrideH=strides[0],
            StrideW=strides[1],
            FilterHeight=taps[0],
            FilterWidth=taps[1],
            FusedActivationFunction=ACTIVATIONS[activation],
        ),
    )
    case.inputs, case.outputs = [source], [result]
    return case


def average_pool(rng: Rng) -> Case:
    """AVERAGE_POOL_2D."""
    return _pool(rng, "AVERAGE_POOL_2D")


def max_pool(rng: Rng) -> Case:
    """MAX_POOL_2D."""
    return _pool(rng, "MAX_POOL_2D")


def mean(rng: Rng) -> Case:
    """MEAN over some axes."""
    dtype = str(_pick(rng, ["INT8", "INT8", "INT8", "UINT8"]))
    shape = _shape(rng, int(rng.integers(2, 5)))
    axes = sorted(
        int(axis)
        for axis in rng.choice(len(shape), int(rng.integers(1, len(shape) + 1)), replace=False)
    )
    keep = bool(rng.random() < 0.5)
    case = Case(f"mean {dtype} {shape} {axes} {'kept' if keep else ''}")
    scale = _scale(rng)
    source = case.add(Tensor("", shape, dtype, None, _quantization(rng, dtype, scale)))
    table = case.add(Tensor("", [len(axes)], "INT32", np.array(axes, np.int32)))
    kept = [
        1 if axis in axes else extent
        for axis, extent in enumerate(shape)
        if keep or axis not in axes
    ]
    factor = float(_pick(rng, [0.3, 1.0, 2.0]))
    output = _quantization(rng, dtype, float(np.float32(scale * factor)))
    result = case.add(Tensor("", kept, dtype, None, output))
    case.apply("MEAN", [source, table], [result], options("Reducer", KeepDims=keep))
    case.inputs, case.outputs = [source], [result]
    return case


def softmax(rng: Rng) -> Case:
    """SOFTMAX with any beta."""
    dtype = str(_pick(rng, ["INT8", "INT8", "INT8", "UINT8"]))
    shape = _shape(rng, int(rng.integers(2, 4)), 12)
    beta = float(_pick(rng, [1.0, 1.0, 1.0, 0.5, 2.0]))
    case = Case(f"softmax {dtype} {shape} beta {beta}")
    quantization = _quantization(rng, dtype, _scale(rng, 1e-3, 2.0))
    source = case.add(Tensor("", shape, dtype, None, quantization))
    output = Quantization([1 / 256], [-128 if dtype == "INT8" else 0])
    result = case.add(Tensor("", shape, dtype, None, output))
    case.apply("SOFTMAX", [source], [result], options("Softmax", Beta=beta))
    case.inputs, case.outputs = [source], [result]
    return case


def unary(rng: Rng) -> Case:
    """LOGISTIC, TANH, RELU, RELU6 or LEAKY_RELU."""
    dtype = str(_pick(rng, ["INT8", "INT8", "INT8", "UINT8"]))
    name = str(_pick(rng, ["LOGISTIC", "TANH", "RELU", "RELU6", "RELU_N1_TO_1", "LEAKY_RELU"]))
    shape = [2, 131]
    case = Case(f"{name.lower()} {dtype}")
    scale = _scale(rng)
    source = case.add(Tensor("", shape, dtype, None, _quantization(rng, dtype, scale)))
    output = _quantization(rng, dtype, float(np.float32(scale * _pick(rng, [0.5, 1.0, 1.7]))))
    if name == "LOGISTIC":
        output = Quantization([1 / 256], [-128 if dtype == "INT8" else 0])
    if name == "TANH":
        output = Quantization([1 / 128], [0 if dtype == "INT8" else 128])
    result = case.add(Tensor("", shape, dtype, None, output))
    alpha = float(_pick(rng, [0.1, 0.3, 1.5, -0.2]))
    extra = [options("LeakyRelu", Alpha=alpha)] if name == "LEAKY_RELU" else []
    case.apply(name, [source], [result], *extra)
    case.inputs, case.outputs = [source], [result]
    return case


def concatenation(rng: Rng) -> Case:
    """CONCATENATION; of uint8, the parts may have other scales."""
    dtype = str(_pick(rng, ["INT8", "INT8", "INT8", "UINT8"]))
    shape = _shape(rng)
    axis = int(rng.integers(len(shape)))
    output = _quantization(rng, dtype)
    case = Case(f"concatenation {dtype} {shape} {axis}")
    length = 0
    for _ in range(int(rng.integers(2, 5))):
        part = list(shape)
        part[axis] = int(rng.integers(1, 6))
        length += part[axis]
        own = dtype == "UINT8" and rng.random() < 0.5
        quantization = _quantization(rng, dtype) if own else output
        case.inputs.append(case.add(Tensor("", part, dtype, None, quantization)))
    shape[axis] = length
    result = case.add(Tensor("", shape, dtype, None, output))
    case.apply("CONCATENATION", case.inputs, [result], options("Concatenation", Axis=axis))
    case.outputs = [result]
    return case


def resize(rng: Rng) -> Case:
    """RESIZE_NEAREST_NEIGHBOR or RESIZE_BILINEAR."""
    name = str(_pick(rng, ["RESIZE_NEAREST_NEIGHBOR", "RESIZE_BILINEAR"]))
    dtype = "INT8"
    if name == "RESIZE_NEAREST_NEIGHBOR":
        dtype = str(_pick(rng, ["INT8", "INT8", "UINT8"]))
    image = _image(rng)
    size = [int(extent) for extent in rng.integers(1, 15, 2)]
    mode = str(_pick(rng, ["plain", "align_corners", "half_pixel_centers"]))
    case = Case(f"{name.lower()} {dtype} {image} to {size} {mode}")
    quantization = _quantization(rng, dtype)
    source = case.add(Tensor("", image, dtype, None, quantization))
    table = case.add(Tensor("", [2], "INT32", np.array(size, np.int32)))
    result = case.add(Tensor("", [image[0], *size, image[3]], dtype, None, quantization))
    kind = "ResizeBilinear" if name == "RESIZE_BILINEAR" else "ResizeNearestNeighbor"
    case.apply(
        name,
        [source, table],
        [result],
        options(
            kind,
            AlignCorners=mode == "align_corners",
            HalfPixelCenters=mode == "half_pixel_centers",
        ),
    )
    case.inputs, case.outputs = [source], [result]
    return case


def quantize(rng: Rng) -> Case:
    """QUANTIZE from float and from other scales, and DEQUANTIZE."""
    dtypes = ["INT8", "UINT8", "INT16"]
    first, second = str(_pick(rng, ["FLOAT32", *dtypes])), str(_pick(rng, [*dtypes, "FLOAT32"]))
    if first == second == "FLOAT32" or (first, second) == ("INT16", "UINT8"):
        second = "INT8"
    shape = [3, 67]
    scale = _scale(rng)
    given = None if first == "FLOAT32" else _quantization(rng, first, scale)
    factor = float(_pick(rng, [0.3, 1.0, 2.5])) * {"INT16": 1 / 256}.get(second, 1.0)
    factor *= {"INT16": 256.0}.get(first, 1.0)
    wanted = (
        None
        if second == "FLOAT32"
        else _quantization(rng, second, float(np.float32(scale * factor)))
    )
    case = Case(f"quantize {first} to {second} by {factor:g}")
    source = case.add(Tensor("", shape, first, None, given))
    result = case.add(Tensor("", shape, second, None, wanted))
    name = "DEQUANTIZE" if second == "FLOAT32" else "QUANTIZE"
    case.apply(name, [source], [result])
    case.inputs, case.outputs = [source], [result]
    return case


def movement(rng: Rng) -> Case:
    """RESHAPE, SQUEEZE, TRANSPOSE, SPLIT, STRIDED_SLICE or PAD."""
    name = str(_pick(rng, ["RESHAPE", "SQUEEZE", "TRANSPOSE", "SPLIT", "STRIDED_SLICE", "PAD"]))
    return _MOVEMENTS[name](rng)


def _moved(name: str, rng: Rng, shape: list[int]) -> tuple[Case, Quantization, str]:
    dtype = str(_pick(rng, ["INT8", "INT8", "UINT8"]))
    case = Case(f"{name.lower()} {dtype} {shape}")
    quantization = _quantization(rng, dtype)
    case.inputs = [case.add(Tensor("", shape, dtype, None, quantization))]
    return case, quantization, dtype


def _reshape(rng: Rng) -> Case:
    shape = _shape(rng, 3)
    case, quantization, dtype = _moved("RESHAPE", rng, shape)
    target = [shape[0] * shape[1], shape[2]]
    table = case.add(Tensor("", [2], "INT32", np.array(target, np.int32)))
    case.outputs = [case.add(Tensor("", target, dtype, None, quantization))]
    fields = options("Reshape", {"NewShape": target})
    case.apply("RESHAPE", [case.inputs[0], table], case.outputs, fields)
    return case


def _squeeze(rng: Rng) -> Case:
    shape = [*_shape(rng, 2), 1, 3]
    case, quantization, dtype = _moved("SQUEEZE", rng, shape)
    case.outputs = [case.add(Tensor("", [*shape[:2], 3], dtype, None, quantization))]
    fields = options("Squeeze", {"SqueezeDims": [2]})
    case.apply("SQUEEZE", case.inputs, case.outputs, fields)
    return case


def _transpose(rng: Rng) -> Case:
    shape = _shape(rng, 4)
    order = [int(axis) for axis in rng.permutation(4)]
    case, quantization, dtype = _moved("TRANSPOSE", rng, shape)
    case.name += f" {order}"
    table = case.add(Tensor("", [4], "INT32", np.array(order, np.int32)))
    target = [shape[axis] for axis in order]
    case.outputs = [case.add(Tensor("", target, dtype, None, quantization))]
    case.apply("TRANSPOSE", [case.inputs[0], table], case.outputs, options("Transpose"))
    return case


def _split(rng: Rng) -> Case:
    shape = _shape(rng, 3)
    axis, count = int(rng.integers(3)), int(rng.integers(2, 4))
    part = list(shape)
    shape[axis] *= count
    case, quantization, dtype = _moved("SPLIT", rng, shape)
    case.name += f" {axis} {count}"
    table = case.add(Tensor("", [], "INT32", np.array(axis, np.int32)))
    case.outputs = [case.add(Tensor("", part, dtype, None, quantization)) for _ in range(count)]
    fields = options("Split", NumSplits=count)
    case.apply("SPLIT", [table, case.inputs[0]], case.outputs, fields)
    return case


def _strided_slice(rng: Rng) -> Case:
    shape = [int(extent) for extent in rng.integers(2, 9, 3)]
    begin = [int(rng.integers(extent)) for extent in shape]
    end = [int(rng.integers(b + 1, extent + 1)) for b, extent in zip(begin, shape, strict=True)]
    steps = [int(step) for step in rng.integers(1, 3, 3)]
    case, quantization, dtype = _moved("STRIDED_SLICE", rng, shape)
    case.name += f" {begin} {end} {steps}"
    tables = [
        case.add(Tensor("", [3], "INT32", np.array(values, np.int32)))
        for values in (begin, end, steps)
    ]
    target = [-(-(e - b) // step) for b, e, step in zip(begin, end, steps, strict=True)]
    case.outputs = [case.add(Tensor("", target, dtype, None, quantization))]
    fields = options("StridedSlice")
    case.apply("STRIDED_SLICE", [case.inputs[0], *tables], case.outputs, fields)
    return case


def _pad(rng: Rng) -> Case:
    shape = _shape(rng, 4)
    widths = rng.integers(0, 3, (4, 2)).astype(np.int32)
    case, quantization, dtype = _moved("PAD", rng, shape)
    case.name += f" {widths.tolist()}"
    table = case.add(Tensor("", [4, 2], "INT32", widths))
    target = [int(extent + sum(pair)) for extent, pair in zip(shape, widths, strict=True)]
    case.outputs = [case.add(Tensor("", target, dtype, None, quantization))]
    case.apply("PAD", [case.inputs[0], table], case.outputs, options("Pad"))
    return case


_MOVEMENTS: dict[str, Callable[[Rng], Case]] = {
    "PAD": _pad,
    "RESHAPE": _reshape,
    "SPLIT": _split,
    "SQUEEZE": _squeeze,
    "STRIDED_SLICE": _strided_slice,
    "TRANSPOSE": _transpose,
}

GENERATORS: dict[str, tuple[Callable[[Rng], Case], int]] = {
    "conv2d": (conv2d, 5),
    "depthwise_conv2d": (depthwise_conv2d, 5),
    "fully_connected": (fully_connected, 3),
    "add": (add, 2),
    "subtract": (subtract, 1),
    "multiply": (multiply, 1),
    "average_pool": (average_pool, 1),
    "max_pool": (max_pool, 1),
    "mean": (mean, 1),
    "softmax": (softmax, 1),
    "unary": (unary, 2),
    "concatenation": (concatenation, 1),
    "resize": (resize, 2),
    "quantize": (quantize, 1),
    "movement": (movement, 2),
}
"""Each generator, and how often it has its turn."""


def cases(seed: int, count: int) -> list[Case]:
    """`count` cases, the same for the same seed, all generators taking turns."""
    rng = np.random.default_rng(seed)
    turns = [generator for generator, weight in GENERATORS.values() for _ in range(weight)]
    return [turns[number % len(turns)](rng) for number in range(count)]
