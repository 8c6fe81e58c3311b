"""Operators that only move elements, by places that are known."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
from tvm import relax

from pytest_microtvm.compiler.frontends.torch.call import Call, Refusal, constant, known, shape_of
from pytest_microtvm.compiler.frontends.torch.registry import operator


@operator("view", "reshape", "_unsafe_view", "_reshape_copy", "squeeze", "unsqueeze", "flatten")
def view(call: Call, x: Any, size: Any = None, dim: Any = None, shape: Any = None) -> Any:
    """The same elements in another shape, which is that of the result."""
    return call.reshaped(call.cast(x), call.shape)


@operator("permute")
def permute(call: Call, x: Any, dims: Sequence[int]) -> Any:
    """The axes in another order."""
    return call.permuted(x, [axis % len(dims) for axis in dims])


@operator("transpose")
def transpose(call: Call, x: Any, dim0: int, dim1: int) -> Any:
    """Two axes, each in the place of the other."""
    axes = list(range(len(shape_of(x))))
    if axes:
        axes[dim0], axes[dim1] = axes[dim1], axes[dim0]
    return call.permuted(x, axes)


@operator("expand")
def expand(call: Call, x: Any, size: Any, implicit: bool = False) -> Any:
    """Axes of one element made longer."""
    return call.spread(x, call.shape)


@operator("repeat")
def repeat(call: Call, x: Any, repeats: Sequence[int]) -> Any:
    """Copies behind each other along axes, of which there may be new ones in front."""
    wide = call.reshaped(x, [*[1] * (len(repeats) - len(shape_of(x))), *shape_of(x)])
    return relax.op.tile(wide, list(repeats)) if any(r != 1 for r in repeats) else wide


@operator("slice")
def slice_(
    call: Call,
    x: Any,
    dim: int = 0,
    start: int | None = None,
    end: int | None = None,
    step: int = 1,
) -> Any:
    """A part along an axis, by Python's rules."""
    axis = dim % len(shape_of(x))
    first, last, _ = slice(start, end, step).indices(shape_of(x)[axis])
    return call.part(x, axis, first, last, step)


@operator("narrow")
def narrow(call: Call, x: Any, dim: int, start: int, length: int) -> Any:
    """A part along an axis."""
    return slice_(call, x, dim, start, start + length)


@operator("select")
def select(call: Call, x: Any, dim: int, index: int) -> Any:
    """What is at one place of an axis; a place below 0 counts from the end."""
    if not isinstance(index, int):
        raise Refusal("its place is computed at run time", "use index_select")
    axis = dim % len(shape_of(x))
    place = index % shape_of(x)[axis]
    return call.reshaped(call.part(x, axis, place, place + 1), call.shape)


@operator("slice_scatter")
def slice_scatter(
    call: Call,
    x: Any,
    src: Any,
    dim: int = 0,
    start: int | None = None,
    end: int | None = None,
    step: int = 1,
) -> Any:
    """A tensor with a part along an axis replaced."""
    axis = dim % len(shape_of(x))
    places = range(shape_of(x)[axis])[slice(start, end, step)]
    value = call.cast(src)
    if not places:
        return x
    if step == 1:
        before = call.part(x, axis, 0, places.start) if places.start else None
        rest = shape_of(x)[axis]
        after = call.part(x, axis, places.stop, rest) if places.stop < rest else None
        parts = [part for part in (before, value, after) if part is not None]
        return relax.op.concat(parts, axis) if len(parts) > 1 else value
    # Elements of both behind each other, and the places of those that stay or come.
    chosen = np.arange(shape_of(x)[axis])
    chosen[list(places)] = shape_of(x)[axis] + np.arange(len(places))
    both = call.emit(relax.op.concat([x, value], axis))
    return relax.op.take(both, constant(chosen.astype(np.int32)), axis, "clip")


@operator("select_scatter")
def select_scatter(call: Call, x: Any, src: Any, dim: int, index: int) -> Any:
    """A tensor with what is at one place of an axis replaced."""
    axis = dim % len(shape_of(x))
    place = index % shape_of(x)[axis]
    shape = list(shape_of(x))
    shape[axis] = 1
    return slice_scatter(call, x, call.reshaped(call.cast(src), shape), axis, place, place + 1)


@operator("cat")
def cat(call: Call, tensors: Sequence[Any], dim: int = 0) -> Any:
    """Tensors behind each other along an axis; one without elements is left out."""
    kept = [tensor for tensor in tensors if 0 not in shape_of(tensor)]
    if not kept:
        return constant(np.zeros(call.shape, call.dtype))
    values = [call.cast(tensor) for tensor in kept]
    return relax.op.concat(values, dim % len(call.shape)) if len(values) > 1 else values[0]


@operator("stack")
def stack(call: Call, tensors: Sequence[Any], dim: int = 0) -> Any:
    """Tensors behind each other along a new axis."""
    axis = dim % len(call.shape)
    rows = [call.emit(relax.op.expand_dims(call.cast(tensor), axis)) for tensor in tensors]
    return relax.op.concat(rows, axis) if len(rows) > 1 else rows[0]


