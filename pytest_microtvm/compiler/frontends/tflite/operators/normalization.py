"""Rows, or neighborhoods, held to a common measure."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from tvm import relax

from pytest_microtvm.compiler.frontends.tflite.call import Call
from pytest_microtvm.compiler.frontends.tflite.operators.tables import BYTES, pair_of
from pytest_microtvm.compiler.frontends.tflite.registry import operator
from pytest_microtvm.compiler.quantized.arithmetic import (
    LIMITS,
    is_scale_of_16_bits,
    quantize_multiplier,
)
from pytest_microtvm.compiler.quantized.tensors import Quantization
from pytest_microtvm.compiler.quantized.tflite_specs import (
    L2Normalization,
    LogSoftmax,
    SoftmaxInt16,
)
from pytest_microtvm.compiler.quantized.tflite_tables import interpolated


@operator("SOFTMAX", versions=3, options="SoftmaxOptions", reads=("Beta",))
def softmax(call: Call) -> Any:
    """Softmax of `beta * x` over the last axis."""
    beta = call.options["Beta"]
    if call.input(0).dtype == "int16" and call.input(0).is_quantized:
        found = _softmax_int16(call, beta)
        if found is not None:
            return found
    real = call.input(0).real
    if beta != 1.0:
        real = relax.op.multiply(real, relax.const(beta, "float32"))
    return call.finished(relax.op.nn.softmax(real, axis=-1))


def _softmax_int16(call: Call, beta: float) -> Any:
    """By two tables, in the scale that TFLite wants; None for others."""
    pair, data = pair_of(call), call.input(0)
    if pair is None or data.shape[-1] > 65535:
        return None
    source, output = pair
    if not is_scale_of_16_bits(float(output.scale), 1 / 32768) or output.zero_point:
        return None
    real = float(source.scale * np.float32(beta)) / (10.0 / 65535.0)
    span = 2.0 / 65535.0, 0
    spec = SoftmaxInt16(
        math.prod(data.shape[:-1]),
        data.shape[-1],
        *quantize_multiplier(real),
        interpolated(np.exp, (10.0 / 65535.0, 32767), span, np.float64),
        interpolated(lambda x: 1 / (1 + x), (1.0 / 65535.0, -32768), span, np.float64),
    )
    return call.kernel("softmax", spec, [data.expression], data.shape)


@operator("LOG_SOFTMAX", versions=2, options="LogSoftmaxOptions")
def log_softmax(call: Call) -> Any:
    """The logarithm of softmax over the last axis."""
    found = _log_softmax_of_bytes(call)
    if found is not None:
        return found
    return call.finished(relax.op.nn.log_softmax(call.input(0).real, axis=-1))


def _log_softmax_of_bytes(call: Call) -> Any:
    """In the scale that TFLite wants; None for others."""
    pair, data = pair_of(call), call.input(0)
    if pair is None or data.dtype not in BYTES or data.shape[-1] > 4095:
        return None
    if pair[1] != Quantization(np.float32(1 / 16), LIMITS[data.dtype][1]):
        return None
    real = min(float(pair[0].scale) * (1 << 26), 2.0**31 - 1.0)
    multiplier, shift = quantize_multiplier(real, 31)
    if shift < 1:
        return None
    least = -math.floor(31 * (1 << 26) / (1 << shift))
    divisor = quantize_multiplier((1 << (31 - shift)) / multiplier)
    if divisor[1] > 0:
        return None
    rows = math.prod(data.shape[:-1])
    spec = LogSoftmax(rows, data.shape[-1], multiplier, shift, least, *divisor, data.dtype)
    return call.kernel("log_softmax", spec, [data.expression], data.shape)


@operator(
    "L2_NORMALIZATION", versions=2, options="L2NormOptions", reads=("FusedActivationFunction",)
)
def l2_normalization(call: Call) -> Any:
    """The last axis divided by its norm; by 1e-6 where that is less."""
    activation = call.activation()
    found = _l2_of_bytes(call) if activation == "NONE" else None
    if found is not None:
        return found
    real = call.emitted(call.input(0).real)
    squares = relax.op.sum(relax.op.multiply(real, real), axis=[-1], keepdims=True)
    norm = relax.op.maximum(relax.op.sqrt(squares), relax.const(1e-6, "float32"))
    return call.finished(relax.op.divide(real, norm), activation)


def _l2_of_bytes(call: Call) -> Any:
    """In the scale that TFLite wants; None for others."""
    pair, data = pair_of(call), call.input(0)
    if pair is None or data.dtype not in BYTES or data.shape[-1] > 1 << 15:
        return None
    expected = Quantization(np.float32(1 / 128), 0 if data.dtype == "int8" else 128)
    if pair[1] != expected:
        return None
    rows = math.prod(data.shape[:-1])
    spec = L2Normalization(rows, data.shape[-1], pair[0].zero_point, data.dtype)
    return call.kernel("l2_normalization", spec, [data.expression], data.shape)


@operator(
    "LOCAL_RESPONSE_NORMALIZATION",
    options="LocalResponseNormalizationOptions",
    reads=("Radius", "Bias", "Alpha", "Beta"),
)
def local_response_normalization(call: Call) -> Any:
    """Each channel divided by a power of the squares of the channels around it."""
    real = call.emitted(call.input(0).real)
    radius, channels = call.options["Radius"], call.input(0).shape[-1]
    squares = call.emitted(relax.op.multiply(real, real))
    widths = [0] * (2 * call.input(0).rank - 2) + [radius, radius]
    padded = call.emitted(relax.op.nn.pad(squares, widths))
    total = None
    for offset in range(2 * radius + 1):
        part = relax.op.strided_slice(padded, [-1], [offset], [offset + channels])
        total = part if total is None else relax.op.add(total, part)
    scaled = relax.op.multiply(total, relax.const(call.options["Alpha"], "float32"))
    biased = relax.op.add(scaled, relax.const(call.options["Bias"], "float32"))
    power = relax.op.power(biased, relax.const(-call.options["Beta"], "float32"))
    return call.finished(relax.op.multiply(real, power))
