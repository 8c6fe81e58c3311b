"""More layers with weights, drawn at random."""

from __future__ import annotations

import math
from collections.abc import Callable

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
    _image,
    _quantization,
    _scale,
    _shape,
    _steps_of,
    _weights,
    _window,
    _zero_point,
)
from tests.unit.compiler.tflite_models import Quantization

Draw = Callable[[Rng, Case], None]

CLOSE = 1e-5
"""How far floats may be off, and as much of the value."""


def _known(rng: Rng, dtype: str, *scales: float) -> Quantization | None:
    return None if dtype == "float32" else _quantization(rng, dtype, _scale(rng, *scales))


def _rank(rng: Rng, low: int = 1, high: int = 4) -> int:
    return int(rng.integers(low, high, endpoint=True))


def _transpose_conv(rng: Rng, case: Case) -> None:
    dtype = _dtype(rng, "int16", "float32")
    image = _image(rng, 1, 6)
    channels = _channels(rng)
    taps = [int(n) for n in rng.integers(1, 4, 2, endpoint=True)]
    strides = [int(rng.choice([1, 2, 3])) for _ in range(2)]
    same = bool(rng.random() < 0.5)
    extents = [
        n * s if same else (n - 1) * s + max(k, s if rng.random() < 0.3 else 0)
        for n, s, k in zip(image[1:3], strides, taps, strict=True)
    ]
    activation = _activation(rng) if dtype != "int16" else 0
    shape = case.constant([image[0], *extents, channels])
    options = {
        "Padding": tflite.Padding.SAME if same else tflite.Padding.VALID,
        "StrideH": strides[0],
        "StrideW": strides[1],
        "FusedActivationFunction": activation,
    }
    size = [channels, *taps, image[3]]
    if dtype == "float32":
        case.tolerance = CLOSE
        weights = case.add(size, dtype, None, rng.normal(size=size).astype(np.float32))
        data = case.add_input(rng, image, dtype, None)
        result = case.add([image[0], *extents, channels], dtype)
        case.run("TRANSPOSE_CONV", [shape, weights, data], [result], **options)
        return
    source = _quantization(rng, dtype)
    weights, scales = _weights(rng, case, size, 0, "int8", bool(rng.random() < 0.7))
    data = case.add_input(rng, image, dtype, source)
    depth = math.prod(taps) * image[3]
    bias, output = _biased_output(rng, case, source, scales, depth, channels, dtype, activation)
    result = case.add([image[0], *extents, channels], dtype, output)
    if dtype == "int16" and not bias and rng.random() < 0.5:  # how its sums are scaled
        options["QuantizedBiasType"] = tflite.TensorType.INT32
    case.run("TRANSPOSE_CONV", [shape, weights, data, *bias], [result], **options)


def _float_conv(operator: str) -> Draw:
    def draw_case(rng: Rng, case: Case) -> None:
        case.tolerance = CLOSE
        image = _image(rng, 1, 8)
        window = _window(rng, image, 3, dilated=True)
        multiplier = int(rng.choice([1, 1, 2]))
        is_depthwise = operator == "DEPTHWISE_CONV_2D"
        channels = image[3] * multiplier if is_depthwise else _channels(rng)
        size = [channels, *window["taps"], image[3]]
        if is_depthwise:
            size = [1, *window["taps"], channels]
        data = case.add_input(rng, image, "float32", None)
        weights = case.add(size, "float32", None, rng.normal(size=size).astype(np.float32))
        bias = case.add([channels], "float32", None, rng.normal(size=channels).astype(np.float32))
        result = case.add([image[0], *window["outputs"], channels], "float32")
        more = {"DepthMultiplier": multiplier} if is_depthwise else {}
        case.run(
            operator,
            [data, weights, bias],
            [result],
            **_steps_of(window),
            **_dilation_of(window),
            FusedActivationFunction=_activation(rng),
            **more,
        )

    return draw_case


def _batch_matmul(rng: Rng, case: Case) -> None:
    dtype = _dtype(rng, "int16", "float32")
    if dtype == "float32":
        case.tolerance = CLOSE
    rows, depth, columns = _shape(rng, 3, 1, 6)
    batches = _shape(rng, _rank(rng, 0, 2), 1, 3)
    other = [1 if rng.random() < 0.3 else extent for extent in batches]
    # LiteRT has matrices without batches on both sides or on none.
    turned = bool(rng.random() < 0.4), bool(rng.random() < 0.4)
    left = [*batches, *((depth, rows) if turned[0] else (rows, depth))]
    right = [*other, *((columns, depth) if turned[1] else (depth, columns))]
    known = [_known(rng, dtype), _known(rng, dtype)]
    inputs = [
        case.add_input(rng, shape, dtype, quantization)
        for shape, quantization in zip((left, right), known, strict=True)
    ]
    output = None
    if known[0] is not None and known[1] is not None:
        levels = 2**15 if dtype == "int16" else 2**7
        spread = known[0].scales[0] * known[1].scales[0] * math.sqrt(depth) * levels
        scale = spread * 2.0 ** rng.uniform(-2, 2)
        output = Quantization([float(np.float32(scale))], [_zero_point(rng, dtype)])
    result = case.add([*batches, rows, columns], dtype, output)
    case.run("BATCH_MATMUL", inputs, [result], AdjX=turned[0], AdjY=turned[1])


LAYERS: dict[str, Draw] = {
    "transpose_conv": _transpose_conv,
    "float_conv_2d": _float_conv("CONV_2D"),
    "float_depthwise_conv_2d": _float_conv("DEPTHWISE_CONV_2D"),
    "batch_matmul": _batch_matmul,
}
"""By name."""
