"""Recognizes operators without weights, and says what their kernels do."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from pytest_microtvm.compiler.integer.arithmetic import quantize_multiplier
from pytest_microtvm.compiler.integer.specs import AveragePool, Softmax, Window
from pytest_microtvm.compiler.integer.values import Values, dtype_of, image_shape, operator_name
from pytest_microtvm.compiler.integer.weighted import Match, Output


def match_simple(values: Values, result: Any, output: Output) -> Match | None:
    """The operator whose float result `result` is, quantized to `output`."""
    value = values.definition(result)
    name = operator_name(value)
    if name == "nn.softmax":
        return _softmax(values, value, output)
    return None


def match_integers(values: Values, call: Any, low: int, high: int) -> Match | None:
    """The operator over integers that `call` ends, its results clamped to `low` and `high`."""
    if operator_name(call) == "astype":
        pool = values.call(call.args[0], "nn.avg_pool2d")
        if pool is not None:
            return _average_pool(values, pool, low, high, dtype_of(call))
    return None


def _softmax(values: Values, call: Any, output: Output) -> Match | None:
    source = values.activation(call.args[0])
    if source is None or source.dtype not in ("int8", "uint8") or output.dtype != source.dtype:
        return None
    if int(call.attrs.axis) not in (-1, len(source.shape) - 1):
        return None
    # 5 bits before the point, as TFLite has it.
    real = min(float(source.quantization.scale) * (1 << 26), 2.0**31 - 1.0)
    multiplier, shift = quantize_multiplier(real)
    if shift < 0:
        return None
    spec = Softmax(
        rows=int(np.prod(source.shape[:-1], dtype=np.int64)),
        columns=source.shape[-1],
        multiplier=multiplier,
        shift=shift,
        least_difference=-math.floor(31 * (1 << 26) / (1 << shift)),
        dtype=source.dtype,
    )
    return Match("softmax", spec, (source.expression,))


def _average_pool(values: Values, call: Any, low: int, high: int, dtype: str) -> Match | None:
    widened = values.call(call.args[0], "astype")
    if widened is None or dtype_of(widened.args[0]) != dtype:
        return None
    window = _window(call)
    if window is None:
        return None
    spec = AveragePool(image_shape(widened), image_shape(call), window, low, high, dtype)
    return Match("average_pool", spec, (widened.args[0],))


def _window(call: Any) -> Window | None:
    attributes = call.attrs
    if str(attributes.layout) != "NHWC" or bool(attributes.ceil_mode):
        return None
    height, width = (int(extent) for extent in attributes.pool_size)
    strides = tuple(int(extent) for extent in attributes.strides)
    padding = [int(extent) for extent in attributes.padding]
    if any(int(extent) != 1 for extent in attributes.dilation):
        return None
    return Window((height, width), (strides[0], strides[1]), (1, 1), (padding[0], padding[1]))
