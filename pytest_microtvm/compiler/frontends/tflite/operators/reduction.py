"""Reductions over some axes."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from tvm import relax

from pytest_microtvm.compiler.frontends.tflite.call import Call, constant
from pytest_microtvm.compiler.frontends.tflite.operators.tables import factor_of, pair_of
from pytest_microtvm.compiler.frontends.tflite.registry import operator
from pytest_microtvm.compiler.quantized.intervals import values_of
from pytest_microtvm.compiler.quantized.specs import Mean, Rounding

Reduce = Callable[[Any, Any, bool], Any]


def axes_of(call: Call) -> list[int]:
    """The axes that are reduced, in order and not negative."""
    rank = call.input(0).rank
    axes = call.integers(1, "which axes it reduces")
    if not all(-rank <= axis < rank for axis in axes):
        raise call.refusal(f"it reduces the axes {axes} of {rank}")
    return sorted({axis % rank for axis in axes})


def _reduction(
    name: str, versions: int, function: Reduce, numpy_function: Any, keeps_scale: bool = False
) -> None:
    @operator(name, versions=versions, options="ReducerOptions", reads=("KeepDims",))
    def convert(call: Call) -> Any:
        data = call.input(0)
        axes, keep = axes_of(call), bool(call.options["KeepDims"])
        if data.value is not None and data.value.dtype.kind in "iub" and not data.is_quantized:
            found = numpy_function(data.value, axis=tuple(axes), keepdims=keep)
            return np.asarray(found).astype(call.output.dtype)
        if not axes:
            return call.finished(data.real)
        found = _sum_of_integers(call, axes, keep) if name == "SUM" else None
        if found is not None:
            return found
        if name == "MEAN" and data.dtype == "int32" and not data.is_quantized:
            # The quotient of the sum as C divides; TVM takes sums of integers for int64.
            wide = call.emitted(relax.op.astype(data.expression, "int64"))
            return relax.op.astype(call.emitted(function(wide, axes, keep)), data.dtype)
        if keeps_scale and call.same_quantization(data):
            return function(data.expression, axes, keep)
        return call.finished(function(data.real, axes, keep))


def _sum_of_integers(call: Call, axes: Sequence[int], keep: bool) -> Any:
    pair, data = pair_of(call), call.input(0)
    if pair is None or data.value is not None:
        return None
    source, output = pair
    real = float(source.scale) / float(output.scale)
    count = math.prod(data.shape[axis] for axis in axes)
    sums = values_of(data.dtype, source.zero_point).summed(count)
    rounding = Rounding.DOUBLE if sums.fits_int32 else Rounding.REAL
    factor = factor_of(real, output, data.dtype, rounding)
    spec = Mean(data.shape, tuple(axes), source.zero_point, factor, data.dtype)
    kept = [1 if axis in axes else extent for axis, extent in enumerate(data.shape)]
    if not keep:
        kept = [extent for axis, extent in enumerate(data.shape) if axis not in axes]
    return call.kernel("sum", spec, [data.expression], kept)


def _any(values: Any, axes: Any, keep: bool) -> Any:
    counted = relax.op.max(relax.op.astype(values, "int8"), axes, keep)
    return relax.op.astype(counted, "bool")


def _all(values: Any, axes: Any, keep: bool) -> Any:
    counted = relax.op.min(relax.op.astype(values, "int8"), axes, keep)
    return relax.op.astype(counted, "bool")


_reduction("MEAN", 3, relax.op.mean, np.mean)
_reduction("SUM", 2, relax.op.sum, np.sum)
_reduction("REDUCE_PROD", 2, relax.op.prod, np.prod)
_reduction("REDUCE_MAX", 3, relax.op.max, np.max, True)
_reduction("REDUCE_MIN", 3, relax.op.min, np.min, True)
_reduction("REDUCE_ANY", 2, _any, np.any)
_reduction("REDUCE_ALL", 2, _all, np.all)


def _place_of_extreme(name: str, versions: int, function: Any, options: str) -> None:
    @operator(name, versions=versions, options=options, reads=("OutputType",))
    def convert(call: Call) -> Any:
        data = call.input(0)
        [axis] = call.integers(1, "its axis")
        if not -data.rank <= axis < data.rank:
            raise call.refusal(f"its axis is {axis}")
        # The element type of the output says the same as the option, and decides.
        call.options["OutputType"]
        given = data.expression
        if data.dtype == "bool":  # of which TVM knows no least one
            given = relax.op.astype(given, "int8")
        found = function(given, axis % data.rank, False)
        # TVM finds nothing where all elements are the least of their type: it is the first then.
        found = relax.op.maximum(found, constant(np.zeros((), np.int64)))
        return relax.op.astype(found, call.output.dtype)


_place_of_extreme("ARG_MAX", 3, relax.op.argmax, "ArgMaxOptions")
_place_of_extreme("ARG_MIN", 3, relax.op.argmin, "ArgMinOptions")


@operator("TOPK_V2", versions=3, options="TopKV2Options")
def top_k(call: Call) -> Any:
    """The greatest elements along the last axis, the greatest first, and where they are."""
    data = call.input(0)
    [count] = call.integers(1, "how many it takes")
    if len(call.outputs) != 2 or not data.shape:
        raise call.refusal(f"it has {len(call.outputs)} outputs, and data of {data.shape}")
    values, places = call.outputs
    if not 1 <= count <= data.shape[-1] or values.dtype != data.dtype:
        raise call.refusal(f"it takes {count} of {data.shape[-1]} elements as {values.dtype}")
    call.require_same_quantization(data)
    return call.top_k(data, count, places.dtype)


@operator("CUMSUM", options="CumsumOptions", reads=("Exclusive", "Reverse"))
def cumsum(call: Call) -> Any:
    """Sums of all elements up to each one, along an axis."""
    data = call.input(0)
    [axis] = call.integers(1, "its axis")
    axis %= data.rank
    extent = data.shape[axis]
    # A triangle of ones says which elements are in a sum; axes are short on microcontrollers.
    places = np.arange(extent)
    is_in = places[None, :] <= places[:, None]
    if call.options["Exclusive"]:
        is_in &= places[None, :] != places[:, None]
    if call.options["Reverse"]:
        is_in = is_in[::-1, ::-1]
    order = [*(a for a in range(data.rank) if a != axis), axis]
    moved = relax.op.permute_dims(data.real, order)
    dtype = "float32" if data.is_quantized else data.dtype
    sums = relax.op.matmul(moved, constant(np.ascontiguousarray(is_in.T.astype(dtype))))
    back = [order.index(a) for a in range(data.rank)]
    return call.finished(relax.op.permute_dims(sums, back))
