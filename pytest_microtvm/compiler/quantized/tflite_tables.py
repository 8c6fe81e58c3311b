"""TFLite's approximations of functions, as tables: of all bytes, or of 513 places of int16."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from pytest_microtvm.compiler.quantized.arithmetic import (
    LIMITS,
    high_multiply,
    quantize_multiplier,
    requantize,
    round_away,
    rounding_shift,
)
from pytest_microtvm.compiler.quantized.tables import inputs_of
from pytest_microtvm.compiler.quantized.tensors import Quantization
from pytest_microtvm.errors import ModelError

Int64Array = npt.NDArray[np.int64]
Table = npt.NDArray[Any]
Function = Callable[[npt.NDArray[Any]], npt.NDArray[Any]]

_STEPS = 512

_ONE_MORE = (
    4, 8, 12, 14, 15, 16, 17, 19, 20, 21, 22, 25, 27, 28, 29, 30, 31, 33, 34, 35, 37, 39, 40,
    41, 43, 44, 45, 46, 49, 50, 54, 62, 63, 64, 66, 82, 86, 93, 100, 103, 112, 116, 135, 255,
)  # fmt: skip
"""Where the table of TFLite's sigmoid is one more than the function rounded."""


def interpolated(
    function: Function,
    source: tuple[Any, int],
    output: tuple[Any, int],
    dtype: type[np.floating[Any]] = np.float32,
) -> npt.NDArray[np.int16]:
    """The table of a function of int16, as 512 straight lines that err least in their middles.

    Args:
        function: Of real numbers, in `dtype`.
        source: Scale and zero point of the input.
        output: Those of the output.
        dtype: What is computed in.
    """
    with np.errstate(all="ignore"):
        values = _lines(function, source, output, dtype)
    table: npt.NDArray[np.int16] = np.clip(np.nan_to_num(values), *LIMITS["int16"]).astype(np.int16)
    return table


def _lines(
    function: Function, source: tuple[Any, int], output: tuple[Any, int], dtype: Any
) -> npt.NDArray[Any]:
    """The entries of the table before they are held to int16."""
    low, high = LIMITS["int16"]
    scale, zero_point = dtype(source[0]), source[1]
    out_scale = dtype(output[0])
    least, greatest = scale * dtype(low - zero_point), scale * dtype(high - zero_point)
    span = out_scale * dtype(high - output[1]) - out_scale * dtype(low - output[1])
    inverse = dtype(high - low + 1) / span
    step = (greatest - least) / dtype(_STEPS)
    at = least + np.arange(_STEPS + 1).astype(dtype) * step
    middles = least + np.arange(_STEPS).astype(dtype) * step + step / dtype(2)
    at[-1] = greatest
    next_places = least + (np.arange(_STEPS) + 1).astype(dtype) * step
    values = round_away(_in(dtype, function, at) * inverse).astype(dtype)
    following = _in(dtype, function, next_places) * inverse
    guesses = round_away((following + values[:-1]) / dtype(2)).astype(dtype)
    errors = guesses - round_away(_in(dtype, function, middles) * inverse).astype(dtype)
    values[:-1] -= round_away(errors / dtype(2)).astype(dtype)
    return values


def _in(
    dtype: type[np.floating[Any]], function: Function, values: npt.NDArray[Any]
) -> npt.NDArray[Any]:
    """A function in double precision, rounded to `dtype`: what good C libraries give."""
    return function(values.astype(np.float64)).astype(dtype)


def sigmoid_table() -> npt.NDArray[np.uint16]:
    """1 / (1 + e**-x) in steps of 1 / 24, with 16 bits after the point."""
    values = 1 / (1 + np.exp(-np.arange(256) / 24))
    table = np.minimum(np.round(values * 65536), 65535).astype(np.uint16)
    table[list(_ONE_MORE)] += 1
    return table


def sigmoid_factor(scale: np.float32, greatest_shift: int) -> tuple[int, int]:
    """From steps of int16 to those of 1 / (3 * 4096): a factor of 16 bits and a shift to the right.

    Args:
        scale: Of the input.
        greatest_shift: Scales of 2**-12, and of up to so many bits more, are exact.

    Raises:
        ModelError: The factor is 0 or has more than 16 bits: TFLite leaves open what comes out.
    """
    fraction, exponent = math.frexp(float(scale))
    if fraction == 0.5 and 0 <= exponent - 1 + 12 <= greatest_shift:
        return 3 << (exponent - 1 + 12), 0
    factor, shift = float(scale) * 4096 * 3, 0
    while factor <= 32767 / 2 and shift <= 30:
        factor, shift = factor * 2, shift + 1
    if not 1 <= factor < 1 << 16:
        raise ModelError(
            f"an operator over int16 has the input scale {scale:g}, for which TensorFlow Lite has "
            "no factor",
            cure="export the model again, with scales that fit its values",
        )
    return int(factor), shift