@operator("split", "split_with_sizes", "unsafe_split", "chunk", "tensor_split")
def split(
    call: Call,
    x: Any,
    split_size: Any = None,
    split_sizes: Any = None,
    chunks: Any = None,
    sections: Any = None,
    indices: Any = None,
    dim: int = 0,
) -> Any:
    """Parts along an axis, as long as the results are."""
    axis = dim % len(shape_of(x))
    ends = list(itertools.accumulate(shape[axis] for shape, _ in call.outputs))
    return [call.part(x, axis, start, end) for start, end in zip([0, *ends], ends, strict=False)]


@operator("unbind")
def unbind(call: Call, x: Any, dim: int = 0) -> Any:
    """What is at each place of an axis."""
    axis = dim % len(shape_of(x))
    parts = [call.part(x, axis, i, i + 1) for i in range(shape_of(x)[axis])]
    return [call.reshaped(part, call.shape) for part in parts]


@operator("flip")
def flip(call: Call, x: Any, dims: Sequence[int]) -> Any:
    """The elements along axes from the last to the first."""
    for axis in dims:
        x = call.emit(relax.op.flip(x, axis % len(shape_of(x))))
    return x


@operator("constant_pad_nd")
def constant_pad(call: Call, x: Any, pad: Sequence[int], value: Any = 0) -> Any:
    """Numbers around a tensor, the last axes first; fewer elements where it is below 0."""
    rank = len(shape_of(x))
    widths = [(0, 0)] * rank
    for i in range(len(pad) // 2):
        widths[rank - 1 - i] = (pad[2 * i], pad[2 * i + 1])
    for axis, (before, after) in enumerate(widths):
        x = call.part(x, axis, max(0, -before), shape_of(x)[axis] - max(0, -after))
    kept = [max(0, width) for pair in widths for width in pair]
    return relax.op.nn.pad(x, kept, "constant", float(value)) if any(kept) else x


@operator("as_strided")
def as_strided(
    call: Call,
    x: Any,
    size: Sequence[int],
    stride: Sequence[int],
    storage_offset: int | None = None,
) -> Any:
    """Elements by their distances in a tensor that is laid flat."""
    flat = call.reshaped(x, [int(np.prod(shape_of(x)))])
    places = np.full(tuple(size), storage_offset or 0)
    for axis, distance in enumerate(stride):
        steps = np.arange(size[axis]) * distance
        places += steps.reshape([-1 if i == axis else 1 for i in range(len(size))])
    return taken(call, flat, places, 0)


@operator("diagonal")
def diagonal(call: Call, x: Any, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Any:
    """The elements whose two places differ by an offset, as last axis."""
    numbers = np.arange(int(np.prod(shape_of(x)))).reshape(shape_of(x))
    places = np.diagonal(numbers, offset, dim1, dim2)
    return taken(call, call.reshaped(x, [numbers.size]), places, 0)


@operator("diagonal_scatter")
def diagonal_scatter(
    call: Call, x: Any, src: Any, offset: int = 0, dim1: int = 0, dim2: int = 1
) -> Any:
    """A tensor with the elements of a diagonal replaced."""
    shape, count = shape_of(x), int(np.prod(shape_of(x)))
    numbers = np.arange(count)
    places = np.diagonal(numbers.reshape(shape), offset, dim1, dim2)
    numbers[places.reshape(-1)] = count + np.arange(places.size)
    rows = [call.reshaped(x, [count]), call.reshaped(call.cast(src), [places.size])]
    both = call.emit(relax.op.concat(rows, 0))
    return call.reshaped(call.emit(taken(call, both, numbers, 0)), shape)


@operator("unfold")
def unfold(call: Call, x: Any, dimension: int, size: int, step: int) -> Any:
    """Windows along an axis; their elements are a new last axis."""
    rank = len(shape_of(x))
    if not rank:
        return call.reshaped(x, call.shape)
    axis = dimension % rank
    count = (shape_of(x)[axis] - size) // step + 1
    places = np.arange(count)[:, None] * step + np.arange(size)
    found = call.emit(taken(call, x, places, axis))
    order = [i for i in range(rank + 1) if i != axis + 1] + [axis + 1]
    return call.permuted(found, order)


def taken(call: Call, x: Any, places: Any, axis: int) -> Any:
    """Elements at known places of an axis."""
    array = known(x)
    if array is not None:
        return constant(np.take(array, places, axis))
    return relax.op.take(x, constant(np.ascontiguousarray(places, np.int32)), axis, "clip")


@operator("roll")
def roll(call: Call, x: Any, shifts: Sequence[int], dims: Sequence[int] = ()) -> Any:
    """The elements moved along axes; those that leave at the end come in at the front."""
    shape = shape_of(x)
    if not dims:
        x, dims = call.reshaped(x, [int(np.prod(shape))]), [0]
    for shift, axis in zip(shifts, dims, strict=True):
        extent = shape_of(x)[axis]
        count = shift % extent if extent else 0
        if count:
            parts = [
                call.part(x, axis % len(shape_of(x)), start, end)
                for start, end in ((extent - count, extent), (0, extent - count))
            ]
            x = call.emit(relax.op.concat(parts, axis % len(shape_of(x))))
    return call.reshaped(x, shape)
