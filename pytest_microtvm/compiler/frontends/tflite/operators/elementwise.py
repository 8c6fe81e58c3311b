"""Functions of each element alone."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

from tvm import relax

from pytest_microtvm.compiler.frontends.tflite.call import Call
from pytest_microtvm.compiler.frontends.tflite.registry import operator

Function = Callable[[Any], Any]


def _unary(name: str, function: Function, versions: int = 1, options: str = "") -> None:
    @operator(name, versions=versions, options=options)
    def convert(call: Call) -> Any:
        return call.finished(function(call.input(0).real))


def _elu(real: Any) -> Any:
    negative = relax.op.subtract(relax.op.exp(real), relax.const(1.0, "float32"))
    return relax.op.where(relax.op.less(real, relax.const(0.0, "float32")), negative, real)


def _hard_swish(real: Any) -> Any:
    gate = relax.op.clip(relax.op.add(real, relax.const(3.0, "float32")), 0.0, 6.0)
    return relax.op.divide(relax.op.multiply(real, gate), relax.const(6.0, "float32"))


def _relu(low: float, high: float, real: Any) -> Any:
    return relax.op.clip(real, low, high)


_unary("ABS", relax.op.abs, 5, "AbsOptions")
_unary("CEIL", relax.op.ceil)
_unary("COS", relax.op.cos, 1, "CosOptions")
_unary("ELU", _elu)
_unary("EXP", relax.op.exp, 2, "ExpOptions")
_unary("FLOOR", relax.op.floor)
_unary("HARD_SWISH", _hard_swish, 1, "HardSwishOptions")
_unary("LOG", relax.op.log, 2)
_unary("LOGICAL_NOT", relax.op.logical_not, 1, "LogicalNotOptions")
_unary("LOGISTIC", relax.op.sigmoid, 3)
_unary("NEG", relax.op.negative, 1, "NegOptions")
_unary("RELU", relax.op.nn.relu, 3)
_unary("RELU6", partial(_relu, 0.0, 6.0), 3)
_unary("RELU_0_TO_1", partial(_relu, 0.0, 1.0))
_unary("RELU_N1_TO_1", partial(_relu, -1.0, 1.0))
_unary("ROUND", relax.op.round)
_unary("RSQRT", relax.op.rsqrt, 3)
_unary("SIGN", relax.op.sign, 2, "SignOptions")
_unary("SIN", relax.op.sin)
_unary("SQRT", relax.op.sqrt, 2)
_unary("SQUARE", lambda real: relax.op.multiply(real, real), 1, "SquareOptions")
_unary("TANH", relax.op.tanh, 3)


@operator("GELU", versions=2, options="GeluOptions", reads=("Approximate",))
def gelu(call: Call) -> Any:
    """X times the normal distribution's function, or its approximation by a tanh."""
    real = call.input(0).real
    if call.options["Approximate"]:
        return call.finished(relax.op.nn.gelu_tanh(real))
    scaled = relax.op.multiply(real, relax.const(math.sqrt(0.5), "float32"))
    chance = relax.op.add(relax.op.erf(scaled), relax.const(1.0, "float32"))
    half = relax.op.multiply(real, relax.const(0.5, "float32"))
    return call.finished(relax.op.multiply(half, chance))


@operator("LEAKY_RELU", versions=2, options="LeakyReluOptions", reads=("Alpha",))
def leaky_relu(call: Call) -> Any:
    """Negative elements times a constant."""
    return call.finished(relax.op.nn.leakyrelu(call.input(0).real, call.options["Alpha"]))