def hard_swish(source: Quantization, output: Quantization, dtype: str) -> Table | None:
    """X * relu6(x + 3) / 6 in steps over int16; None when the output's scale is too fine for it."""
    fine = np.float32(1 / 128) * source.scale
    multiplier, exponent = quantize_multiplier(float(fine / output.scale))
    gate, gate_exponent = quantize_multiplier(float(fine / (np.float32(3) / np.float32(32768))))
    if exponent > 0:
        return None
    values = (inputs_of(dtype) - source.zero_point) * 128
    scaled = _high16(values, _upper(multiplier))
    gated = values
    if gate_exponent > 0:
        gated = _saturated(gated << (gate_exponent - 1))
    gated = _high16(gated, _upper(gate))
    if gate_exponent > 0:
        gated = _saturated(gated << 1)
    if gate_exponent < 0:
        gated = rounding_shift(gated, -gate_exponent)
    gated = (gated + (1 << 15)) >> 1
    product = gated * scaled
    result = np.sign(product) * (np.abs(product) >> 15)
    result = rounding_shift(result, -exponent) + output.zero_point
    table: Table = np.clip(result, *LIMITS[dtype]).astype(dtype)
    return table


def _upper(multiplier: int) -> int:
    """The upper 16 bits of a multiplier, rounded."""
    return min((multiplier + (1 << 15)) >> 16, 32767)


def _high16(values: Int64Array, factor: int) -> Int64Array:
    """`values * factor / 2**15`, rounded to nearest, ties up."""
    return (values * factor + (1 << 14)) >> 15


def _saturated(values: Int64Array) -> Int64Array:
    return np.clip(values, -32768, 32767)


def absolute(source: Quantization, output: Quantization, dtype: str) -> Table:
    """Magnitudes in the output's scale."""
    values = np.abs(inputs_of(dtype) - source.zero_point)
    if source.scale != output.scale:
        values = requantize(values, *quantize_multiplier(float(source.scale / output.scale)))
    table: Table = np.clip(values + output.zero_point, *LIMITS[dtype]).astype(dtype)
    return table


def logarithm(source: Quantization, output: Quantization, dtype: str) -> Function:
    """ln(x); of what is not positive, the least number that the output holds."""
    least = np.float32(LIMITS[dtype][0] - output.zero_point) * output.scale

    def function(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        return np.asarray(np.where(values <= 0, least, np.log(np.maximum(values, 1e-300))))

    return function


def inverse_root(output_scale: np.float32) -> Function:
    """1 / sqrt(x); of what is not positive, the greatest number that an int16 output holds."""

    def function(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        most = np.float32(32767) * output_scale
        return np.asarray(np.where(values <= 0, most, 1 / np.sqrt(np.maximum(values, 1e-300))))

    return function


def inverse_roots(source: Quantization, output: Quantization, dtype: str) -> Table:
    """1 / sqrt(x) of bytes, by Newton's method; of what is not positive, the greatest value."""
    factor, exponent = quantize_multiplier(
        1.0 / float(np.sqrt(source.scale, dtype=np.float32) * output.scale)
    )
    low, high = LIMITS[dtype]
    found = []
    for value in (inputs_of(dtype) - source.zero_point).tolist():
        if value <= 0:
            found.append(high)
            continue
        multiplier, shift = inverse_sqrt(value)
        data = requantize(np.array([1], np.int64), multiplier, shift + 20)
        scaled = int(requantize(data, factor, exponent - 20)[0])
        found.append(min(max(scaled + output.zero_point, low), high))
    return np.array(found, dtype)


def inverse_sqrt(value: int) -> tuple[int, int]:
    """1 / sqrt(value) as multiplier and shift to the left, for a value of 1 and more."""
    if value <= 1:
        return 2**31 - 1, 0
    right = 11
    while value >= 1 << 29:
        value //= 4
        right += 1
    pairs = (31 - value.bit_length()) // 2 - 1
    right -= pairs
    value <<= 2 * pairs
    half = int(rounding_shift(np.array([value >> 1]), 1)[0])
    x = np.array([1 << 28], np.int64)
    for _ in range(5):
        cube = _left(high_multiply(high_multiply(x, int(x[0])), int(x[0])), 6)
        rest = high_multiply(x, (1 << 28) + (1 << 27)) - high_multiply(cube, half)
        x = _left(rest, 3)
    result = int(high_multiply(x, 1518500250)[0])
    if right < 0:
        result, right = result << -right, 0
    return result, -right


def _left(values: Int64Array, bits: int) -> Int64Array:
    """Shifted to the left, and held in int32."""
    held: Int64Array = np.clip(values << bits, -(1 << 31), (1 << 31) - 1)
    return held


def roots(source: Quantization, output: Quantization, dtype: str) -> Table:
    """sqrt(x), rounded towards zero; of negative numbers, 0."""
    real = source.scale * (inputs_of(dtype) - source.zero_point).astype(np.float32)
    steps = np.trunc(np.sqrt(np.maximum(real, 0), dtype=np.float32) / output.scale)
    table: Table = np.clip(steps + output.zero_point, *LIMITS[dtype]).astype(dtype)
    return table
