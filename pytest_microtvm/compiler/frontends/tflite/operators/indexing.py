"""Parts of tensors, by places that are known or computed."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from tvm import relax

from pytest_microtvm.compiler.frontends.tflite.call import Call, Operand, constant
from pytest_microtvm.compiler.frontends.tflite.registry import operator
from pytest_microtvm.compiler.quantized.tflite_specs import UpdateSlice

_MASKS = ("BeginMask", "EndMask", "EllipsisMask", "NewAxisMask", "ShrinkAxisMask")


def _part(data: Operand, starts: Sequence[int], ends: Sequence[int], steps: Sequence[int]) -> Any:
    """The elements from `starts` to before `ends`; an end of None is the very first element."""
    if data.value is not None:
        slices = tuple(slice(s, e, t) for s, e, t in zip(starts, ends, steps, strict=True))
        return data.value[slices]
    result = data.expression
    forward = [axis for axis, step in enumerate(steps) if step > 0]
    axes = [
        axis
        for axis in forward
        if (starts[axis], ends[axis], steps[axis]) != (0, data.shape[axis], 1)
    ]
    if axes:
        bounds = [[values[axis] for axis in axes] for values in (starts, ends, steps)]
        result = relax.op.strided_slice(result, axes, *bounds)
    for axis, step in enumerate(steps):
        if step < 0:
            places = np.arange(data.shape[axis], dtype=np.int32)[starts[axis] : ends[axis] : step]
            result = relax.op.take(result, constant(places.copy()), axis=axis, mode="clip")
    return result


@operator("SLICE", versions=6, options="SliceOptions")
def slice_(call: Call) -> Any:
    """A box of a tensor."""
    data = call.input(0)
    call.require_same_quantization(data)
    if call.input(1).value is None:
        return _box_at(call, data, call.input(1))
    starts = call.integers(1, "where it begins")
    sizes = call.integers(2, "its size")
    ends = [
        extent if size == -1 else start + size
        for start, size, extent in zip(starts, sizes, data.shape, strict=True)
    ]
    shape = tuple(end - start for start, end in zip(starts, ends, strict=True))
    if 0 in shape:
        return np.zeros(shape, data.dtype)
    return _part(data, starts, ends, [1] * data.rank)


def _box_at(call: Call, data: Operand, start: Operand) -> Any:
    """A box of a known size whose place is computed; it is moved so that it fits."""
    sizes = call.output_shape(2)
    if len(sizes) != data.rank or not all(
        0 < size <= extent for size, extent in zip(sizes, data.shape, strict=True)
    ):
        raise call.refusal(f"it takes a box of {sizes} from {data.shape} at a computed place")
    result = call.emitted(data.expression)
    for axis, size in enumerate(sizes):
        if size < data.shape[axis]:
            place = _place(call, start, axis)
            last = constant(np.array([data.shape[axis] - size], start.dtype))
            numbers = relax.op.add(
                call.emitted(relax.op.minimum(place, last)),
                constant(np.arange(size, dtype=start.dtype)),
            )
            result = call.emitted(relax.op.take(result, call.emitted(numbers), axis, mode="clip"))
    return result


def _place(call: Call, places: Operand, number: int) -> Any:
    """One of the places that a tensor names, not below 0."""
    place = relax.op.strided_slice(call.emitted(places.expression), [0], [number], [number + 1])
    zero = constant(np.zeros(1, places.dtype))
    return call.emitted(relax.op.maximum(call.emitted(place), zero))


def _elements_at(call: Call, data: Operand, numbers: Mapping[int, int]) -> Operand:
    """The one element of each axis that a computed place names; the axes stay.

    Args:
        call: The operator.
        data: What it takes them of.
        numbers: By the number of a place, its axis; places below 0 count from the end.
    """
    result, places = call.emitted(data.expression), call.input(1)
    for number, axis in numbers.items():
        found = call.emitted(places.expression)
        place = call.emitted(relax.op.strided_slice(found, [0], [number], [number + 1]))
        zero = constant(np.zeros(1, places.dtype))
        extent = constant(np.array([data.shape[axis]], places.dtype))
        wrapped = call.emitted(relax.op.add(place, extent))
        place = call.emitted(relax.op.where(relax.op.less(place, zero), wrapped, place))
        result = call.emitted(relax.op.take(result, place, axis, mode="clip"))
    return Operand(data.tensor, result)


@operator("STRIDED_SLICE", versions=8, options="StridedSliceOptions", reads=(*_MASKS, "Offset"))
def strided_slice(call: Call) -> Any:
    """Python's slices, with a bit for each dimension that says more."""
    data = call.input(0)
    call.require_same_quantization(data)
    steps = call.integers(3, "where it steps")
    begin_mask, end_mask, ellipsis, new_axis, shrink = (call.options[mask] for mask in _MASKS)
    is_offset = bool(call.options["Offset"])
    begins, ends = (
        _bounds(call, position, what, masks)
        for position, what, masks in (
            (1, "begins", begin_mask | ellipsis | new_axis | shrink),
            (2, "ends", end_mask | ellipsis | new_axis | shrink),
        )
    )
    if call.input(1).value is None:
        axes = _axes_of(data.rank, len(steps), ellipsis, new_axis)
        taken = shrink & ~begin_mask
        data = _elements_at(call, data, {n: a for n, a in axes.items() if taken >> n & 1})
    places: list[Any] = []
    for number, (begin, end, step) in enumerate(zip(begins, ends, steps, strict=True)):
        bit = 1 << number
        if ellipsis & bit:
            named = sum(1 for i in range(len(begins)) if i != number and not new_axis >> i & 1)
            places += [slice(None)] * (data.rank - named)
        elif new_axis & bit:
            places.append(None)
        elif shrink & bit:
            if step < 0:
                raise call.refusal("it takes one element by a step below 0")
            places.append(0 if begin_mask & bit else begin)
        else:
            stop = begin + end if is_offset else end
            places.append(
                slice(None if begin_mask & bit else begin, None if end_mask & bit else stop, step)
            )
    return _indexed(call, data, places)


