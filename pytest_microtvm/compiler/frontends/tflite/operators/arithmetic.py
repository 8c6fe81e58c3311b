"""Two or more tensors, element by element; their shapes broadcast."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
from tvm import relax

from pytest_microtvm.compiler.frontends.tflite.call import Call, Operand, constant
from pytest_microtvm.compiler.frontends.tflite.graph import Array
from pytest_microtvm.compiler.frontends.tflite.operators.tables import (
    BYTES,
    factor_of,
    one_quantization,
    side_of,
)
from pytest_microtvm.compiler.frontends.tflite.registry import operator
from pytest_microtvm.compiler.quantized.arithmetic import LIMITS, quantize_multiplier
from pytest_microtvm.compiler.quantized.tflite_specs import (
    Comparison,
    PowerOfTwoSum,
    Prelu,
    Quotient,
    SquaredDifference,
)

Numbers = Callable[[Any, Any], Any]

_SUMS = ("ADD", "SUB")
"""Operators whose options say in which of two ways int16 is computed."""


def _folded(call: Call, function: Numbers) -> Array | None:
    """The result where both sides are known integers: most often it is part of a shape."""
    left, right = (operand.value for operand in call.operands[:2])
    if left is None or right is None or any(o.is_quantized for o in call.operands):
        return None
    if left.dtype.kind not in "iub" or right.dtype.kind not in "iub":
        return None
    with np.errstate(all="ignore"):
        return np.asarray(function(left, right)).astype(call.output.dtype)


def _binary(
    name: str,
    function: Numbers,
    numpy_function: Numbers,
    versions: int,
    options: str,
    has_activation: bool = False,
) -> None:
    """Register an operator of two sides whose result is quantized anew."""
    reads = ("FusedActivationFunction",) if has_activation else ()
    if name in _SUMS:
        reads = (*reads, "PotScaleInt16")

    @operator(name, versions=versions, options=options, reads=reads)
    def convert(call: Call) -> Any:
        activation = call.activation() if has_activation else "NONE"
        if name in _SUMS:
            call.options["PotScaleInt16"]  # converters write it for other types, too
        known = _folded(call, numpy_function)
        if known is not None and activation == "NONE":
            return known
        exact = _EXACT.get(name)
        found = None if exact is None else exact(call, activation)
        if found is not None:
            return found
        if name == "POW" and call.input(0).dtype != "float32" and not call.input(0).is_quantized:
            raise call.refusal(f"it is of {call.input(0).dtype}; powers are computed of floats")
        left, right = sides(call)
        return call.finished(function(left, right), activation)


def _power_of_two_sum(call: Call, activation: str, is_difference: bool = False) -> Any:
    """TFLite's sum of int16 by shifts, or its difference.

    It is that where the file wants it, and all scales are powers of two.
    """
    operands = call.operands
    known = [one_quantization(tensor) for tensor in (*operands, call.output)]
    dtypes = {call.output.dtype, *(operand.dtype for operand in operands)}
    if dtypes != {"int16"} or not call.options["PotScaleInt16"] or not _variables(operands):
        return None
    exponents = []
    for quantization in known:
        if quantization is None or quantization.zero_point:
            return None
        fraction, exponent = math.frexp(float(quantization.scale))
        if fraction != 0.5:
            return None
        exponents.append(exponent)
    shifts = exponents[2] - exponents[0], exponents[2] - exponents[1]
    left, right = (side_of(operand) for operand in operands)
    if min(shifts) < 0 or 0 not in shifts or max(shifts) > 15 or left is None or right is None:
        return None
    shape = np.broadcast_shapes(left.shape, right.shape)
    bounds = call.bounds(activation)
    spec = PowerOfTwoSum(shape, (left, right), shifts, *bounds, is_difference=is_difference)
    return call.kernel("subtract" if is_difference else "add", spec, _variables(operands), shape)


def sides(call: Call) -> tuple[Any, Any]:
    """The numbers of both sides."""
    left, right = call.operands
    return _real(left, right), _real(right, left)


def _real(operand: Operand, other: Operand) -> Any:
    if operand.value is not None and not other.is_quantized:
        return constant(operand.known_real())
    return operand.real


def _truncated(left: Array, right: Array) -> Array:
    """Integers divided as C divides them."""
    quotient = np.abs(left) // np.maximum(np.abs(right), 1)
    result: Array = quotient * np.sign(left) * np.sign(right)
    return result


def _quotient(call: Call, activation: str) -> Any:
    """A quotient of quantized tensors of one type."""
    operands = call.operands
    known = [one_quantization(tensor) for tensor in (*operands, call.output)]
    dtype = call.output.dtype
    left, right, output = known
    if {operand.dtype for operand in operands} != {dtype} or not _variables(operands):
        return None
    if dtype not in LIMITS or left is None or right is None or output is None:
        return None
    dividend, divisor = side_of(operands[0]), side_of(operands[1])
    if dividend is None or divisor is None:
        return None
    factor = float(left.scale / (right.scale * output.scale))
    shape = np.broadcast_shapes(operands[0].shape, operands[1].shape)
    scaling = factor_of(factor, output, dtype, bounds=call.bounds(activation))
    spec = Quotient(shape, (dividend, divisor), scaling, dtype)
    return call.kernel("div", spec, _variables(operands), shape)


def _floored(left: Any, right: Any) -> Any:
    return relax.op.floor_divide(left, right)


def _of_values(function: Numbers) -> Callable[[Call, str], Any]:
    """TFLite computes these over stored values, whatever these stand for."""

    def convert(call: Call, activation: str) -> Any:
        left, right = call.operands
        if {left.dtype, right.dtype, call.output.dtype} not in ({"int8"}, {"int16"}):
            return None
        wide = [relax.op.astype(operand.expression, "int32") for operand in (left, right)]
        return relax.op.astype(function(*wide), call.output.dtype)

    return convert


_EXACT: dict[str, Callable[[Call, str], Any]] = {
    "ADD": _power_of_two_sum,
    "SUB": partial(_power_of_two_sum, is_difference=True),
    "DIV": _quotient,
    "FLOOR_DIV": _of_values(_floored),
    "FLOOR_MOD": _of_values(relax.op.floor_mod),
}
"""Operators that TFLite computes in ways of its own; each is asked first, and may decline."""

_binary("ADD", relax.op.add, np.add, 5, "AddOptions", True)
_binary("SUB", relax.op.subtract, np.subtract, 5, "SubOptions", True)
_binary("MUL", relax.op.multiply, np.multiply, 7, "MulOptions", True)
_binary("DIV", relax.op.divide, _truncated, 2, "DivOptions", True)
_binary("FLOOR_DIV", _floored, np.floor_divide, 3, "FloorDivOptions")
_binary("FLOOR_MOD", relax.op.floor_mod, np.mod, 2, "FloorModOptions")
_binary("POW", relax.op.power, np.power, 1, "PowOptions")
_binary("ATAN2", relax.op.atan2, np.arctan2, 1, "ATan2Options")


@operator("SQUARED_DIFFERENCE", versions=2, options="SquaredDifferenceOptions")
def squared_difference(call: Call) -> Any:
    """(a - b)**2."""
    found = _squared_difference_of_integers(call)
    if found is not None:
        return found
    left, right = sides(call)
    difference = call.emitted(relax.op.subtract(left, right))
    return call.finished(relax.op.multiply(difference, difference))


def _variables(operands: Sequence[Operand]) -> list[Any]:
    """Those that are computed."""
    return [operand.expression for operand in operands if operand.value is None]


def _squared_difference_of_integers(call: Call) -> Any:
    operands = call.operands
    known = [one_quantization(tensor) for tensor in (*operands, call.output)]
    if any(quantization is None for quantization in known) or not _variables(operands):
        return None
    dtype = call.output.dtype
    if {dtype, *(operand.dtype for operand in operands)} not in ({"int8"}, {"int16"}):
        return None
    scales = [float(quantization.scale) for quantization in known if quantization is not None]
    output = known[2]
    common = 2 * max(scales[:2])
    factors = [quantize_multiplier(scale / common) for scale in scales[:2]]
    left, right = (side_of(o, *f) for o, f in zip(operands, factors, strict=True))
    if left is None or right is None or output is None:
        return None
    shape = np.broadcast_shapes(left.shape, right.shape)
    left_shift = 7 if dtype == "int8" else 0
    real = common * common / ((1 << 2 * left_shift) * scales[2])
    factor = factor_of(real, output, dtype)
    spec = SquaredDifference(shape, (left, right), left_shift, factor, dtype)
    return call.kernel("squared_difference", spec, _variables(operands), shape)


def _extreme(name: str, function: Numbers, numpy_function: Numbers) -> None:
    """Register a choice between the two sides, which the same scale leaves to integers."""

    @operator(name, versions=4, options="MaximumMinimumOptions")
    def convert(call: Call) -> Any:
        known = _folded(call, numpy_function)
        if known is not None:
            return known
        left, right = call.operands
        if call.same_quantization():
            return function(left.expression, right.expression)
        return call.finished(function(*sides(call)))


_extreme("MAXIMUM", relax.op.maximum, np.maximum)
_extreme("MINIMUM", relax.op.minimum, np.minimum)


def _comparison(
    name: str,
    relation: str,
    function: Numbers,
    numpy_function: Numbers,
    versions: int,
    options: str,
) -> None:
    @operator(name, versions=versions, options=options)
    def convert(call: Call) -> Any:
        known = _folded(call, numpy_function)
        if known is not None:
            return known
        left, right = call.operands
        found = _comparison_of_integers(call, name, relation)
        if found is not None:
            return found
        is_ordering = name not in ("EQUAL", "NOT_EQUAL")
        if is_ordering and {left.dtype, right.dtype} == {"int16"}:
            # LiteRT orders stored values of int16, whatever these stand for.
            return function(left.expression, right.expression)
        if call.same_quantization():
            return function(left.expression, right.expression)
        return function(*sides(call))


def _comparison_of_integers(call: Call, name: str, relation: str) -> Any:
    """In steps of 1/256, to which TFLite takes both sides; None for scales of 1 and more."""
    operands = call.operands
    known = [one_quantization(operand) for operand in operands]
    dtypes = {operand.dtype for operand in operands}
    is_short = dtypes == {"int16"} and name in ("EQUAL", "NOT_EQUAL")
    if not is_short and dtypes not in ({"int8"}, {"uint8"}):
        return None
    if not _variables(operands):
        return None
    found = []
    for operand, quantization in zip(operands, known, strict=True):
        if quantization is None or quantization.scale >= 1:
            return None
        found.append(side_of(operand, *quantize_multiplier(float(quantization.scale))))
    left, right = found
    if left is None or right is None:
        return None
    shape = np.broadcast_shapes(left.shape, right.shape)
    spec = Comparison(relation, shape, (left, right), 8, operands[0].dtype)
    return call.kernel(name.lower(), spec, _variables(operands), shape)


_comparison("EQUAL", "==", relax.op.equal, np.equal, 4, "EqualOptions")
_comparison("NOT_EQUAL", "!=", relax.op.not_equal, np.not_equal, 3, "NotEqualOptions")
_comparison("LESS", "<", relax.op.less, np.less, 3, "LessOptions")
_comparison("LESS_EQUAL", "<=", relax.op.less_equal, np.less_equal, 2, "LessEqualOptions")
_comparison("GREATER", ">", relax.op.greater, np.greater, 2, "GreaterOptions")
_comparison(
    "GREATER_EQUAL", ">=", relax.op.greater_equal, np.greater_equal, 3, "GreaterEqualOptions"
)


def _integers_only(name: str, function: Numbers, numpy_function: Numbers, options: str) -> None:
    @operator(name, options=options)
    def convert(call: Call) -> Any:
        known = _folded(call, numpy_function)
        left, right = call.operands
        return function(left.expression, right.expression) if known is None else known


_integers_only("LOGICAL_AND", relax.op.logical_and, np.logical_and, "LogicalAndOptions")
_integers_only("LOGICAL_OR", relax.op.logical_or, np.logical_or, "LogicalOrOptions")
_integers_only("BITWISE_XOR", relax.op.bitwise_xor, np.bitwise_xor, "BitwiseXorOptions")
_integers_only("RIGHT_SHIFT", relax.op.right_shift, np.right_shift, "RightShiftOptions")


@operator("ADD_N", options="AddNOptions")
def add_n(call: Call) -> Any:
    """The sum of all inputs."""
    total = call.input(0).real
    for operand in call.operands[1:]:
        total = relax.op.add(total, operand.real)
    return call.finished(total)


@operator("PRELU", versions=1)
def prelu(call: Call) -> Any:
    """Negative elements times slopes that broadcast."""
    found = _prelu_of_bytes(call)
    if found is not None:
        return found
    real, slopes = (call.emitted(value) for value in sides(call))
    negative = relax.op.multiply(real, slopes)
    zero = relax.const(0.0, "float32")
    return call.finished(relax.op.where(relax.op.less(real, zero), negative, real))


def _prelu_of_bytes(call: Call) -> Any:
    operands = call.operands
    source, slope, output = (one_quantization(t) for t in (*operands, call.output))
    dtype = call.output.dtype
    if source is None or slope is None or output is None or operands[0].value is not None:
        return None
    if dtype not in BYTES or {operand.dtype for operand in operands} != {dtype}:
        return None
    left, right = side_of(operands[0]), side_of(operands[1])
    if left is None or right is None:
        return None
    # TFLite multiplies and divides in float32.
    factors = source.scale / output.scale, source.scale * slope.scale / output.scale
    positive, negative = (factor_of(float(factor), output, dtype) for factor in factors)
    shape = np.broadcast_shapes(left.shape, right.shape)
    spec = Prelu(shape, (left, right), positive, negative, dtype)
    return call.kernel("prelu", spec, _variables(operands), shape)


@operator("SELECT", versions=4, options="SelectOptions")
def select(call: Call) -> Any:
    """Elements, or rows, of one tensor or the other."""
    condition, left, right = call.operands
    call.require_same_quantization(left, right)
    chosen = condition.expression
    if condition.rank == 1 and left.rank > 1 and condition.shape[0] == left.shape[0]:
        chosen = relax.op.reshape(chosen, [condition.shape[0], *(1,) * (left.rank - 1)])
    return relax.op.where(chosen, left.expression, right.expression)


@operator("SELECT_V2", versions=2, options="SelectV2Options")
def select_v2(call: Call) -> Any:
    """Elements of one tensor or the other; all three broadcast."""
    condition, left, right = call.operands
    call.require_same_quantization(left, right)
    if condition.value is not None and left.value is not None and right.value is not None:
        chosen = np.where(condition.value, left.value, right.value)
        return np.asarray(chosen).astype(call.output.dtype)
    return relax.op.where(condition.expression, left.expression, right.expression)
