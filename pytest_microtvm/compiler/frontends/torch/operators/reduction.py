"""Operators that reduce axes, or run along one."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from tvm import relax

from pytest_microtvm.compiler.frontends.top_k import top_k_of_rows
from pytest_microtvm.compiler.frontends.torch.call import Call, constant, dtype_of, shape_of
from pytest_microtvm.compiler.frontends.torch.registry import operator


def _axes(x: Any, dim: int | Sequence[int] | None) -> list[int]:
    """The axes that are meant: all, where none are named."""
    rank = len(shape_of(x))
    if dim is None or (not isinstance(dim, int) and not dim):
        return list(range(rank))
    named = [dim] if isinstance(dim, int) else dim
    return sorted(axis % rank for axis in named) if rank else []


def _reduce(function: Callable[..., Any], holds: str | None = None) -> Any:
    """The converter of a reduction; `holds` is the dtype that it is computed in."""

    def convert(
        call: Call, x: Any, dim: Any = None, keepdim: bool = False, dtype: Any = None
    ) -> Any:
        value = call.cast(call.cast(x, "bool"), holds) if holds else call.cast(x)
        axes = _axes(x, dim)
        found = call.emit(function(value, axes, keepdims=keepdim)) if axes else value
        return call.cast(found)

    return convert


operator("sum")(_reduce(relax.op.sum))
operator("mean")(_reduce(relax.op.mean))
operator("prod")(_reduce(relax.op.prod))
operator("amax")(_reduce(relax.op.max))
operator("amin")(_reduce(relax.op.min))
operator("any")(_reduce(relax.op.max, "int8"))
operator("all")(_reduce(relax.op.min, "int8"))


@operator("var")
def var(call: Call, x: Any, dim: Any = None, correction: Any = 1, keepdim: bool = False) -> Any:
    """The mean square of the distances from the mean, of fewer elements by `correction`."""
    axes = _axes(x, dim)
    mean = call.emit(relax.op.mean(x, axes, keepdims=True))
    distance = call.emit(relax.op.subtract(x, mean))
    square = call.emit(relax.op.multiply(distance, distance))
    total = call.emit(relax.op.sum(square, axes, keepdims=keepdim))
    count = math.prod(shape_of(x)[axis] for axis in axes)
    correction = 1 if correction is None else correction
    return relax.op.divide(total, call.cast(float(max(0, count - correction))))


@operator("var_mean")
def var_mean(
    call: Call, x: Any, dim: Any = None, correction: Any = 1, keepdim: bool = False
) -> Any:
    """The same, and the mean."""
    mean = relax.op.mean(x, _axes(x, dim), keepdims=keepdim)
    return [var(call, x, dim, correction, keepdim), mean]


@operator("median", "kthvalue")
def median(
    call: Call, x: Any, dim: int | None = None, keepdim: bool = False, k: int | None = None
) -> Any:
    """The element in the middle of an axis, the lower of two, or the k-th; and its place."""
    if dim is None:
        x = call.reshaped(x, [math.prod(shape_of(x))])
    extent = shape_of(x)[-1 if dim is None else dim] if shape_of(x) else 1
    rank = (extent + 1) // 2 if k is None else k
    axis = -1 if dim is None else dim
    values, places = (call.emit(each) for each in topk(call, x, rank, axis, largest=False))
    if not shape_of(x):
        return values if dim is None else [values, places]
    axis %= len(shape_of(x))
    found = [call.part(each, axis, rank - 1, rank) for each in (values, places)]
    if dim is None:
        return call.reshaped(found[0], [])
    return [
        call.reshaped(each, shape) for each, (shape, _) in zip(found, call.outputs, strict=True)
    ]


def _place(function: Callable[..., Any]) -> Any:
    def convert(call: Call, x: Any, dim: int | None = None, keepdim: bool = False) -> Any:
        if not shape_of(x):
            return constant(0, "int64")
        if dim is None:
            x = call.reshaped(x, [math.prod(shape_of(x))])
            found = call.emit(function(x, 0, keepdims=False))
            return call.reshaped(call.cast(found), call.shape)
        return call.cast(call.emit(function(x, dim % len(shape_of(x)), keepdims=keepdim)))

    return convert


operator("argmax")(_place(relax.op.argmax))
operator("argmin")(_place(relax.op.argmin))


def _extreme(value: Callable[..., Any], place: Callable[..., Any]) -> Any:
    """The converter of "max" and "min": of everything, or of an axis with the places."""

    def convert(call: Call, x: Any, dim: int | None = None, keepdim: bool = False) -> Any:
        if dim is None:
            return value(x, None) if shape_of(x) else x
        if not shape_of(x):
            return [x, constant(0, "int64")]
        axis = dim % len(shape_of(x))
        places = call.emit(place(x, axis, keepdims=keepdim))
        return [value(x, [axis], keepdims=keepdim), call.cast(places, "int64")]

    return convert


operator("max")(_extreme(relax.op.max, relax.op.argmax))
operator("min")(_extreme(relax.op.min, relax.op.argmin))


def _running(function: Callable[..., Any]) -> Any:
    def convert(call: Call, x: Any, dim: int, dtype: Any = None) -> Any:
        value = call.cast(x)
        return function(value, dim % len(shape_of(x)), call.dtype) if shape_of(x) else value

    return convert


operator("cumsum")(_running(relax.op.cumsum))
operator("cumprod")(_running(relax.op.cumprod))


@operator("sort")
def sort(
    call: Call, x: Any, dim: int = -1, descending: bool = False, stable: bool | None = None
) -> Any:
    """All elements along an axis in order, and their places; equal ones stay in theirs."""
    extent = shape_of(x)[dim] if shape_of(x) else 1
    return topk(call, x, extent, dim, descending)


@operator("topk")
def topk(
    call: Call,
    x: Any,
    k: int,
    dim: int = -1,
    largest: bool = True,
    sorted: bool = True,  # noqa: A002
) -> Any:
    """The greatest or least elements along an axis, and their places."""
    shape = shape_of(x)
    if not shape:
        return [x, constant(0, "int64")]
    axes = [axis for axis in range(len(shape)) if axis != dim % len(shape)] + [dim % len(shape)]
    back = [axes.index(axis) for axis in range(len(shape))]
    dtype = dtype_of(x)
    rows = call.permuted(call.cast(x, "int8") if dtype == "bool" else x, axes)
    found = top_k_of_rows(call.builder, rows, shape_of(rows), k, "int64", largest)
    values, places = (call.permuted(each, back) for each in found)
    return [call.cast(values, dtype), places]


@operator("cummax", "cummin")
def running_extreme(call: Call, x: Any, dim: int) -> Any:
    """The greatest or least element so far along an axis, and the last of its places."""
    shape = shape_of(x)
    axis = dim % len(shape)
    is_reached = relax.op.greater_equal if call.name.endswith("max") else relax.op.less_equal
    value, values, places = None, [], []
    place: Any = None
    for step in range(shape[axis]):
        element = call.part(x, axis, step, step + 1)
        here = call.spread(constant(step, "int64"), shape_of(element))
        if value is None:
            value, place = element, here
        else:
            reached = call.emit(is_reached(element, value))
            value = call.emit(relax.op.where(reached, element, value))
            place = call.emit(relax.op.where(reached, here, place))
        values.append(value)
        places.append(place)
    return [relax.op.concat(values, axis), relax.op.concat(places, axis)]


@operator("logcumsumexp")
def logcumsumexp(call: Call, x: Any, dim: int) -> Any:
    """The logarithm of the running sum of exponentials."""
    axis = dim % len(shape_of(x))
    top = call.emit(relax.op.max(x, [axis], keepdims=True))
    powers = call.emit(relax.op.exp(call.emit(relax.op.subtract(x, top))))
    total = call.emit(relax.op.cumsum(powers, axis, dtype_of(x)))
    return relax.op.add(call.emit(relax.op.log(total)), top)


@operator("_cdist_forward")
def cdist(call: Call, x1: Any, x2: Any, p: float, compute_mode: int | None = None) -> Any:
    """The distance of each row of one tensor from each row of another."""
    first = call.emit(relax.op.expand_dims(x1, -2))
    second = call.emit(relax.op.expand_dims(x2, -3))
    distance = call.emit(relax.op.abs(call.emit(relax.op.subtract(first, second))))
    if p == math.inf:
        return relax.op.max(distance, [-1])
    if p == 2:
        squares = call.emit(relax.op.multiply(distance, distance))
        return relax.op.sqrt(call.emit(relax.op.sum(squares, [-1])))
    powers = call.emit(relax.op.power(distance, call.cast(float(p))))
    return relax.op.power(call.emit(relax.op.sum(powers, [-1])), call.cast(1 / p))
