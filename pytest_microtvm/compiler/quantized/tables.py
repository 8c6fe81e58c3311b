"""Functions of one quantized value, tabulated as TFLite does or with the same result."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from pytest_microtvm.compiler.quantized.arithmetic import (
    LIMITS,
    apply,
    quantize_multiplier,
    requantize,
    round_away,
)
from pytest_microtvm.compiler.quantized.specs import Requantization
from pytest_microtvm.compiler.quantized.tensors import Activation, Quantization

Float32Array = npt.NDArray[np.float32]


def inputs_of(dtype: str) -> npt.NDArray[np.int64]:
    """All values of an element type of 8 bits, from the least on."""
    low, high = LIMITS[dtype]
    return np.arange(low, high + 1, dtype=np.int64)


def real_table(
    function: Callable[[Float32Array], Float32Array],
    source: Activation,
    output: Quantization,
    dtype: str,
    *,
    is_even: bool = False,
) -> npt.NDArray[Any]:
    """A function of float32, evaluated between dequantization and quantization.

    Args:
        function: It.
        source: What it is given.
        output: Of the result.
        dtype: Of the result.
        is_even: Divide by the scale and round ties to even, as ONNX does; not multiply by its
            inverse and round them away from zero, as TFLite does.
    """
    quantization = source.quantization
    real = quantization.scale * (inputs_of(source.dtype) - quantization.zero_point).astype(
        np.float32
    )
    result = function(real).astype(np.float32)
    if is_even:
        rounded = np.rint(result / output.scale)
    else:
        rounded = round_away(result * (np.float32(1.0) / output.scale))
    table: npt.NDArray[Any] = np.clip(rounded + output.zero_point, *LIMITS[dtype]).astype(dtype)
    return table


def requantization_table(source: Activation, requantization: Requantization) -> npt.NDArray[Any]:
    """The same tensor in another scale."""
    centered = inputs_of(source.dtype) - source.quantization.zero_point
    return apply(centered[:, None], requantization)[:, 0]


def leaky_relu_table(
    source: Activation, alpha: np.float32, output: Quantization, dtype: str
) -> npt.NDArray[Any]:
    """Negative values times `alpha`; factors in float32, as TFLite multiplies them."""
    scale = source.quantization.scale
    centered = inputs_of(source.dtype) - source.quantization.zero_point
    positive = requantize(centered, *quantize_multiplier(float(scale / output.scale)))
    factor = float(scale * alpha / output.scale)
    negative = requantize(centered, *quantize_multiplier(abs(factor)))
    if factor < 0:
        negative = -negative
    values = np.where(centered >= 0, positive, negative) + output.zero_point
    table: npt.NDArray[Any] = np.clip(values, *LIMITS[dtype]).astype(dtype)
    return table


def concatenation_table(
    source: Activation, output: Quantization, dtype: str
) -> npt.NDArray[Any] | None:
    """How a part of a concatenation gets the output's scale; None when it has it."""
    quantization = source.quantization
    if quantization == output:
        return None
    scale = quantization.scale * (np.float32(1.0) / output.scale)
    bias = np.float32(-quantization.zero_point) * scale
    rounded = round_away(inputs_of(source.dtype).astype(np.float32) * scale + bias)
    return np.clip(rounded + output.zero_point, *LIMITS[dtype]).astype(dtype)


def sigmoid(values: Float32Array) -> Float32Array:
    """1 / (1 + e**-x) in steps of float32."""
    # Beyond 88, float32 has no more room; the result is 0 all the same.
    exponential = np.exp(np.minimum(-values.astype(np.float64), 88.0)).astype(np.float32)
    result: Float32Array = np.float32(1.0) / (np.float32(1.0) + exponential)
    return result


def tanh(values: Float32Array) -> Float32Array:
    """The hyperbolic tangent, rounded to float32."""
    result: Float32Array = np.tanh(values.astype(np.float64)).astype(np.float32)
    return result
