"""Shapes, and what is made of them: known once the inputs' shapes are."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from tvm import relax

from pytest_microtvm.compiler.frontends.tflite.call import Call, Operand, constant
from pytest_microtvm.compiler.frontends.tflite.registry import operator


@operator(
    "SHAPE",
    options="ShapeOptions",
    ignored={"OutType": "the output has its element type"},
)
def shape(call: Call) -> Any:
    """The extents of a tensor."""
    return np.array(call.input(0).shape, call.output.dtype)


@operator("RANK", options="RankOptions")
def rank(call: Call) -> Any:
    """How many extents a tensor has."""
    return np.array(call.input(0).rank, call.output.dtype)


@operator("FILL", versions=4, options="FillOptions")
def fill(call: Call) -> Any:
    """A tensor of equal elements."""
    extents = call.output_shape(0)
    value = call.input(1)
    call.require_same_quantization(value)
    if value.value is not None:
        return np.full(extents, value.value.reshape(-1)[0], value.value.dtype)
    return relax.op.broadcast_to(value.expression, extents)


@operator("RANGE", versions=2, options="RangeOptions")
def range_(call: Call) -> Any:
    """Numbers from one to below another."""
    start, limit, delta = (call.known(i, "its range").reshape(-1)[0] for i in range(3))
    return np.arange(start, limit, delta).astype(call.output.dtype)


@operator("ZEROS_LIKE", options="ZerosLikeOptions")
def zeros_like(call: Call) -> Any:
    """Zeros in the shape of a tensor."""
    return np.zeros(call.input(0).shape, call.output.dtype)


@operator("BROADCAST_ARGS", versions=1)
def broadcast_args(call: Call) -> Any:
    """The shape that two shapes broadcast to."""
    operands = call.operands
    if any(operand.value is None for operand in operands):
        count = max(operand.shape[0] for operand in operands)
        left, right = (_with_ones(call, operand, count) for operand in operands)
        one = constant(np.ones((), operands[0].dtype))
        return relax.op.where(relax.op.equal(left, one), right, left)
    known = (tuple(call.integers(i, "a shape")) for i in (0, 1))
    return np.array(np.broadcast_shapes(*known), call.output.dtype)


def _with_ones(call: Call, shape: Operand, count: int) -> Any:
    """A shape with so many extents that new ones come first."""
    missing = count - shape.shape[0]
    if missing == 0:
        return call.emitted(shape.expression)
    ones = constant(np.ones(missing, shape.dtype))
    return call.emitted(relax.op.concat([ones, shape.expression], 0))


@operator("BROADCAST_TO", versions=3, options="BroadcastToOptions")
def broadcast_to(call: Call) -> Any:
    """Elements repeated along axes of one."""
    data = call.input(0)
    call.require_same_quantization(data)
    extents = call.output_shape(1)
    if data.value is not None:
        return np.broadcast_to(data.value, extents).copy()
    return relax.op.broadcast_to(data.expression, extents)


@operator("ONE_HOT", options="OneHotOptions", reads=("Axis",))
def one_hot(call: Call) -> Any:
    """One value at the place that an index names, another one elsewhere."""
    indices = call.input(0)
    [depth] = call.integers(1, "its depth")
    on, off = (call.input(i) for i in (2, 3))
    # Converters give the two values scales of their own, and TFLite takes their integers.
    axis = call.options["Axis"]
    axis = indices.rank if axis == -1 else axis
    extents = [depth if a == axis else 1 for a in range(indices.rank + 1)]
    places = np.arange(depth, dtype=indices.dtype).reshape(extents)
    spread = relax.op.expand_dims(indices.expression, axis)
    is_there = relax.op.equal(spread, constant(places))
    return relax.op.where(is_there, _scalar(on), _scalar(off))


@operator("MATRIX_DIAG", options="MatrixDiagOptions")
def matrix_diag(call: Call) -> Any:
    """Square matrices that are 0, whatever that stands for, but for their diagonals."""
    data = call.input(0)
    return _on_diagonal(data, data.shape[-1:] * 2, constant(np.zeros((), data.dtype)))


@operator("MATRIX_SET_DIAG", options="MatrixSetDiagOptions")
def matrix_set_diag(call: Call) -> Any:
    """Matrices with other diagonals; of integers, whatever scales they have."""
    data, diagonal = call.operands
    return _on_diagonal(diagonal, data.shape[-2:], data.expression)


def _on_diagonal(diagonal: Operand, extents: Sequence[int], rest: Any) -> Any:
    """Vectors on the diagonals of matrices, and `rest` beside them."""
    values = relax.op.expand_dims(diagonal.expression, -2)
    missing = extents[1] - diagonal.shape[-1]
    if missing:
        values = relax.op.nn.pad(values, [0, 0] * diagonal.rank + [0, missing])
    return relax.op.where(constant(np.eye(*extents, dtype=bool)), values, rest)


@operator("WHERE", versions=2, options="WhereOptions")
def where(call: Call) -> Any:
    """The places of what is not 0, a row of indices for each: known ones, so many they are."""
    condition = call.input(0)
    if condition.value is None:
        raise call.refusal(
            "how many places it finds is known at run time only",
            "choose by SELECT_V2, as tf.where with three arguments does",
        )
    return np.argwhere(condition.value).astype(call.output.dtype)


@operator(
    "SPARSE_TO_DENSE",
    versions=3,
    options="SparseToDenseOptions",
    ignored={"ValidateIndices": "indices that are in order and apart give the same either way"},
)
def sparse_to_dense(call: Call) -> Any:
    """Values at given places, and one value elsewhere."""
    places, values, default = (call.input(i) for i in (0, 2, 3))
    call.require_same_quantization(values, default)
    extents = call.output_shape(1)
    count = places.shape[0] if places.rank else 1
    rows = [count, len(extents)]
    if math.prod(places.shape) != math.prod(rows):
        raise call.refusal(f"it puts {places.shape} places into {len(extents)} axes")
    if places.value is not None and values.value is not None and default.value is not None:
        known = places.value.reshape(rows)
        if ((known < 0) | (known >= extents)).any():
            raise call.refusal(f"it puts a value beyond the extents {extents}")
        dense = np.full(extents, default.value.reshape(-1)[0], default.value.dtype)
        dense[tuple(known.T)] = values.value
        return dense
    background = relax.op.broadcast_to(_scalar(default), extents)
    indices = relax.op.reshape(places.expression, rows)
    spread = relax.op.broadcast_to(values.expression, [count])
    return relax.op.scatter_nd(background, indices, spread, "update")


def _scalar(operand: Any) -> Any:
    if operand.value is not None:
        return constant(operand.value.reshape(()))
    return relax.op.reshape(operand.expression, []) if operand.shape else operand.expression
