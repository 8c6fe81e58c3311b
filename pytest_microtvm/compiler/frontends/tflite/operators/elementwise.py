"""Functions of each element alone."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from tvm import relax

from pytest_microtvm.compiler.frontends.tflite.call import Call
from pytest_microtvm.compiler.frontends.tflite.operators.tables import (
    looked_up,
    pair_of,
    tabulated,
    two_slopes,
)
from pytest_microtvm.compiler.frontends.tflite.registry import operator
from pytest_microtvm.compiler.quantized import tflite_tables
from pytest_microtvm.compiler.quantized.tflite_specs import Sigmoid

Real = Callable[[Any], Any]
Exact = Callable[[Call], Any]
"""The result by a kernel that gives TFLite's bits; None where there is none for these tensors."""


def _unary(
    name: str, function: Real, versions: int = 1, options: str = "", exact: Exact | None = None
) -> None:
    @operator(name, versions=versions, options=options)
    def convert(call: Call) -> Any:
        data = call.input(0)
        if exact is not None and data.is_quantized and data.value is None:
            found = exact(call)
            if found is not None:
                return found
        return call.finished(function(data.real))


def _elu(real: Any) -> Any:
    negative = relax.op.subtract(relax.op.exp(real), relax.const(1.0, "float32"))
    return relax.op.where(relax.op.less(real, relax.const(0.0, "float32")), negative, real)


def _hard_swish(real: Any) -> Any:
    gate = relax.op.clip(relax.op.add(real, relax.const(3.0, "float32")), 0.0, 6.0)
    return relax.op.divide(relax.op.multiply(real, gate), relax.const(6.0, "float32"))


def _relu(low: float, high: float, real: Any) -> Any:
    return relax.op.clip(real, low, high)


def _square(real: Any) -> Any:
    return relax.op.multiply(real, real)


# What TFLite computes over integers.


def _exact_abs(call: Call) -> Any:
    if call.input(0).dtype == "int16":
        return two_slopes(call, "abs", 1.0, turn=True)
    return tabulated(call, "abs", tflite_tables.absolute)


def _exact_log(call: Call) -> Any:
    pair = pair_of(call)
    if pair is None:
        return None
    function = tflite_tables.logarithm(*pair, call.output.dtype)
    return looked_up(call, "log", function)


def _exact_rsqrt(call: Call) -> Any:
    pair = pair_of(call)
    if pair is None:
        return None
    if call.output.dtype == "int16":
        return looked_up(call, "rsqrt", tflite_tables.inverse_root(pair[1].scale))
    return tabulated(call, "rsqrt", tflite_tables.inverse_roots)


def _exact_sigmoid(name: str, is_tanh: bool, call: Call) -> Any:
    """Of int16; bytes are recognized."""
    pair, data = pair_of(call), call.input(0)
    if pair is None or data.dtype != "int16":
        return None
    source, output = pair
    if source.zero_point or output.zero_point or float(output.scale) != 1 / 32768:
        return None
    factor = tflite_tables.sigmoid_factor(source.scale, 1 if is_tanh else 0)
    spec = Sigmoid(math.prod(data.shape), *factor, is_tanh)
    return call.kernel(name, spec, [data.expression], data.shape)


def _table(name: str, function: Callable[[Any], Any], is_wide: bool = False) -> Exact:
    """By a table; of int16 only where TFLite has one: straight lines do not fit in general."""

    def exact(call: Call) -> Any:
        if call.input(0).dtype == "int16" and not is_wide:
            return None
        return looked_up(call, name, function)

    return exact


def _exact_neg(call: Call) -> Any:
    """Of int8 and int16, LiteRT turns the stored values' sign, whatever these stand for."""
    if call.input(0).dtype == call.output.dtype and call.output.dtype in ("int8", "int16"):
        return relax.op.negative(call.input(0).expression)
    return _table("neg", np.negative)(call)


