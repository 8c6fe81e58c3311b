"""Quantized operators whose bits TFLite defines by tables and factors, as specs of kernels."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from pytest_microtvm.compiler.frontends.tflite.call import Call, Operand
from pytest_microtvm.compiler.quantized import tables
from pytest_microtvm.compiler.quantized.arithmetic import LIMITS, quantize_multiplier
from pytest_microtvm.compiler.quantized.specs import Lookup, Requantization, Rounding
from pytest_microtvm.compiler.quantized.specs import Operand as Side
from pytest_microtvm.compiler.quantized.tensors import Activation, Quantization
from pytest_microtvm.compiler.quantized.tflite_specs import Interpolation, TwoSlopes
from pytest_microtvm.compiler.quantized.tflite_tables import Function, Table, interpolated

BYTES = ("int8", "uint8")
Tabulate = Callable[[Quantization, Quantization, str], Table | None]


def one_quantization(tensor: Any) -> Quantization | None:
    """The quantization of a tensor that has one for all of its elements."""
    known = tensor.quantization
    if known is None or known.scales.size != 1:
        return None
    return Quantization(known.scale, known.zero_point)


def pair_of(call: Call) -> tuple[Quantization, Quantization] | None:
    """The quantizations of the first input and of the output, of one element type."""
    data = call.input(0)
    source, output = one_quantization(data), one_quantization(call.output)
    if source is None or output is None or data.dtype != call.output.dtype:
        return None
    return source, output


def tabulated(call: Call, name: str, tabulate: Tabulate) -> Any:
    """The result of a function of bytes by a table; None where there is none."""
    pair, data = pair_of(call), call.input(0)
    if pair is None or data.dtype not in BYTES:
        return None
    table = tabulate(*pair, data.dtype)
    if table is None:
        return None
    spec = Lookup(math.prod(data.shape), table, data.dtype)
    return call.kernel(name, spec, [data.expression], data.shape)


def looked_up(call: Call, name: str, function: Function) -> Any:
    """The result of a float function of bytes or of symmetric int16, as TFLite tabulates it."""
    pair, data = pair_of(call), call.input(0)
    if pair is None:
        return None
    source, output = pair
    if data.dtype == "int16":
        if source.zero_point or output.zero_point:
            return None
        table = interpolated(function, (source.scale, 0), (output.scale, 0))
        spec = Interpolation(math.prod(data.shape), table)
        return call.kernel(name, spec, [data.expression], data.shape)

    def tabulate(source: Quantization, output: Quantization, dtype: str) -> Table:
        given = Activation(None, (), dtype, source)
        return tables.real_table(lambda x: _rounded(function, x), given, output, dtype)

    return tabulated(call, name, tabulate)


def _rounded(function: Function, values: Any) -> Any:
    with np.errstate(all="ignore"):
        return function(values.astype(np.float64)).astype(np.float32)


def factor_of(
    real: float,
    output: Quantization,
    dtype: str,
    rounding: Rounding = Rounding.DOUBLE,
    bounds: tuple[int, int] | None = None,
) -> Requantization:
    """To an output by one factor for all elements."""
    multiplier, shift = quantize_multiplier(real)
    low, high = bounds or LIMITS.get(dtype, (-(1 << 31), (1 << 31) - 1))
    return Requantization(
        np.array([multiplier], np.int32),
        np.array([shift], np.int32),
        rounding,
        output.zero_point,
        low,
        high,
        dtype,
        np.array([real], np.float64),
    )


def two_slopes(call: Call, name: str, negative: float, turn: bool = False) -> Any:
    """Each element by a factor for its sign.

    Args:
        call: The operator.
        name: For the kernel.
        negative: The slope of negative elements, in float32.
        turn: Whether negative elements are turned before they are scaled, not after.
    """
    pair, data = pair_of(call), call.input(0)
    if pair is None:
        return None
    source, output = pair
    positive = factor_of(float(source.scale / output.scale), output, data.dtype)
    factor = float(source.scale * np.float32(negative) / output.scale)
    if factor < 0 and not turn:
        return None
    spec = TwoSlopes(
        math.prod(data.shape),
        source.zero_point,
        positive,
        factor_of(abs(factor), output, data.dtype),
        -1 if turn else 1,
        data.dtype,
    )
    return call.kernel(name, spec, [data.expression], data.shape)


def side_of(operand: Operand, multiplier: int = 0, shift: int = 0) -> Side | None:
    """An operand as specs have it."""
    known = one_quantization(operand.tensor)
    if known is None:
        return None
    return Side(operand.shape, known.zero_point, multiplier, shift, operand.value)
