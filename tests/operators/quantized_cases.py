"""Operators over quantized tensors that TFLite computes by integers, drawn at random."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import tflite

from tests.operators.cases import (
    Case,
    Rng,
    _activation,
    _biased_output,
    _channels,
    _dilation_of,
    _dtype,
    _either,
    _image,
    _moved,
    _output,
    _pair_of_shapes,
    _quantization,
    _sample,
    _scale,
    _shape,
    _steps_of,
    _weights,
    _window,
    run_pool,
)
from tests.unit.compiler.tflite_models import Quantization


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
    weights, scales = _weights(rng, case, shape, 0, weights_dtype, per_channel, ["int4"])
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
        **_steps_of(window),
        **_dilation_of(window),
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
    packings = ["int4"] if dtype == "int8" else []  # LiteRT reads them as bytes beside int16
    weights, scales = _weights(rng, case, shape, 3, weights_dtype, per_channel, packings)
    taps = math.prod(window["taps"])
    activation = _activation(rng)
    bias, output = _biased_output(rng, case, source, scales, taps, channels, dtype, activation)
    result = case.add([image[0], *window["outputs"], channels], dtype, output)
    case.run(
        "DEPTHWISE_CONV_2D",
        [data, weights, *bias],
        [result],
        **_steps_of(window),
        DepthMultiplier=multiplier,
        **_dilation_of(window),
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
    shape, packings = [outputs, inputs], ["int4", "int2"]
    weights, scales = _weights(rng, case, shape, 0, weights_dtype, per_channel, packings)
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
        run_pool(rng, case, operator, data, window)

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
    wide = dtype == "int8" and rng.random() < 0.3
    limits = np.iinfo(np.int16 if wide else dtype)
    output = Quantization([1 / (int(limits.max) - int(limits.min) + 1)], [int(limits.min)])
    result = case.add(shape, str(limits.dtype), output)
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


def _pad(rng: Rng, case: Case) -> None:
    dtype, quantization = _moved(rng)
    shape = _shape(rng, int(rng.integers(1, 5, endpoint=True)), 1, 4)
    margins = rng.integers(0, 3, (len(shape), 2), endpoint=True)
    data = case.add_input(rng, shape, dtype, quantization)
    result = case.add(np.array(shape) + margins.sum(axis=1), dtype, quantization)
    widths = case.constant(margins)
    if rng.random() < 0.3:
        widths = case.add(margins.shape, "int64", None, margins)
    case.run("PAD", [data, widths], [result])


def _reshape(rng: Rng, case: Case) -> None:
    dtype, quantization = _moved(rng)
    shape = _shape(rng, int(rng.integers(1, 4, endpoint=True)))
    target = [math.prod(shape[:-1]), shape[-1]] if rng.random() < 0.5 else [math.prod(shape)]
    if rng.random() < 0.2:
        shape, target = [1] * len(shape), []
    data = case.add_input(rng, shape, dtype, quantization)
    result = case.add(target, dtype, quantization)
    stated = [*target[:-1], -1] if target and rng.random() < 0.3 else target
    # A shape without extents has no data in the file.
    extents = case.constant(stated) if stated else case.add([0], "int32")
    case.run("RESHAPE", [data, extents], [result], NewShape=stated)


def _squeeze(rng: Rng, case: Case) -> None:
    dtype, quantization = _moved(rng)
    shape = [1, *_shape(rng, 2), 1]
    data = case.add_input(rng, shape, dtype, quantization)
    result = case.add(shape[1:-1], dtype, quantization)
    dims = [[0, 3], [3, -4], [-1, 0, 0]][int(rng.integers(3))]
    case.run("SQUEEZE", [data], [result], SqueezeDims=dims)


def _transpose(rng: Rng, case: Case) -> None:
    dtype, quantization = _moved(rng)
    shape = _shape(rng, int(rng.integers(1, 6, endpoint=True)), 1, 4)
    order = [int(axis) for axis in rng.permutation(len(shape))]
    data = case.add_input(rng, shape, dtype, quantization)
    result = case.add([shape[axis] for axis in order], dtype, quantization)
    if rng.random() < 0.2:
        order = [axis - len(shape) for axis in order]
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
    case.run("CONCATENATION", inputs, [result], Axis=_either(rng, axis, len(shape)))


def _split(rng: Rng, case: Case) -> None:
    dtype, quantization = _moved(rng)
    shape = _shape(rng, int(rng.integers(1, 4, endpoint=True)))
    axis, parts = int(rng.integers(len(shape))), int(rng.integers(2, 3, endpoint=True))
    shape[axis] *= parts
    data = case.add_input(rng, shape, dtype, quantization)
    part = [*shape[:axis], shape[axis] // parts, *shape[axis + 1 :]]
    results = [case.add(part, dtype, quantization) for _ in range(parts)]
    place = case.constant(np.int32(_either(rng, axis, len(shape))))
    case.run("SPLIT", [place, data], results, NumSplits=parts)


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


QUANTIZED: dict[str, Callable[[Rng, Case], None]] = {
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
