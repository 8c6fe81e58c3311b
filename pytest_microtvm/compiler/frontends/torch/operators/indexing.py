"""Elements by places that may be computed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from tvm import relax

from pytest_microtvm.compiler.frontends.torch.call import (
    Array,
    Call,
    Refusal,
    constant,
    dtype_of,
    known,
    shape_of,
)
from pytest_microtvm.compiler.frontends.torch.operators.movement import taken
from pytest_microtvm.compiler.frontends.torch.registry import operator


def _wrapped(call: Call, places: Any, extent: int) -> Any:
    """Places that count from the front, of such as may count from the end."""
    array = known(places)
    if array is not None:
        return constant(np.where(array < 0, array + extent, array).astype(np.int64))
    dtype = dtype_of(places)
    if dtype not in ("int32", "int64"):
        places, dtype = call.cast(places, "int32"), "int32"
    negative = call.emit(relax.op.less(places, constant(0, dtype)))
    other = call.emit(relax.op.add(places, constant(extent, dtype)))
    return call.emit(relax.op.where(negative, other, places))


@operator("embedding")
def embedding(
    call: Call,
    weight: Any,
    indices: Any,
    padding_idx: int = -1,
    scale_grad_by_freq: bool = False,
    sparse: bool = False,
) -> Any:
    """Rows of a table."""
    return relax.op.take(weight, indices, 0, "clip")


_BAGS = {0: relax.op.sum, 1: relax.op.mean, 2: relax.op.max}


@operator("_embedding_bag", "_embedding_bag_forward_only")
def embedding_bag(
    call: Call,
    weight: Any,
    indices: Any,
    offsets: Any,
    scale_grad_by_freq: bool = False,
    mode: int = 0,
    sparse: bool = False,
    per_sample_weights: Any = None,
    include_last_offset: bool = False,
    padding_idx: int = -1,
) -> Any:
    """Sums, means or greatest elements of rows of a table; where each bag begins is known."""
    begins = known(offsets)
    if begins is None or padding_idx >= 0:
        raise Refusal(
            "how many rows it sums is computed at run time",
            "give it indices of two dimensions, without offsets and without padding_idx",
        )
    rows = call.emit(relax.op.take(weight, indices, 0, "clip"))
    if per_sample_weights is not None:
        factors = call.emit(relax.op.expand_dims(per_sample_weights, 1))
        rows = call.emit(relax.op.multiply(rows, factors))
    ends = [*begins.tolist()[1:], *([] if include_last_offset else [shape_of(rows)[0]])]
    starts = begins.tolist()[: len(ends)]
    if len({end - start for start, end in zip(starts, ends, strict=True)}) == 1:
        wide = call.reshaped(rows, [len(starts), ends[0] - starts[0], shape_of(rows)[1]])
        return [_BAGS[mode](wide, [1]), None, None, None]
    made = [
        call.emit(_BAGS[mode](call.part(rows, 0, start, end), [0], keepdims=True))
        if end > start
        else constant(np.zeros((1, shape_of(rows)[1]), call.dtype))
        for start, end in zip(starts, ends, strict=True)
    ]
    return [relax.op.concat(made, 0), None, None, None]


@operator("index_select")
def index_select(call: Call, x: Any, dim: int, index: Any) -> Any:
    """What is at some places of an axis."""
    if not shape_of(x):
        return call.spread(x, call.shape)
    return _take(call, x, call.reshaped(index, [math.prod(shape_of(index))]), dim)


def _take(call: Call, x: Any, places: Any, axis: int) -> Any:
    array = known(places)
    if array is not None:
        return taken(call, x, array, axis % len(shape_of(x)))
    return relax.op.take(x, places, axis % len(shape_of(x)), "clip")


@operator("gather")
def gather(call: Call, x: Any, dim: int, index: Any, sparse_grad: bool = False) -> Any:
    """For each element of `index`, the one at its own place, but there along the axis."""
    axis = dim % len(shape_of(x))
    # The other axes may be longer than those of the result.
    for other, extent in enumerate(shape_of(index)):
        if other != axis:
            x = call.part(x, other, 0, extent)
    return relax.op.gather_elements(x, index, axis)


@operator("index", "_unsafe_index")
def index(call: Call, x: Any, indices: Sequence[Any]) -> Any:
    """NumPy's advanced indexing by integers, or by booleans that are known."""
    places = _Places(call, x, indices)
    found = call.emit(_take(call, places.flattened(x), places.numbers, 0))
    if places.is_together:
        # What was in front of the axes stays in front.
        count, first = len(places.extents), places.axes[0]
        order = list(range(count, count + first)) + list(range(count))
        order += list(range(count + first, len(call.shape)))
        return call.permuted(found, order)
    return found