def _bounds(call: Call, position: int, what: str, unread: int) -> list[int]:
    """Where slices begin or end; zeros where that is computed, which bits say is not read."""
    count = len(call.integers(3, "where it steps"))
    if call.input(position).value is None and unread & (1 << count) - 1 == (1 << count) - 1:
        return [0] * count
    return call.integers(position, f"where it {what}")


def _axes_of(rank: int, count: int, ellipsis: int, new_axis: int) -> dict[int, int]:
    """The axis that each place is for which is one."""
    axes, axis = {}, 0
    for number in range(count):
        if ellipsis >> number & 1:
            after = sum(1 for n in range(number + 1, count) if not new_axis >> n & 1)
            axis = rank - after
        elif not new_axis >> number & 1:
            axes[number] = axis
            axis += 1
    return axes


def _indexed(call: Call, data: Operand, places: Sequence[Any]) -> Any:
    """What Python's indexing with slices, integers and None gives."""
    starts, ends, steps, shape = [], [], [], []
    axis = 0
    for place in [*places, *[slice(None)] * (data.rank - sum(p is not None for p in places))]:
        if place is None:
            shape.append(1)
            continue
        if axis >= data.rank:
            raise call.refusal(f"it takes more axes than {data.shape} has")
        extent = data.shape[axis]
        if not isinstance(place, slice):
            place = place + extent if place < 0 else place
            if not 0 <= place < extent:
                raise call.refusal(f"it takes element {place} of {extent}")
            start, end, step = place, place + 1, 1
        else:
            start, end, step = place.indices(extent)
            shape.append(len(range(start, end, step)))
        starts.append(start)
        ends.append(end if end >= 0 else None)
        steps.append(step)
        axis += 1
    if 0 in shape:
        raise call.refusal("its result has no elements", "export the model without empty tensors")
    part = _part(data, starts, ends, steps)  # type: ignore[arg-type]
    if isinstance(part, np.ndarray):
        return np.array(part.reshape(shape), order="C")
    return relax.op.reshape(part, shape)


