"""Recognizes functions of one byte that a model computes in several float operators.

Converters leave what they have no quantization for in float: NEG, COS or ELU between DEQUANTIZE and
QUANTIZE. Where all of it comes from one tensor of bytes, element by element, it is a table.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from pytest_microtvm.compiler.quantized import tables
from pytest_microtvm.compiler.quantized.arithmetic import round_away
from pytest_microtvm.compiler.quantized.recognise.matches import Match, Output
from pytest_microtvm.compiler.quantized.recognise.values import (
    Values,
    dtype_of,
    operator_name,
    shape_of,
)
from pytest_microtvm.compiler.quantized.specs import Lookup
from pytest_microtvm.compiler.quantized.tensors import Activation

Array = npt.NDArray[Any]

_BYTES = ("int8", "uint8")
_MOST_STEPS = 64
"""Longer chains are left in float, so that a chain of chains does not take long."""


def _precise(function: Callable[[Array], Array]) -> Callable[[Array], Array]:
    """A function in double precision: rounded once, it is what good C libraries give."""
    return lambda real: function(real.astype(np.float64))


_erf = np.vectorize(math.erf, otypes=[np.float64])

_FUNCTIONS: Mapping[str, Callable[..., Array]] = {
    "abs": np.abs,
    "add": np.add,
    "ceil": np.ceil,
    "cos": _precise(np.cos),
    "divide": np.divide,
    "equal": np.equal,
    "erf": _precise(_erf),
    "exp": _precise(np.exp),
    "floor": np.floor,
    "greater": np.greater,
    "greater_equal": np.greater_equal,
    "less": np.less,
    "less_equal": np.less_equal,
    "log": _precise(np.log),
    "logical_and": np.logical_and,
    "logical_not": np.logical_not,
    "logical_or": np.logical_or,
    "maximum": np.maximum,
    "minimum": np.minimum,
    "multiply": np.multiply,
    "negative": np.negative,
    "nn.relu": lambda real: np.maximum(real, np.float32(0)),
    "not_equal": np.not_equal,
    "round": np.rint,
    "rsqrt": _precise(lambda real: 1 / np.sqrt(real)),
    "sigmoid": tables.sigmoid,
    "sign": np.sign,
    "sin": _precise(np.sin),
    "sqrt": np.sqrt,
    "subtract": np.subtract,
    "tanh": tables.tanh,
    "where": np.where,
}
"""By the Relax operator, what it computes of elements."""


def match_chain(values: Values, value: Any, output: Output) -> Match | None:
    """A function of the elements of one tensor of bytes.

    Args:
        values: The bindings that `value` is one of.
        value: What gives the float result.
        output: What that is quantized to.
    """
    if output.dtype not in _BYTES:
        return None
    chain = _Chain(values, shape_of(value))
    with np.errstate(all="ignore"):
        real = chain.of(value)
    source = chain.source
    if real is None or source is None or source.dtype != output.dtype or np.isnan(real).any():
        return None
    steps = real.astype(np.float32) / output.quantization.scale
    rounded = np.rint(steps) if output.is_even else round_away(steps)
    shifted = rounded.astype(np.float64) + output.quantization.zero_point
    table = np.clip(shifted, output.minimum, output.maximum).astype(output.dtype)
    spec = Lookup(math.prod(source.shape), table, source.dtype)
    return Match(_name(value), spec, (source.expression,), channels_last=spec)


def _name(value: Any) -> str:
    return operator_name(value).removeprefix("nn.").replace(".", "_")


class _Chain:
    """What float expressions are for each value of the one tensor of bytes behind them.

    Args:
        values: The bindings of the function.
        shape: Of the tensor and of all that is computed of it.
    """

    def __init__(self, values: Values, shape: tuple[int, ...]) -> None:
        self._values = values
        self._shape = shape
        self._steps = 0
        self.source: Activation | None = None
        """The tensor of bytes, once it was found."""

    def of(self, expression: Any) -> Array | None:
        """By value of a byte, or for all of them; None where it is no function of one byte."""
        values = self._values
        known = values.constant(expression)
        if known is not None:
            return known.reshape(()) if known.size == 1 else None
        source = values.activation(expression)
        if source is not None:
            return self._given(source)
        call = values.definition(expression)
        name = operator_name(call)
        self._steps += 1
        if self._steps > _MOST_STEPS or not name or shape_of(call) != self._shape:
            return None
        if name == "clip":
            real, low, high = self.of(call.args[0]), *map(values.number, call.args[1:3])
            return None if real is None else np.clip(real, np.float32(low), np.float32(high))
        function = _FUNCTIONS.get(name)
        if name == "astype" and dtype_of(call) == "float32":
            function = np.asarray
        if function is None:
            return None
        operands = [self.of(argument) for argument in call.args]
        if any(operand is None for operand in operands):
            return None
        result = function(*operands)
        return result if result.dtype == np.bool_ else result.astype(np.float32)

    def _given(self, source: Activation) -> Array | None:
        if source.dtype not in _BYTES or source.shape != self._shape:
            return None
        if self.source is not None and self.source.expression != source.expression:
            return None
        self.source = source
        offsets = tables.inputs_of(source.dtype) - source.quantization.zero_point
        real: Array = source.quantization.scale * offsets.astype(np.float32)
        return real
