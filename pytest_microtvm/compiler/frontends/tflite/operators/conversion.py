"""From one element type or scale to another."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from tvm import relax

from pytest_microtvm.compiler.frontends.tflite.call import Call, Operand, constant
from pytest_microtvm.compiler.frontends.tflite.graph import Array, Quantization
from pytest_microtvm.compiler.frontends.tflite.operators.tables import (
    factor_of,
    one_quantization,
)
from pytest_microtvm.compiler.frontends.tflite.registry import operator
from pytest_microtvm.compiler.quantized.arithmetic import LIMITS, round_away
from pytest_microtvm.compiler.quantized.specs import Requantize


@operator("QUANTIZE", versions=3, options="QuantizeOptions")
def quantize(call: Call) -> Any:
    """To the quantization of the output, from floats or from another one."""
    if call.output.quantization is None:
        raise call.refusal("its output has no quantization")
    data = call.input(0)
    if data.is_quantized and "int32" in (data.dtype, call.output.dtype):
        return _requantized(call)
    if data.value is not None and data.dtype == "float32" and call.output.dtype in LIMITS:
        return _steps(data.value, call.output.quantization, call.output.dtype)
    return call.finished(data.real)


def _steps(values: Array, quantization: Quantization, dtype: str) -> Array:
    """Known numbers in steps, as training that knows of quantization leaves weights."""
    shape = [1] * values.ndim
    if quantization.scales.size > 1:
        shape[quantization.axis] = quantization.scales.size
    steps = round_away(values / quantization.scales.reshape(shape))
    steps = steps + quantization.zero_points.reshape(shape)
    return np.clip(steps, *LIMITS[dtype]).astype(dtype)


def _requantized(call: Call) -> Any:
    """From or to int32."""
    data = call.input(0)
    source, output = one_quantization(data), one_quantization(call.output)
    if source is None or output is None:
        raise call.refusal("it has a scale for each channel")
    factor = factor_of(float(source.scale) / float(output.scale), output, call.output.dtype)
    spec = Requantize(math.prod(data.shape), source.zero_point, factor, data.dtype)
    return call.kernel("requantize", spec, [data.expression], data.shape)


@operator("DEQUANTIZE", versions=6, options="DequantizeOptions")
def dequantize(call: Call) -> Any:
    """To float32; constants of float16 are stored that way only."""
    data = call.input(0)
    if data.value is not None:
        real: Any = data.known_real()
        return np.asarray(real).astype("float32")
    return relax.op.astype(data.expression, "float32") if not data.is_quantized else data.real


@operator("DENSIFY", options="DensifyOptions")
def densify(call: Call) -> Any:
    """A sparse constant with its zeros, as constants are read here anyway."""
    return call.known(0, "its sparse tensor")


@operator(
    "CAST",
    versions=6,
    options="CastOptions",
    ignored={
        "InDataType": "the input has its element type",
        "OutDataType": "the output has its element type",
    },
)
def cast(call: Call) -> Any:
    """Values as they are, in another element type; floats beyond it are its least or greatest."""
    data = call.input(0)
    if "float" in data.dtype and "int" in call.output.dtype:
        return _held(call, data)
    if data.value is not None:
        return data.value.astype(call.output.dtype)
    if data.dtype == call.output.dtype:
        return data.expression
    if call.output.dtype == "bool":
        zero = constant(np.zeros((), data.dtype))
        return relax.op.not_equal(data.expression, zero)
    return relax.op.astype(data.expression, call.output.dtype)


def _held(call: Call, data: Operand) -> Any:
    """Floats as integers. C leaves open what others than these are, and processors differ.

    What is no number is the greatest one, as of LiteRT's.
    """
    limits = np.iinfo(call.output.dtype)
    end, least = (np.array(float(bound), data.dtype) for bound in (limits.max + 1, limits.min))
    if data.value is not None:
        is_below = data.value < end
        held = np.maximum(np.where(is_below, data.value, 0), least).astype(limits.dtype)
        return np.asarray(np.where(is_below, held, limits.max).astype(limits.dtype))
    real = call.emitted(data.expression)
    is_below = call.emitted(relax.op.less(real, constant(end)))
    inside = relax.op.where(is_below, real, constant(np.zeros((), data.dtype)))
    held = relax.op.maximum(call.emitted(inside), constant(least))
    whole = call.emitted(relax.op.astype(call.emitted(held), call.output.dtype))
    return relax.op.where(is_below, whole, constant(np.array(limits.max, limits.dtype)))


@operator(
    "FAKE_QUANT",
    versions=2,
    options="FakeQuantOptions",
    reads=("Min", "Max", "NumBits", "NarrowRange"),
)
def fake_quant(call: Call) -> Any:
    """Floats held to the steps of a quantization."""
    low = np.float32(1.0 if call.options["NarrowRange"] else 0.0)
    high = np.float32(2 ** call.options["NumBits"] - 1)
    least, greatest = (np.float32(call.options[bound]) for bound in ("Min", "Max"))
    step = (greatest - least) / (high - low)
    zero_point = np.float32(np.clip(round_away(low - least / step), low, high))
    scale = float(step)
    start, end = (float((bound - zero_point) * step) for bound in (low, high))
    clipped = relax.op.subtract(
        relax.op.clip(call.input(0).expression, start, end), relax.const(start, "float32")
    )
    steps = relax.op.multiply(clipped, relax.const(1.0 / scale, "float32"))
    rounded = relax.op.floor(relax.op.add(steps, relax.const(0.5, "float32")))
    back = relax.op.multiply(rounded, relax.const(scale, "float32"))
    return relax.op.add(back, relax.const(start, "float32"))


@operator("BUCKETIZE", options="BucketizeOptions", reads=("Boundaries",))
def bucketize(call: Call) -> Any:
    """How many of the boundaries are not above an element."""
    data = call.input(0)
    if data.is_quantized or data.dtype not in ("float32", "int32", "int64"):
        raise call.refusal(f"its input is of {data.dtype}")
    boundaries = np.array(call.options["Boundaries"], np.float32)
    if data.dtype != "float32":
        boundaries = np.ceil(boundaries).astype(data.dtype)
    spread = relax.op.expand_dims(data.expression, data.rank)
    is_above = relax.op.greater_equal(spread, constant(boundaries))
    return relax.op.sum(relax.op.astype(is_above, "int32"), [data.rank])


@operator("BITCAST", options="BitcastOptions")
def bitcast(call: Call) -> Any:
    """The same bits as another element type."""
    data = call.input(0)
    if data.value is not None:
        return data.value.view(call.output.dtype)
    raise call.refusal("it reads the bits of what is computed as another element type")
