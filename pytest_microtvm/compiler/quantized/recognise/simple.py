"""Recognizes operators without weights, and says what their kernels do."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from pytest_microtvm.compiler.quantized import tables
from pytest_microtvm.compiler.quantized.arithmetic import (
    LIMITS,
    is_scale_of_16_bits,
    quantize_multiplier,
)
from pytest_microtvm.compiler.quantized.intervals import values_of
from pytest_microtvm.compiler.quantized.recognise.matches import (
    Match,
    Movement,
    Output,
    last,
)
from pytest_microtvm.compiler.quantized.recognise.values import (
    Values,
    operator_name,
    shape_of,
)
from pytest_microtvm.compiler.quantized.specs import (
    Arithmetic,
    Concatenation,
    Lookup,
    Mean,
    Operand,
    Quantize,
    Requantize,
    Rounding,
    Softmax,
)
from pytest_microtvm.compiler.quantized.tensors import Activation

_BYTES = ("int8", "uint8")
_MOST_SHIFT = 45
"""Of sums of products of 31 bits and 17 bits, so that all of it fits 63."""
_MOST_CLASSES = 4095
"""Exponentials of at most 2**19 whose sum int32_t holds."""
MOVEMENTS = ("expand_dims", "flatten", "permute_dims", "reshape", "squeeze", "strided_slice")
"""Operators that move the elements of their first operand."""
_KINDS = {"add": "add", "subtract": "subtract", "multiply": "multiply"}


def match_movement(values: Values, result: Any, output: Output) -> Movement | None:
    """The operator that moves elements to `result`, quantized as its input is."""
    call = values.call(result, *MOVEMENTS)
    source = None if call is None else values.activation(call.args[0])
    if call is None or source is None or source.quantization != output.quantization:
        return None
    is_whole = (output.minimum, output.maximum) == LIMITS[output.dtype]
    return Movement(call, source.expression) if is_whole and source.dtype == output.dtype else None


def match_quantize(source: Any, output: Output) -> Match:
    """An input of the model in float32 that is quantized."""
    spec = Quantize(
        math.prod(shape_of(source)),
        output.quantization.scale,
        output.quantization.zero_point,
        output.minimum,
        output.maximum,
        output.dtype,
        output.is_even,
    )
    return Match("quantize", spec, (source,))


def match_requantize(values: Values, call: Any, output: Output) -> Match | None:
    """A tensor that is quantized to another scale, or an activation alone."""
    source = values.activation(call)
    if source is None:
        return None
    scales = source.quantization.scale, output.quantization.scale
    # TFLite divides in float32 for RELU and its like, but not for QUANTIZE.
    real = float(scales[0]) / float(scales[1])
    if output.is_activated:
        real = float(scales[0] / scales[1])
    requantization = output.requantization(*quantize_multiplier(real))
    if output.is_even:
        reach = values_of(source.dtype, source.quantization.zero_point).reach
        requantization = output.even([real], reach)
    if source.dtype in _BYTES and output.dtype in _BYTES:
        table = tables.requantization_table(source, requantization)
        return _lookup("requantize", source, table)
    spec = Requantize(
        math.prod(source.shape), source.quantization.zero_point, requantization, source.dtype
    )
    return Match("requantize", spec, (source.expression,), channels_last=spec)


def _lookup(name: str, source: Activation, table: Any) -> Match:
    spec = Lookup(math.prod(source.shape), table, source.dtype)
    return Match(name, spec, (source.expression,), channels_last=spec)


def match_unary(
    name: str, function: Callable[..., Any], values: Values, call: Any, output: Output
) -> Match | None:
    """A function of one float: a table of what it gives for each byte.

    Args:
        name: Of the function, for the names of kernels.
        function: What it computes of float32.
        values: The bindings that `call` is one of.
        call: Of the function.
        output: What its result is quantized to.
    """
    source = values.activation(call.args[0])
    if source is None or source.dtype not in _BYTES or output.dtype != source.dtype:
        return None
    return _lookup(name, source, _real_table(function, source, output))


def _real_table(function: Callable[..., Any], source: Activation, output: Output) -> Any:
    table = tables.real_table(
        function, source, output.quantization, output.dtype, is_even=output.is_even
    )
    return np.clip(table, output.minimum, output.maximum)


def match_leaky_relu(values: Values, call: Any, output: Output) -> Match | None:
    """A leaky ReLU of bytes."""
    source = values.activation(call.args[0])
    if source is None or source.dtype not in _BYTES or output.dtype != source.dtype:
        return None
    alpha = np.float32(call.attrs.alpha)
    if output.is_even:
        return _lookup(
            "leaky_relu",
            source,
            _real_table(lambda real: np.where(real < 0, real * alpha, real), source, output),
        )
    table = tables.leaky_relu_table(source, alpha, output.quantization, output.dtype)
    return _lookup("leaky_relu", source, np.clip(table, output.minimum, output.maximum))


def match_softmax(values: Values, call: Any, output: Output) -> Match | None:
    """Softmax over the last axis, in the scale that TFLite gives it."""
    scaled = values.call(call.args[0], "multiply")
    beta = None if scaled is None else values.constant(scaled.args[1])
    if scaled is not None and (beta is None or beta.size != 1):
        return None
    source = values.activation(call.args[0] if scaled is None else scaled.args[0])
    if source is None or source.dtype not in _BYTES or source.shape[-1] > _MOST_CLASSES:
        return None
    # Bytes in, and the same or the 16 bits that TensorFlow Lite Micro offers.
    if output.dtype != source.dtype and (source.dtype, output.dtype) != ("int8", "int16"):
        return None
    least, greatest = LIMITS[output.dtype]
    fixed, scale = 1 / (greatest - least + 1), float(output.quantization.scale)
    is_fixed = is_scale_of_16_bits(scale, fixed) if output.dtype == "int16" else scale == fixed
    if not is_fixed or output.quantization.zero_point != least:
        return None
    if int(call.attrs.axis) not in (-1, len(source.shape) - 1):
        return None
    factor = 1.0 if beta is None else float(beta.reshape(-1)[0])
    # 5 bits before the point, as TFLite has it.
    real = min(factor * float(source.quantization.scale) * (1 << 26), 2.0**31 - 1.0)
    multiplier, shift = quantize_multiplier(real, 31)
    if shift < 0:
        return None
    spec = Softmax(
        rows=math.prod(source.shape[:-1]),
        columns=source.shape[-1],
        multiplier=multiplier,
        shift=shift,
        least_difference=-math.floor(31 * (1 << 26) / (1 << shift)),
        dtype=source.dtype,
        output_dtype=output.dtype,
    )
    return Match("softmax", spec, (source.expression,))


def match_arithmetic(values: Values, call: Any, output: Output) -> Match | None:
    """A sum, a difference or a product."""
    kind = _KINDS[operator_name(call)]
    sides = [_side(values, argument) for argument in call.args]
    left, right = sides
    if left is None or right is None:
        return None
    inputs = tuple(side.expression for side in (left, right) if side.expression is not None)
    if not inputs or {left.dtype, right.dtype} != {output.dtype}:
        return None
    scales = (left.quantization.scale, right.quantization.scale)
    output_scale = output.quantization.scale
    left_shift = 0
    factors = [(0, 0), (0, 0)]
    requantization = output.requantization(0, 0, Rounding.EVEN)
    reach = [values_of(side.dtype, side.quantization.zero_point) for side in (left, right)]
    is_wide = False
    if kind == "multiply":
        real = float(scales[0] * scales[1] / output_scale)
        is_wide = not (reach[0] * reach[1]).fits_int32
        if output.is_even:
            requantization = output.even([real], (reach[0] * reach[1]).reach)
    elif output.is_even:
        parts = [float(scale) / float(output_scale) for scale in scales]
        # Numbers of 31 bits for the greater part.
        left_shift = 31 - math.frexp(max(parts))[1]
        if not 1 <= left_shift <= _MOST_SHIFT:
            return None
        factors = [(round(math.ldexp(part, left_shift)), 0) for part in parts]
        factors = [(min(factor, (1 << 31) - 1), 0) for factor, _ in factors]
    else:
        left_shift = 15 if output.dtype == "int16" else 20
        common = 2 * float(max(scales))
        factors = [quantize_multiplier(float(scale) / common) for scale in scales]
        real = common / ((1 << left_shift) * float(output_scale))
    if not output.is_even:
        requantization = output.requantization(*quantize_multiplier(real))
        if is_wide:
            requantization = output.real(real)
    operands = [
        Operand(side.shape, side.quantization.zero_point, *factor, values=known)
        for side, factor, known in zip((left, right), factors, _known(values, call), strict=True)
    ]
    spec = Arithmetic(
        kind,
        shape_of(call),
        (operands[0], operands[1]),
        left_shift,
        requantization,
        output.dtype,
    )
    return Match(kind, spec, inputs, channels_last=_arithmetic_of_last(spec))


def _arithmetic_of_last(spec: Arithmetic) -> Arithmetic | None:
    """The same with the channels of all images last."""
    if any(len(shape) != 4 for shape in (spec.output_shape, *(o.shape for o in spec.operands))):
        return None
    left, right = (
        replace(
            operand,
            shape=last(operand.shape),
            values=None if operand.values is None else np.moveaxis(operand.values, 1, 3).copy(),
        )
        for operand in spec.operands
    )
    return replace(spec, output_shape=last(spec.output_shape), operands=(left, right))


def _side(values: Values, expression: Any) -> Activation | None:
    """An operand; without an expression when it is known."""
    source = values.activation(expression)
    if source is not None:
        return source
    known = values.weights(expression)
    call = values.call(expression, "dequantize")
    quantization = None if call is None else values.quantization(call)
    if known is None or quantization is None:
        return None
    return Activation(None, known.values.shape, str(known.values.dtype), quantization)


def _known(values: Values, call: Any) -> list[Any]:
    """The values of the operands that are known."""
    found = [values.weights(argument) for argument in call.args]
    return [None if weights is None else weights.values for weights in found]


def match_mean(values: Values, call: Any, output: Output) -> Match | None:
    """A mean over axes."""
    source = values.activation(call.args[0])
    if source is None or source.dtype != output.dtype:
        return None
    rank = len(source.shape)
    given = call.attrs.axis
    axes = tuple(sorted({int(axis) % rank for axis in (range(rank) if given is None else given)}))
    real = float(source.quantization.scale) / float(output.quantization.scale)
    multiplier, shift = quantize_multiplier(real)
    count = math.prod(source.shape[axis] for axis in axes)
    # The multiplier takes the division in, at the full width that is left.
    spare = min(count.bit_length() - 1, 32, 31 + shift)
    requantization = output.requantization((multiplier << spare) // count, shift - spare)
    sums = values_of(source.dtype, source.quantization.zero_point).summed(count)
    if output.is_even:
        requantization = output.even([real / count], sums.reach)
    elif not sums.fits_int32:
        requantization = output.real(real / count)
    spec = Mean(source.shape, axes, source.quantization.zero_point, requantization, source.dtype)
    moved = None
    if rank == 4 and bool(call.attrs.keepdims):
        place = (0, 3, 1, 2)
        moved = replace(
            spec,
            input_shape=last(source.shape),
            axes=tuple(sorted(place[axis] for axis in axes)),
        )
    return Match("mean", spec, (source.expression,), channels_last=moved)


def match_concatenation(values: Values, call: Any, output: Output) -> Match | None:
    """Tensors one after the other."""
    sources = [values.activation(field) for field in call.args[0].fields]
    found = [source for source in sources if source is not None and source.dtype == output.dtype]
    if len(found) != len(sources) or (output.maximum - output.minimum) < 255:
        return None
    same = [source.quantization == output.quantization for source in found]
    if output.dtype not in _BYTES and not all(same):
        return None
    parts = [_concatenation_table(source, output) for source in found]
    shape = shape_of(call)
    axis = int(call.attrs.axis) % len(shape)
    shapes = [source.shape for source in found]
    spec = Concatenation(
        math.prod(shape[:axis]),
        tuple(math.prod(part[axis:]) for part in shapes),
        tuple(parts),
        output.dtype,
    )
    moved = None
    if len(shape) == 4:
        axis = (0, 3, 1, 2)[axis]
        moved = replace(
            spec,
            rows=math.prod(last(shape)[:axis]),
            lengths=tuple(math.prod(last(part)[axis:]) for part in shapes),
        )
    inputs = tuple(source.expression for source in found)
    return Match("concatenate", spec, inputs, channels_last=moved)


def _concatenation_table(source: Activation, output: Output) -> Any:
    """How a part of a concatenation gets the output's scale; None when it has it."""
    if not output.is_even:
        return tables.concatenation_table(source, output.quantization, output.dtype)
    if source.quantization == output.quantization:
        return None
    return _real_table(lambda real: real, source, output)