@operator("SPLIT", versions=4, options="SplitOptions", reads=("NumSplits",))
def split(call: Call) -> Any:
    """Equal parts along an axis."""
    data = call.input(1)
    [axis] = call.integers(0, "its axis")
    count = len(call.outputs)
    if call.options["NumSplits"] not in (0, count) or data.shape[axis % data.rank] % count:
        raise call.refusal(f"it makes {count} parts of {data.shape}")
    return _parts(call, data, axis % data.rank, [data.shape[axis % data.rank] // count] * count)


@operator("SPLIT_V", versions=2, options="SplitVOptions", reads=("NumSplits",))
def split_v(call: Call) -> Any:
    """Parts of given sizes along an axis; one may be -1: what is left."""
    data = call.input(0)
    sizes = call.integers(1, "the size of its parts")
    [axis] = call.integers(2, "its axis")
    axis %= data.rank
    if call.options["NumSplits"] not in (0, len(sizes)) or len(sizes) != len(call.outputs):
        raise call.refusal(f"it makes {len(call.outputs)} parts of {sizes}")
    if -1 in sizes:
        sizes[sizes.index(-1)] = data.shape[axis] - sum(sizes) - 1
    return _parts(call, data, axis, sizes)


def _parts(call: Call, data: Operand, axis: int, sizes: Sequence[int]) -> list[Any]:
    call.require_same_quantization(data)
    if sum(sizes) != data.shape[axis]:
        raise call.refusal(f"it makes parts of {list(sizes)} of {data.shape}")
    ends = np.cumsum(sizes).tolist()
    starts = [end - size for end, size in zip(ends, sizes, strict=True)]
    if data.value is not None:
        return [np.take(data.value, range(s, e), axis) for s, e in zip(starts, ends, strict=True)]
    source = call.emitted(data.expression)
    return [
        relax.op.strided_slice(source, [axis], [s], [e]) for s, e in zip(starts, ends, strict=True)
    ]


@operator("GATHER", versions=7, options="GatherOptions", reads=("Axis", "BatchDims"))
def gather(call: Call) -> Any:
    """Slices along an axis by their numbers; leading axes may go along with theirs."""
    data, places = call.input(0), call.input(1)
    call.require_same_quantization(data)
    axis = call.options["Axis"] % data.rank
    batch = call.options["BatchDims"]
    batch = batch + places.rank if batch < 0 else batch
    if not 0 <= batch <= min(axis, places.rank) or data.shape[:batch] != places.shape[:batch]:
        raise call.refusal(f"it gathers {places.shape} of {data.shape} with {batch} batch axes")
    if batch == 0:
        if data.value is not None and places.value is not None:
            return np.take(data.value, places.value, axis)
        # An index beyond the end of an axis would be read from elsewhere in memory.
        return relax.op.take(data.expression, places.expression, axis=axis, mode="clip")
    # The batches are laid one after the other, and each place says in which of them it is.
    count, extent = math.prod(data.shape[:batch]), data.shape[axis]
    middle = list(data.shape[batch:axis])
    rest = list(data.shape[axis + 1 :])
    moved = relax.op.reshape(data.expression, [count, math.prod(middle), extent, math.prod(rest)])
    moved = relax.op.reshape(
        relax.op.permute_dims(moved, [0, 2, 1, 3]), [count * extent, math.prod(middle + rest)]
    )
    taken = math.prod(places.shape[batch:])
    numbers = relax.op.reshape(places.expression, [count, taken])
    offsets = np.arange(count, dtype=places.dtype)[:, None] * extent
    numbers = relax.op.add(numbers, constant(offsets))
    found = relax.op.take(moved, numbers, axis=0, mode="clip")
    shaped = relax.op.reshape(found, [count, taken, math.prod(middle), math.prod(rest)])
    ordered = relax.op.permute_dims(shaped, [0, 2, 1, 3])
    shape = [*data.shape[:batch], *middle, *places.shape[batch:], *rest]
    return relax.op.reshape(ordered, shape)


@operator("GATHER_ND", versions=5, options="GatherNdOptions")
def gather_nd(call: Call) -> Any:
    """Elements, or slices, by places of several axes."""
    data, places = call.input(0), call.input(1)
    call.require_same_quantization(data)
    depth = places.shape[-1]
    if depth > data.rank:
        raise call.refusal(f"it gathers by {depth} indices of {data.shape}")
    return relax.op.gather_nd(data.expression, relax.op.astype(places.expression, "int64"))


@operator("DYNAMIC_UPDATE_SLICE", versions=3, options="DynamicUpdateSliceOptions")
def dynamic_update_slice(call: Call) -> Any:
    """A tensor with a box of it replaced; the box is moved so that it fits."""
    data, update, start = call.operands
    call.require_same_quantization(data, update)
    spec = UpdateSlice(data.shape, update.shape, data.dtype, start.dtype)
    inputs = [operand.expression for operand in (data, update, start)]
    return call.kernel("dynamic_update_slice", spec, inputs, data.shape)


@operator("SCATTER_ND", options="ScatterNdOptions")
def scatter_nd(call: Call) -> Any:
    """Zeros, with values added at given places."""
    places, updates = call.input(0), call.input(1)
    shape = call.output_shape(2)
    zeros = constant(np.zeros(shape, updates.dtype))
    return relax.op.scatter_nd(zeros, places.expression, updates.expression, "add")


@operator("REVERSE_SEQUENCE", options="ReverseSequenceOptions", reads=("SeqDim", "BatchDim"))
def reverse_sequence(call: Call) -> Any:
    """The first elements of each sequence turned around."""
    data, lengths = call.input(0), call.known(1, "the length of its sequences")
    axis, batch = call.options["SeqDim"] % data.rank, call.options["BatchDim"] % data.rank
    extent = data.shape[axis]
    places = np.arange(extent)[None, :].repeat(data.shape[batch], 0)
    for row, length in zip(places, lengths.reshape(-1), strict=True):
        row[: int(length)] = row[: int(length)][::-1]
    shape = [1] * data.rank
    shape[batch], shape[axis] = data.shape[batch], extent
    spread = places.reshape(shape) if batch < axis else places.T.reshape(shape)
    index = np.broadcast_to(spread, data.shape).astype(np.int64)
    return relax.op.gather_elements(data.expression, constant(index.copy()), axis)
