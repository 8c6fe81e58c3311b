"""Operators of two operands, element by element."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tvm import relax

from pytest_microtvm.compiler.frontends.torch.call import Call, Refusal, constant, dtype_of
from pytest_microtvm.compiler.frontends.torch.registry import operator

Function = Callable[[Any, Any], Any]

_LARGEST_POWER = 16


def is_float(dtype: str) -> bool:
    """Whether a dtype is one of floats."""
    return dtype.startswith("float")


@operator("add")
def add(call: Call, x: Any, other: Any, alpha: Any = 1) -> Any:
    """A sum, of which the second operand is scaled; of booleans "or"."""
    if call.dtype == "bool":
        return relax.op.logical_or(call.cast(x), call.cast(other))
    return relax.op.add(call.cast(x), _scaled(call, other, alpha))


@operator("sub")
def sub(call: Call, x: Any, other: Any, alpha: Any = 1) -> Any:
    """A difference, of which the second operand is scaled."""
    return relax.op.subtract(call.cast(x), _scaled(call, other, alpha))


@operator("mul")
def mul(call: Call, x: Any, other: Any) -> Any:
    """A product; of booleans "and"."""
    function = relax.op.logical_and if call.dtype == "bool" else relax.op.multiply
    return function(call.cast(x), call.cast(other))


def _scaled(call: Call, value: Any, factor: Any) -> Any:
    value = call.cast(value)
    if factor == 1:
        return value
    return call.emit(relax.op.multiply(value, call.cast(factor)))


@operator("div")
def div(call: Call, x: Any, other: Any, rounding_mode: str | None = None) -> Any:
    """A quotient, as it is, cut to an integer or rounded down."""
    left, right = call.cast(x), call.cast(other)
    if rounding_mode == "floor":
        return _floor(call, left, right)
    quotient = relax.op.divide(left, right)  # of integers cut
    if rounding_mode is None or not is_float(call.dtype):
        return quotient
    return relax.op.trunc(call.emit(quotient))


@operator("floor_divide")
def floor_divide(call: Call, x: Any, other: Any) -> Any:
    """A quotient that is rounded down."""
    return _floor(call, call.cast(x), call.cast(other))


def _floor(call: Call, x: Any, other: Any) -> Any:
    if not is_float(call.dtype):
        return relax.op.floor_divide(x, other)
    # By the remainder: the rounded quotient may be the next integer.
    rest = remainder(call, x, other)
    exact = call.emit(relax.op.divide(call.emit(relax.op.subtract(x, call.emit(rest))), other))
    return relax.op.round(exact)


@operator("fmod")
def fmod(call: Call, x: Any, other: Any) -> Any:
    """What a cut division leaves."""
    return relax.op.mod(call.cast(x), call.cast(other))


@operator("remainder")
def remainder(call: Call, x: Any, other: Any) -> Any:
    """What a division leaves that is rounded down: it has the divisor's sign."""
    left, right = call.cast(x), call.cast(other)
    if not is_float(call.dtype):
        return relax.op.floor_mod(left, right)
    zero = constant(0.0, call.dtype)
    rest = call.emit(relax.op.mod(left, right))
    signs = relax.op.not_equal(
        call.emit(relax.op.less(rest, zero)), call.emit(relax.op.less(right, zero))
    )
    is_other = relax.op.logical_and(call.emit(relax.op.not_equal(rest, zero)), call.emit(signs))
    return relax.op.where(call.emit(is_other), call.emit(relax.op.add(rest, right)), rest)


@operator("pow")
def power(call: Call, x: Any, exponent: Any) -> Any:
    """A power; of integers by products."""
    if isinstance(exponent, (int, float)) and not isinstance(exponent, bool):
        base = call.cast(x)
        if exponent == int(exponent) and 0 <= exponent <= _LARGEST_POWER:
            return _product(call, base, int(exponent))
        if exponent == 0.5:
            return relax.op.sqrt(base)
    if not is_float(call.dtype):
        raise Refusal("it raises integers to powers that are computed")
    return relax.op.power(call.cast(x), call.cast(exponent))


def _product(call: Call, base: Any, count: int) -> Any:
    if count == 0:
        return relax.op.full_like(base, call.cast(1))
    result = None
    while True:
        if count & 1:
            result = base if result is None else call.emit(relax.op.multiply(result, base))
        count >>= 1
        if not count:
            return result
        base = call.emit(relax.op.multiply(base, base))


