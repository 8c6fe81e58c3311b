"""Operators of one operand, element by element."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from tvm import relax

from pytest_microtvm.compiler.frontends.torch.call import (
    Call,
    Refusal,
    constant,
    dtype_of,
    shape_of,
)
from pytest_microtvm.compiler.frontends.torch.operators.arithmetic import is_float
from pytest_microtvm.compiler.frontends.torch.registry import operator


def _of_one(function: Callable[[Any], Any]) -> Any:
    def convert(call: Call, x: Any) -> Any:
        return call.through(call.cast(x), function)

    return convert


for _name in (
    *("abs", "acos", "acosh", "asin", "asinh", "atan", "atanh", "cos", "cosh", "erf", "exp"),
    *("log", "rsqrt", "sigmoid", "sin", "sinh", "sqrt", "tan", "tanh"),
):
    operator(_name)(_of_one(getattr(relax.op, _name)))
operator("neg")(_of_one(relax.op.negative))
operator("relu")(_of_one(relax.op.nn.relu))


def _rounding(function: Callable[[Any], Any]) -> Any:
    def convert(call: Call, x: Any) -> Any:
        return function(x) if is_float(dtype_of(x)) else x

    return convert


for _name in ("ceil", "floor", "trunc"):
    operator(_name)(_rounding(getattr(relax.op, _name)))


@operator("round")
def round_(call: Call, x: Any, decimals: int = 0) -> Any:
    """The nearest integer, or decimal number of so many places; ties to even."""
    if not is_float(dtype_of(x)):
        return x
    if not decimals:
        return relax.op.round(x)
    factor = call.cast(10.0**decimals)
    nearest = relax.op.round(call.emit(relax.op.multiply(x, factor)))
    return relax.op.divide(call.emit(nearest), factor)


@operator("sign")
def sign(call: Call, x: Any) -> Any:
    """-1, 0 or 1."""
    return relax.op.sign(x)


@operator("reciprocal")
def reciprocal(call: Call, x: Any) -> Any:
    """One by each element."""
    return relax.op.divide(call.cast(1), call.cast(x))


def _by_logarithm(base: float) -> Any:
    def convert(call: Call, x: Any) -> Any:
        found = call.emit(relax.op.log(call.cast(x)))
        return relax.op.multiply(found, call.cast(1 / math.log(base)))

    return convert


operator("log2")(_by_logarithm(2))
operator("log10")(_by_logarithm(10))


@operator("log1p")
def log1p(call: Call, x: Any) -> Any:
    """The logarithm of 1 more."""
    return relax.op.log(call.emit(relax.op.add(call.cast(x), call.cast(1))))


@operator("expm1")
def expm1(call: Call, x: Any) -> Any:
    """1 less than the exponential."""
    return relax.op.subtract(call.emit(relax.op.exp(call.cast(x))), call.cast(1))


@operator("exp2")
def exp2(call: Call, x: Any) -> Any:
    """2 to the power of each element."""
    return relax.op.exp(call.emit(relax.op.multiply(call.cast(x), call.cast(math.log(2)))))


@operator("erfc", "special_erfc")
def erfc(call: Call, x: Any) -> Any:
    """What the error function leaves of 1."""
    return relax.op.subtract(call.cast(1), call.emit(relax.op.erf(call.cast(x))))


def _test(function: Callable[[Any], Any]) -> Any:
    def convert(call: Call, x: Any) -> Any:
        if not is_float(dtype_of(x)):
            return constant(np.zeros(shape_of(x), "bool"))
        return function(x)

    return convert


operator("isnan")(_test(relax.op.isnan))
operator("isinf")(_test(relax.op.isinf))


@operator("isfinite")
def isfinite(call: Call, x: Any) -> Any:
    """Whether each element is a number."""
    if not is_float(dtype_of(x)):
        return constant(np.ones(shape_of(x), "bool"))
    return relax.op.isfinite(x)


@operator("logical_not")
def logical_not(call: Call, x: Any) -> Any:
    """Whether each element is 0."""
    return relax.op.logical_not(call.cast(x, "bool"))


@operator("signbit")
def signbit(call: Call, x: Any) -> Any:
    """Whether each element is below 0; of floats, whether it is -0, too."""
    dtype = dtype_of(x)
    if not is_float(dtype):
        return relax.op.less(call.cast(x, "int8" if dtype == "bool" else dtype), constant(0, dtype))
    # atan2 tells -0 from 0.
    angle = relax.op.atan2(x, constant(-1.0, dtype))
    return relax.op.less(call.emit(angle), constant(0.0, dtype))


@operator("gelu")
def gelu(call: Call, x: Any, approximate: str = "none") -> Any:
    """Gaussian error linear unit."""
    return call.through(x, relax.op.nn.gelu if approximate == "none" else relax.op.nn.gelu_tanh)


@operator("elu")
def elu(call: Call, x: Any, alpha: Any = 1, scale: Any = 1, input_scale: Any = 1) -> Any:
    """Exponential linear unit."""
    zero = call.cast(0)
    low = call.emit(relax.op.minimum(x, zero))
    if input_scale != 1:
        low = call.emit(relax.op.multiply(low, call.cast(input_scale)))
    low = call.emit(relax.op.subtract(call.emit(relax.op.exp(low)), call.cast(1)))
    low = call.emit(relax.op.multiply(low, call.cast(alpha * scale)))
    high = x if scale == 1 else call.emit(relax.op.multiply(x, call.cast(scale)))
    return relax.op.where(call.emit(relax.op.greater(x, zero)), high, low)


@operator("leaky_relu")
def leaky_relu(call: Call, x: Any, negative_slope: Any = 0.01) -> Any:
    """Rectified, with a slope below 0."""
    return call.through(x, lambda value: relax.op.nn.leakyrelu(value, float(negative_slope)))


@operator("_softmax", "_log_softmax")
def softmax(call: Call, x: Any, dim: int, half_to_float: bool = False) -> Any:
    """Exponentials by their sum along an axis, or the logarithm of that."""
    value = call.cast(x)
    is_log = call.name.endswith("_log_softmax")
    if not shape_of(x):
        return call.cast(0.0 if is_log else 1.0)
    axis = dim % len(shape_of(x))
    return relax.op.nn.log_softmax(value, axis) if is_log else relax.op.nn.softmax(value, axis)


@operator("alias", "clone", "contiguous", "detach", "lift_fresh_copy")
def alias(call: Call, x: Any) -> Any:
    """The same."""
    return x


@operator("_to_copy")
def to_copy(call: Call, x: Any, dtype: Any = None) -> Any:
    """The same in another type."""
    return call.cast(x)


@operator("copy")
def copy(call: Call, x: Any, src: Any) -> Any:
    """A tensor in the shape and type of another one."""
    return call.spread(call.cast(src), call.shape)


@operator("fill")
def fill(call: Call, x: Any, value: Any) -> Any:
    """One number everywhere."""
    return call.spread(call.cast(value), call.shape)


@operator("full_like")
def full_like(call: Call, x: Any, fill_value: Any, dtype: Any = None) -> Any:
    """One number everywhere."""
    return constant(np.full(call.shape, fill_value).astype(call.dtype))


@operator("empty", "empty_strided", "empty_permuted", "new_empty_strided")
def empty(call: Call, **_arguments: Any) -> Any:
    """Any numbers."""
    return constant(np.zeros(call.shape, call.dtype))


@operator("_assert_tensor_metadata", "_assert_async", "_assert_scalar", "sym_constrain_range")
def assertion(call: Call, **_arguments: Any) -> Any:
    """Nothing: what PyTorch checks as it runs."""
    return None


@operator(
    *("bernoulli", "exponential", "multinomial", "native_dropout", "normal", "normal_functional"),
    *("rand", "rand_like", "randint", "randint_like", "randn", "randn_like", "randperm"),
    *("rrelu_with_noise_functional", "uniform"),
)
def random(call: Call, **_arguments: Any) -> Any:
    """Refused: no two runs are alike."""
    raise Refusal("it is random", "export the model in evaluation mode: model.eval()")
