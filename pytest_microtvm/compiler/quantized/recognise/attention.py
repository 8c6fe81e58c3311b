"""Recognizes what transformers are made of, beside layers: products, softmax, normalization.

All of it gives the nearest values. Where TFLite's own kernels are wanted, its front end asks for
them by itself.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from pytest_microtvm.compiler.quantized.arithmetic import LIMITS, quantize_multiplier
from pytest_microtvm.compiler.quantized.even_specs import (
    LayerNormalization,
    SoftmaxByTable,
    exponentials,
)
from pytest_microtvm.compiler.quantized.intervals import values_of
from pytest_microtvm.compiler.quantized.recognise.matches import Match, Output
from pytest_microtvm.compiler.quantized.recognise.values import Values, shape_of
from pytest_microtvm.compiler.quantized.tensors import Activation
from pytest_microtvm.compiler.quantized.tflite_specs import BatchMatMul, Factor

_MOST_COLUMNS = 1 << 20
_MOST_BITS = 60


def match_product(values: Values, call: Any, output: Output) -> Match | None:
    """A product of matrices that are both computed."""
    sides = [values.activation(argument) for argument in call.args]
    left, right = sides
    if not output.is_even or left is None or right is None:
        return None
    if {left.dtype, right.dtype} != {output.dtype} or min(len(left.shape), len(right.shape)) < 2:
        return None
    shape = shape_of(call)
    depth, columns = right.shape[-2:]
    scale = float(left.quantization.scale) * float(right.quantization.scale)
    spans = [values_of(side.dtype, side.quantization.zero_point) for side in (left, right)]
    reach = (spans[0] * spans[1]).summed(depth).reach
    spec = BatchMatMul(
        shape[:-2],
        (left.shape[-2], columns),
        depth,
        (_factor(left, depth), _factor(right, columns)),
        output.even([scale / float(output.quantization.scale)], reach),
        output.dtype,
    )
    return Match("batch_matmul", spec, (left.expression, right.expression))


def _factor(side: Activation, row_step: int) -> Factor:
    return Factor(side.shape[:-2], row_step, 1, side.quantization.zero_point)


def match_softmax(values: Values, call: Any, output: Output) -> Match | None:
    """Softmax to any scale."""
    source = values.activation(call.args[0])
    if not output.is_even or source is None or source.dtype != output.dtype:
        return None
    axis = int(call.attrs.axis) % len(source.shape)
    columns = source.shape[axis]
    multiplier, shift = quantize_multiplier(1.0 / float(output.quantization.scale))
    is_whole = (output.minimum, output.maximum) == LIMITS[output.dtype]
    if not 0 <= shift < _MOST_BITS or columns > _MOST_COLUMNS or not is_whole:
        return None
    scale = float(source.quantization.scale)
    is_short = source.dtype == "int16"
    spec = SoftmaxByTable(
        rows=math.prod(source.shape[:axis]),
        columns=columns,
        step=math.prod(source.shape[axis + 1 :]),
        exponentials=exponentials(scale, 256 if is_short else 1),
        fine=exponentials(scale) if is_short else None,
        multiplier=multiplier,
        shift=shift,
        zero_point=output.quantization.zero_point,
        dtype=output.dtype,
    )
    return Match("softmax", spec, (source.expression,))


def match_layer_normalization(values: Values, call: Any, output: Output) -> Match | None:
    """A normalization over the last axes."""
    source = values.activation(call.args[0])
    if not output.is_even or source is None or source.dtype != output.dtype:
        return None
    rank = len(source.shape)
    axes = sorted(int(axis) % rank for axis in call.attrs.axes)
    is_whole = (output.minimum, output.maximum) == LIMITS[output.dtype]
    if axes != list(range(axes[0], rank)) or not is_whole:
        return None
    extents = source.shape[axes[0] :]
    columns = math.prod(extents)
    parameters = [_spread(values.real(argument), extents) for argument in call.args[1:3]]
    gamma, beta = parameters
    if gamma is None or beta is None:
        return None
    scale = float(source.quantization.scale)
    epsilon = round(float(call.attrs.epsilon) * (columns / scale) ** 2 * 256)
    span = LIMITS[source.dtype][1] - LIMITS[source.dtype][0]
    if 256 * (columns * span) ** 2 + epsilon >= 1 << 63:
        return None
    root_bits = (columns.bit_length() + 1) // 2
    step = float(output.quantization.scale)
    factors = gamma / step * 2.0 ** (root_bits - 30)
    shift = _common_shift(factors, 31)
    shift = min(shift, _common_shift(beta / step, _MOST_BITS))
    if shift < 1:
        return None
    spec = LayerNormalization(
        rows=math.prod(source.shape) // columns,
        columns=columns,
        epsilon=epsilon,
        root_bits=root_bits,
        factors=_scaled(factors, shift).astype(np.int32),
        offsets=_scaled(beta / step, shift).astype(np.int64),
        shift=shift,
        zero_point=output.quantization.zero_point,
        dtype=output.dtype,
    )
    return Match("layer_norm", spec, (source.expression,))


def _spread(array: npt.NDArray[Any] | None, extents: tuple[int, ...]) -> npt.NDArray[Any] | None:
    """Parameters of a normalization as one for each column."""
    if array is None:
        return None
    try:
        return np.broadcast_to(array.astype(np.float64), extents).reshape(-1)
    except ValueError:
        return None


def _common_shift(reals: npt.NDArray[np.float64], bits: int) -> int:
    """Bits after the point with which numbers have at most `bits` in all."""
    return min(62, bits - math.frexp(float(np.abs(reals).max()) * (1 + 2.0**-30))[1])


def _scaled(reals: npt.NDArray[np.float64], shift: int) -> npt.NDArray[np.float64]:
    return np.rint(np.ldexp(reals, shift))
