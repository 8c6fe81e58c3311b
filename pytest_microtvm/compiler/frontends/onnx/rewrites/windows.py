"""Convolutions and pools: padding and places that a model leaves to be found, written out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from onnx import TensorProto, helper

from pytest_microtvm.compiler.frontends.onnx.graph import Array, Builder, Rewrite
from pytest_microtvm.compiler.frontends.onnx.rewrites.quantized import attributes_of


def _padded(builder: Builder) -> bool:
    """A convolution or pool whose padding follows from its strides."""
    mode = builder.attribute("auto_pad", "NOTSET")
    shape = builder.graph.shape(builder.node.input[0])
    kernel = _kernel(builder)
    if mode == "NOTSET" or shape is None or kernel is None:
        return False
    strides, dilations = _pairs(builder, len(kernel))
    totals = [0] * len(kernel)
    if mode != "VALID":
        totals = [
            max(0, (-(-extent // step) - 1) * step + (taps - 1) * dilation + 1 - extent)
            for extent, taps, step, dilation in zip(
                shape[2:], kernel, strides, dilations, strict=True
            )
        ]
    _replace(builder, totals, is_upper=mode != "SAME_LOWER")
    return True


def _transposed(builder: Builder) -> bool:
    """A transposed convolution whose padding follows from the shape of its result."""
    mode = builder.attribute("auto_pad", "NOTSET")
    shape = builder.graph.shape(builder.node.input[0])
    kernel = _kernel(builder)
    wanted = builder.attribute("output_shape")
    if (mode == "NOTSET" and wanted is None) or shape is None or kernel is None:
        return False
    strides, dilations = _pairs(builder, len(kernel))
    more = builder.attribute("output_padding", [0] * len(kernel))
    full = [
        step * (extent - 1) + extra + (taps - 1) * dilation + 1
        for extent, taps, step, dilation, extra in zip(
            shape[2:], kernel, strides, dilations, more, strict=True
        )
    ]
    if wanted is None:
        same = [extent * step for extent, step in zip(shape[2:], strides, strict=True)]
        wanted = full if mode == "VALID" else same
    totals = [whole - extent for whole, extent in zip(full, wanted[-len(full) :], strict=True)]
    # What no input reaches is behind.
    behind = [extra + max(0, -total) for extra, total in zip(more, totals, strict=True)]
    totals = [max(0, total) for total in totals]
    given = {} if behind == more else {"output_padding": behind}
    _replace(builder, totals, is_upper=mode == "SAME_UPPER", **given)
    return True


def _kernel(builder: Builder) -> list[int] | None:
    """The extents of the window."""
    given = builder.attribute("kernel_shape")
    if given is None and len(builder.node.input) > 1:
        weights = builder.graph.shape(builder.node.input[1])
        given = None if weights is None else weights[2:]
    return None if given is None else list(given)


def _pairs(builder: Builder, rank: int) -> tuple[list[int], list[int]]:
    """Strides and dilations."""
    return tuple(list(builder.attribute(name, [1] * rank)) for name in ("strides", "dilations"))  # type: ignore[return-value]


def _replace(
    builder: Builder, totals: Sequence[int], *, is_upper: bool, **given: Sequence[int]
) -> None:
    """The node with its padding; what is odd goes behind (`is_upper`) or in front."""
    less = [total // 2 for total in totals]
    more = [total - half for total, half in zip(totals, less, strict=True)]
    pads = [*less, *more] if is_upper else [*more, *less]
    attributes = {**attributes_of(builder, "auto_pad", "output_shape", "pads"), **given}
    node = builder.node
    builder.emit(node.op_type, list(node.input), list(node.output), pads=pads, **attributes)


def _average(builder: Builder) -> bool:
    return _padded(builder) or _whole_average(builder)


def _whole_average(builder: Builder) -> bool:
    """An average over whole images is a mean, which integer kernels take to any scale."""
    shape = builder.graph.shape(builder.node.input[0])
    result = builder.graph.shape(builder.node.output[0])
    if shape is None or result is None or any(builder.attribute("pads", [])):
        return False
    whole = list(builder.attribute("kernel_shape")) == list(shape[2:])
    dilated = any(step != 1 for step in builder.attribute("dilations", []))
    if not whole or dilated or any(extent != 1 for extent in result[2:]):
        return False
    builder.result(builder.op("GlobalAveragePool", builder.node.input[0]))
    return True


def _max(builder: Builder) -> bool:
    return _padded(builder) or _max_with_places(builder)


def _max_with_places(builder: Builder) -> bool:
    """A MaxPool that tells where its results are, too, by the windows themselves."""
    names = builder.node.output
    source = builder.node.input[0]
    shape, result = (builder.graph.shape(name) for name in (source, names[0]))
    dtype = builder.graph.dtype(source)
    if len(names) < 2 or not names[1] or shape is None or result is None or dtype is None:
        return False
    places, inside = _taken(builder, shape[2:], result[2:])
    rows, image = math.prod(shape[:2]), math.prod(shape[2:])
    count, taps = places.shape
    flat = builder.reshape(source, (rows, image))
    taken = builder.op("Gather", flat, builder.constant(places), axis=1)
    if not inside.all():
        kind = helper.tensor_dtype_to_np_dtype(dtype)
        least = np.array(-np.inf if kind.kind == "f" else np.iinfo(kind).min, kind)
        taken = builder.op("Where", builder.constant(inside), taken, builder.constant(least))
    first = builder.op("ArgMax", taken, axis=2, keepdims=0)
    starts = builder.constant(np.arange(count, dtype=np.int64) * taps)
    if builder.attribute("storage_order", 0):
        by_column = np.arange(image).reshape(shape[:1:-1]).T.reshape(-1)
        places = by_column[places]
    where = builder.constant(places.reshape(-1))
    inner = builder.op("Gather", where, builder.op("Add", first, starts))
    offsets = builder.constant(np.arange(rows, dtype=np.int64)[:, None] * image)
    builder.result(builder.reshape(builder.reduce("ReduceMax", taken, [2], 0), result))
    builder.result(builder.reshape(builder.op("Add", inner, offsets), result), 1)
    return True


def _taken(builder: Builder, extents: Sequence[int], results: Sequence[int]) -> tuple[Array, Array]:
    """By window and tap, the place in an image, and whether it is inside of it."""
    kernel = _kernel(builder) or []
    strides, dilations = _pairs(builder, len(kernel))
    pads = builder.attribute("pads", [0] * 2 * len(kernel))
    places = np.zeros((1, 1), np.int64)
    inside = np.ones((1, 1), bool)
    for axis, extent in enumerate(extents):
        at = np.arange(results[axis])[:, None] * strides[axis] - pads[axis]
        at = at + np.arange(kernel[axis]) * dilations[axis]
        inner = np.clip(at, 0, extent - 1)
        places = _each_with_each(places * extent, inner, np.add)
        inside = _each_with_each(inside, inner == at, np.logical_and)
    # What is inside comes first, so that no tap outside is the first of equal ones.
    order = np.argsort(~inside, axis=1, kind="stable")
    return np.take_along_axis(places, order, 1), np.take_along_axis(inside, order, 1)


def _each_with_each(one: Array, other: Array, function: Any) -> Array:
    """A function of each two rows, and in them of each two columns, in order."""
    found: Array = function(one[:, None, :, None], other[None, :, None, :])
    return found.reshape(len(one) * len(other), -1)


def _columns_to_image(builder: Builder) -> bool:
    """Every element of the images as the sum of the columns' elements that belong there."""
    source = builder.node.input[0]
    shape = builder.graph.shape(source)
    known = [builder.graph.constants.get(name) for name in builder.node.input[1:3]]
    if shape is None or known[0] is None or known[1] is None:
        return False
    image, block = (list(map(int, extents)) for extents in known if extents is not None)
    taps, count = math.prod(block), shape[2]
    images = shape[0] * shape[1] // taps
    belonging: list[list[int]] = [[] for _ in range(math.prod(image))]
    places, inside = _column_places(builder, image, block)
    for column, (place, is_inside) in enumerate(
        zip(places.reshape(-1), inside.reshape(-1), strict=True)
    ):
        if is_inside:
            belonging[place].append(column)
    most = max(1, *map(len, belonging))
    nothing = taps * count
    taken = np.array([[*row, *[nothing] * (most - len(row))] for row in belonging], np.int64)
    rows = builder.reshape(source, (images, nothing))
    dtype = helper.tensor_dtype_to_np_dtype(builder.graph.dtype(source) or TensorProto.FLOAT)
    padded = builder.op("Concat", rows, builder.constant(np.zeros((images, 1), dtype)), axis=1)
    gathered = builder.op("Gather", padded, builder.constant(taken), axis=1)
    total = builder.reduce("ReduceSum", gathered, [2], 0)
    builder.result(builder.reshape(total, (shape[0], shape[1] // taps, *image)))
    return True


def _column_places(
    builder: Builder, image: Sequence[int], block: Sequence[int]
) -> tuple[Array, Array]:
    """By tap and column, the place in the image, and whether it is inside of it."""
    rank = len(image)
    strides, dilations = _pairs(builder, rank)
    pads = builder.attribute("pads", [0] * 2 * rank)
    places, inside = np.zeros((1, 1), np.int64), np.ones((1, 1), bool)
    for axis, extent in enumerate(image):
        reach = (block[axis] - 1) * dilations[axis] + 1
        steps = (extent + pads[axis] + pads[rank + axis] - reach) // strides[axis] + 1
        at = np.arange(block[axis])[:, None] * dilations[axis] - pads[axis]
        at = at + np.arange(steps) * strides[axis]
        inner = np.clip(at, 0, extent - 1)
        places = _each_with_each(places * extent, inner, np.add)
        inside = _each_with_each(inside, inner == at, np.logical_and)
    return places, inside


REWRITES: dict[str, Rewrite] = {
    "AveragePool": _average,
    "Col2Im": _columns_to_image,
    "Conv": _padded,
    "ConvTranspose": _transposed,
    "MaxPool": _max,
}