@operator("hypot")
def hypot(call: Call, x: Any, other: Any) -> Any:
    """The length of a vector of two elements."""
    squares = [call.emit(relax.op.multiply(*[call.cast(side)] * 2)) for side in (x, other)]
    return relax.op.sqrt(call.emit(relax.op.add(*squares)))


@operator("ldexp")
def ldexp(call: Call, x: Any, other: Any) -> Any:
    """A number times a power of 2."""
    factor = call.emit(relax.op.power(constant(2.0, call.dtype), call.cast(other)))
    return relax.op.multiply(call.cast(x), factor)


@operator("copysign")
def copysign(call: Call, x: Any, other: Any) -> Any:
    """The size of one operand with the sign of the other, of which 0 has none."""
    size = call.emit(relax.op.abs(call.cast(x)))
    negative = call.emit(relax.op.less(call.cast(other), constant(0, call.dtype)))
    return relax.op.where(negative, call.emit(relax.op.negative(size)), size)


def _of_two(function: Function) -> Any:
    def convert(call: Call, x: Any, other: Any) -> Any:
        return function(call.cast(x), call.cast(other))

    return convert


def _compare(function: Function) -> Any:
    def convert(call: Call, x: Any, other: Any) -> Any:
        dtype = call.promoted("self", "other")
        if dtype == "bool":
            dtype = "int8"  # booleans are compared as numbers
        return function(call.cast(x, dtype), call.cast(other, dtype))

    return convert


def _logical(function: Function) -> Any:
    def convert(call: Call, x: Any, other: Any) -> Any:
        return function(call.cast(x, "bool"), call.cast(other, "bool"))

    return convert


def _bits(on_integers: Function, on_booleans: Function) -> Any:
    def convert(call: Call, x: Any, other: Any) -> Any:
        function = on_booleans if call.dtype == "bool" else on_integers
        return function(call.cast(x), call.cast(other))

    return convert


for _name, _function in {
    "atan2": relax.op.atan2,
    "maximum": relax.op.maximum,
    "minimum": relax.op.minimum,
    "fmax": relax.op.maximum,
    "fmin": relax.op.minimum,
    "bitwise_left_shift": relax.op.left_shift,
    "bitwise_right_shift": relax.op.right_shift,
    "__lshift__": relax.op.left_shift,
    "__rshift__": relax.op.right_shift,
}.items():
    operator(_name)(_of_two(_function))

for _name, _function in {
    "eq": relax.op.equal,
    "ne": relax.op.not_equal,
    "lt": relax.op.less,
    "le": relax.op.less_equal,
    "gt": relax.op.greater,
    "ge": relax.op.greater_equal,
}.items():
    operator(_name)(_compare(_function))

for _name, _pair in {
    "and": (relax.op.bitwise_and, relax.op.logical_and),
    "or": (relax.op.bitwise_or, relax.op.logical_or),
    "xor": (relax.op.bitwise_xor, relax.op.logical_xor),
}.items():
    operator(f"bitwise_{_name}")(_bits(*_pair))
    operator(f"logical_{_name}")(_logical(_pair[1]))


@operator("where")
def where(call: Call, condition: Any, x: Any, other: Any) -> Any:
    """Elements of one tensor or another."""
    return relax.op.where(call.cast(condition, "bool"), call.cast(x), call.cast(other))


@operator("clamp")
def clamp(call: Call, x: Any, min: Any = None, max: Any = None) -> Any:  # noqa: A002
    """Elements held between bounds."""
    value = call.cast(x)
    if all(isinstance(bound, (int, float)) for bound in (min, max)) and min <= max:
        return call.through(value, lambda each: relax.op.clip(each, min, max))
    if min is not None:
        value = call.emit(relax.op.maximum(value, call.cast(min)))
    if max is not None:
        value = call.emit(relax.op.minimum(value, call.cast(max)))
    return value


@operator("clamp_min")
def clamp_min(call: Call, x: Any, min: Any) -> Any:  # noqa: A002
    """Elements that are not below a bound."""
    return clamp(call, x, min)


@operator("clamp_max")
def clamp_max(call: Call, x: Any, max: Any) -> Any:  # noqa: A002
    """Elements that are not above a bound."""
    return clamp(call, x, None, max)


@operator("hardtanh")
def hardtanh(call: Call, x: Any, min_val: Any = -1, max_val: Any = 1) -> Any:
    """Elements held between two numbers."""
    return clamp(call, x, min_val, max_val)


@operator("bitwise_not")
def bitwise_not(call: Call, x: Any) -> Any:
    """Every bit turned over."""
    return relax.op.logical_not(x) if dtype_of(x) == "bool" else relax.op.bitwise_not(x)