_unary("ABS", relax.op.abs, 5, "AbsOptions", _exact_abs)
_unary("CEIL", relax.op.ceil, exact=_table("ceil", np.ceil))
_unary("COS", relax.op.cos, 1, "CosOptions", _table("cos", np.cos))
_unary("ELU", _elu, exact=_table("elu", lambda x: np.where(x < 0, np.expm1(x), x)))
_unary("EXP", relax.op.exp, 2, "ExpOptions", _table("exp", np.exp, True))
_unary("FLOOR", relax.op.floor, exact=_table("floor", np.floor))
_unary(
    "HARD_SWISH",
    _hard_swish,
    1,
    "HardSwishOptions",
    lambda call: tabulated(call, "hard_swish", tflite_tables.hard_swish),
)
_unary("LOG", relax.op.log, 2, exact=_exact_log)
_unary("LOGICAL_NOT", relax.op.logical_not, 1, "LogicalNotOptions")
_unary("LOGISTIC", relax.op.sigmoid, 3, exact=partial(_exact_sigmoid, "logistic", False))
_unary("NEG", relax.op.negative, 1, "NegOptions", _exact_neg)
_unary("RELU", relax.op.nn.relu, 3)
_unary("RELU6", partial(_relu, 0.0, 6.0), 3)
_unary("RELU_0_TO_1", partial(_relu, 0.0, 1.0))
_unary("RELU_N1_TO_1", partial(_relu, -1.0, 1.0))
_unary("ROUND", relax.op.round, exact=_table("round", np.round))
_unary("RSQRT", relax.op.rsqrt, 3, exact=_exact_rsqrt)
_unary("SIGN", relax.op.sign, 2, "SignOptions", _table("sign", np.sign))
_unary("SIN", relax.op.sin, exact=_table("sin", np.sin))
_unary("SQRT", relax.op.sqrt, 2, exact=lambda call: tabulated(call, "sqrt", tflite_tables.roots))
_unary("SQUARE", _square, 1, "SquareOptions", _table("square", np.square))
_unary("TANH", relax.op.tanh, 3, exact=partial(_exact_sigmoid, "tanh", True))


@operator("GELU", versions=2, options="GeluOptions", reads=("Approximate",))
def gelu(call: Call) -> Any:
    """X times the normal distribution's function, or its approximation by a tanh."""
    is_approximate = bool(call.options["Approximate"])
    if call.input(0).is_quantized:
        found = looked_up(call, "gelu", _gelu_tanh if is_approximate else _gelu)
        if found is not None:
            return found
    real = call.input(0).real
    if is_approximate:
        return call.finished(relax.op.nn.gelu_tanh(real))
    scaled = relax.op.multiply(real, relax.const(math.sqrt(0.5), "float32"))
    chance = relax.op.add(relax.op.erf(scaled), relax.const(1.0, "float32"))
    half = relax.op.multiply(real, relax.const(0.5, "float32"))
    return call.finished(relax.op.multiply(half, chance))


def _gelu(values: Any) -> Any:
    """In float32, step by step, as LiteRT tabulates it: the last bit decides some entries."""
    x = values.astype(np.float32)
    chance = np.vectorize(math.erf)(x * np.float32(math.sqrt(0.5))).astype(np.float32)
    return np.float32(0.5) * x * (np.float32(1) + chance)


def _gelu_tanh(values: Any) -> Any:
    """Likewise; C libraries round `tanhf` differently in the last bit, this is most of them."""
    x = values.astype(np.float32)
    inner = np.float32(math.sqrt(2 / math.pi)) * (x + np.float32(0.044715) * x * x * x)
    return np.float32(0.5) * x * (np.float32(1) + _tanh(inner))


def _tanh(x: Any) -> Any:
    """By the exponential less one, each step rounded to float32."""
    size = np.abs(x)
    growing, falling = (
        np.expm1((np.float32(factor) * size).astype(np.float64)).astype(np.float32)
        for factor in (2, -2)
    )
    large = np.float32(1) - np.float32(2) / (growing + np.float32(2))
    return np.copysign(np.where(size >= 1, large, -falling / (falling + np.float32(2))), x)


@operator("LEAKY_RELU", versions=2, options="LeakyReluOptions", reads=("Alpha",))
def leaky_relu(call: Call) -> Any:
    """Negative elements times a constant."""
    alpha = call.options["Alpha"]
    if call.input(0).dtype == "int16" and call.input(0).is_quantized:
        found = two_slopes(call, "leaky_relu", alpha)
        if found is not None:
            return found
    return call.finished(relax.op.nn.leakyrelu(call.input(0).real, alpha))