@operator("index_put", "_unsafe_index_put")
def index_put(
    call: Call, x: Any, indices: Sequence[Any], values: Any, accumulate: bool = False
) -> Any:
    """A tensor with elements replaced, or increased, where advanced indexing says."""
    mask = next((item for item in indices if item is not None), None)
    if mask is not None and dtype_of(mask) == "bool" and known(mask) is None:
        return _put_by_mask(call, x, indices, values, accumulate)
    places = _Places(call, x, indices)
    flat = places.flattened(x)
    rest = shape_of(flat)[1:]
    value = call.cast(values)
    if places.is_together and places.axes[0]:
        # Values come with the axes in the order of the indexed tensor: those of places first.
        count, first = len(places.extents), places.axes[0]
        target = [*rest[:first], *places.extents, *rest[first:]]
        value = call.spread(value, target)
        order = list(range(first, first + count)) + list(range(first))
        value = call.permuted(value, order + list(range(first + count, len(target))))
    else:
        value = call.spread(value, [*places.extents, *rest])
    count = math.prod(places.extents)
    value = call.reshaped(value, [count, *rest])
    rows = call.reshaped(places.numbers, [count, 1])
    made = relax.op.scatter_nd(
        flat, call.cast(rows, "int64"), value, "add" if accumulate else "update"
    )
    return places.restored(call.emit(made))


def _put_by_mask(call: Call, x: Any, indices: Sequence[Any], values: Any, accumulate: bool) -> Any:
    """The same where a computed boolean says: a number, or what has one row for all."""
    lead = next(i for i, item in enumerate(indices) if item is not None)
    others = [item for item in indices[lead + 1 :] if item is not None]
    mask = indices[lead]
    behind = len(shape_of(x)) - lead - len(shape_of(mask))
    value = call.cast(values)
    if others or (len(shape_of(value)) > behind and math.prod(shape_of(value)) > 1):
        raise Refusal(
            "how many elements it puts is computed at run time", "use torch.where in its place"
        )
    if len(shape_of(value)) > behind:
        value = call.reshaped(value, [])
    wide = call.reshaped(mask, [*shape_of(mask), *[1] * behind])
    new = call.emit(relax.op.add(x, value)) if accumulate else call.spread(value, shape_of(x))
    return relax.op.where(wide, new, x)


class _Places:
    """Where advanced indexing takes elements: rows of the tensor with the indexed axes in front.

    Args:
        call: The operator.
        x: What is indexed.
        indices: For each axis its places, or None for all of it.
    """

    def __init__(self, call: Call, x: Any, indices: Sequence[Any]) -> None:
        self._call = call
        self._shape = shape_of(x)
        given: list[tuple[int, Any]] = []
        axis = 0
        for item in indices:
            if item is None:
                axis += 1
            elif dtype_of(item) in ("bool", "uint8"):
                mask = self._known_mask(item)
                given += [(axis + i, constant(found)) for i, found in enumerate(mask.nonzero())]
                axis += mask.ndim
            else:
                given.append((axis, item))
                axis += 1
        self.axes = [place for place, _ in given]
        self.extents = list(np.broadcast_shapes(*(shape_of(item) for _, item in given)))
        self.is_together = self.axes == list(range(self.axes[0], self.axes[-1] + 1))
        total = None
        for place, item in given:
            stride = math.prod(self._shape[other] for other in self.axes if other > place)
            numbers = _wrapped(call, item, self._shape[place])
            if stride != 1:
                numbers = self._sum(numbers, None, stride)
            total = numbers if total is None else self._sum(numbers, total, 1)
        self.numbers = call.spread(total, self.extents)

    def _sum(self, numbers: Any, other: Any, stride: int) -> Any:
        """`numbers` times `stride`, and `other`; known where both are."""
        arrays = [None if item is None else known(item) for item in (numbers, other)]
        if arrays[0] is not None and (other is None or arrays[1] is not None):
            found: Array = arrays[0] * stride + (0 if arrays[1] is None else arrays[1])
            return constant(found)
        call = self._call
        numbers = call.cast(numbers, "int64")
        if stride != 1:
            numbers = call.emit(relax.op.multiply(numbers, constant(stride, "int64")))
        if other is None:
            return numbers
        return call.emit(relax.op.add(numbers, call.cast(other, "int64")))

    def _known_mask(self, item: Any) -> Array:
        mask = known(item)
        if mask is None:
            raise Refusal(
                "how many elements it takes is computed at run time", "use torch.where in its place"
            )
        return mask.astype(bool)

    @property
    def _order(self) -> list[int]:
        return [*self.axes, *(i for i in range(len(self._shape)) if i not in self.axes)]

    def flattened(self, x: Any) -> Any:
        """The tensor with one axis in front for all indexed ones."""
        moved = self._call.permuted(x, self._order)
        rest = shape_of(moved)[len(self.axes) :]
        rows = math.prod(self._shape[axis] for axis in self.axes)
        return self._call.reshaped(moved, [rows, *rest])

    def restored(self, flat: Any) -> Any:
        """What `flattened` made, in the tensor's own shape."""
        order = self._order
        whole = self._call.reshaped(flat, [self._shape[axis] for axis in order])
        return self._call.permuted(whole, [order.index(i) for i in range(len(order))])


_REDUCTIONS = {
    "add": "add",
    "sum": "add",
    "multiply": "mul",
    "prod": "mul",
    "amax": "max",
    "amin": "min",
}


@operator("scatter", "scatter_add", "scatter_reduce")
def scatter(
    call: Call,
    x: Any,
    dim: int,
    index: Any,
    src: Any = None,
    value: Any = None,
    reduce: str | None = None,
    include_self: bool = True,
) -> Any:
    """A tensor with elements replaced or combined: each at its place, but along the axis there."""
    axis = dim % max(1, len(shape_of(x)))
    if not shape_of(x):
        raise Refusal("it scatters into a tensor without axes")
    if call.name.endswith("scatter_add"):
        reduce = "sum"
    if src is None:
        updates = call.spread(call.cast(value), shape_of(index))
    else:
        updates = call.cast(src)
        for other, extent in enumerate(shape_of(index)):
            updates = call.part(updates, other, 0, extent)
    if reduce == "mean":
        return _mean(call, x, axis, index, updates, include_self)
    if not include_self:
        x = _without_self(call, x, axis, index, reduce)
    kind = "update" if reduce is None else _REDUCTIONS[reduce]
    return relax.op.scatter_elements(x, index, updates, axis, kind)


def _mean(call: Call, x: Any, axis: int, index: Any, updates: Any, include_self: bool) -> Any:
    """Means of what comes to a place, with what was there or without."""
    if not call.dtype.startswith("float"):
        raise Refusal("it averages integers")
    one = constant(np.ones(shape_of(x), call.dtype))
    if not include_self:
        x, one = (_without_self(call, each, axis, index, "sum") for each in (x, one))
    ones = constant(np.ones(shape_of(updates), call.dtype))
    total, count = (
        call.emit(relax.op.scatter_elements(start, index, more, axis, "add"))
        for start, more in ((x, updates), (one, ones))
    )
    return relax.op.divide(total, count)


def _without_self(call: Call, x: Any, axis: int, index: Any, reduce: str | None) -> Any:
    """A tensor with what changes no result, where elements are to be combined."""
    dtype = call.dtype
    limits = np.finfo(dtype) if dtype.startswith("float") else np.iinfo(dtype)
    least = -np.inf if dtype.startswith("float") else limits.min
    most = np.inf if dtype.startswith("float") else limits.max
    neutral = {"prod": 1, "amax": least, "amin": most}.get(reduce or "", 0)
    start = constant(np.full(shape_of(index), neutral).astype(dtype))
    return call.emit(relax.op.scatter_elements(x, index, start, axis, "update"))


@operator("masked_scatter", "masked_select", "nonzero", "_unique2", "unique_dim", "nonzero_static")
def of_computed_size(call: Call, **_arguments: Any) -> Any:
    """Refused: where elements go, or how many there are, is known at run time."""
    raise Refusal("the size of its result is computed at run time", "use torch.where in its place")
