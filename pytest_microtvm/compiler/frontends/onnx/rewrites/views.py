"""Operators that give a tensor another shape, or take parts of it."""

from __future__ import annotations

import numpy as np

from pytest_microtvm.compiler.frontends.onnx.graph import Builder, Rewrite


def _reshape(builder: Builder) -> bool:
    """A Reshape to the shape that the result has."""
    shape = builder.graph.shape(builder.node.output[0])
    if shape is None or 0 in shape:
        return False
    builder.result(builder.reshape(builder.node.input[0], shape))
    return True


def _split(builder: Builder) -> bool:
    """Slices, where not all parts are read: TVM would compute the others, too."""
    readers = builder.graph.readers()
    source = builder.node.input[0]
    shape = builder.graph.shape(source)
    parts = [builder.graph.shape(name) for name in builder.node.output]
    if shape is None or None in parts or all(name in readers for name in builder.node.output):
        return False
    axis = int(builder.attribute("axis", 0)) % len(shape)
    start = 0
    for position, part in enumerate(parts):
        stop = start + (part or ())[axis]
        if builder.node.output[position] in readers:
            builder.result(builder.slice(source, axis, start, stop), position)
        start = stop
    return True


def _slice(builder: Builder) -> bool:
    """A Slice of old models, by attributes; one axis after the other."""
    source = builder.node.input[0]
    shape = builder.graph.shape(source)
    starts, ends = builder.attribute("starts"), builder.attribute("ends")
    if shape is None or starts is None or ends is None:
        return False
    axes = builder.attribute("axes", list(range(len(starts))))
    for axis, start, end in zip(axes, starts, ends, strict=True):
        first, stop, _ = slice(start, end).indices(shape[axis])
        source = builder.slice(source, axis % len(shape), first, max(first, stop))
    builder.result(source)
    return True


def _pad(builder: Builder) -> bool:
    """A Pad that goes on at the other end: the elements that it takes, one axis after the other."""
    known = builder.graph.constants
    source, pads, axes = builder.node.input[0], builder.input(1), builder.input(3)
    shape = builder.graph.shape(source)
    if builder.attribute("mode", "constant") != "wrap" or shape is None or pads not in known:
        return False
    if axes is not None and axes not in known:
        return False
    places = range(len(shape)) if axes is None else [int(axis) for axis in known[axes].reshape(-1)]
    widths = known[pads].reshape(2, len(places))
    for axis, before, after in zip(places, *widths.tolist(), strict=True):
        taken = np.arange(-before, shape[axis] + after) % shape[axis]
        if before or after:
            source = builder.op("Gather", source, builder.constant(taken), axis=axis % len(shape))
    builder.result(source)
    return True


def _reverse_sequence(builder: Builder) -> bool:
    """The first steps of each sequence, as many as it has, the other way around."""
    source, lengths = builder.node.input
    shape = builder.graph.shape(source)
    if shape is None:
        return False
    time, batch = (int(builder.attribute(f"{name}_axis", i)) for i, name in enumerate(_SEQUENCE))
    along = [1] * len(shape)
    along[time] = shape[time]
    across = [1] * len(shape)
    across[batch] = shape[batch]
    steps = builder.constant(np.arange(shape[time], dtype=np.int64).reshape(along))
    ends = builder.reshape(lengths, across)
    one = builder.constant(np.array(1, np.int64))
    turned = builder.op("Sub", builder.op("Sub", ends, one), steps)
    places = builder.op("Where", builder.op("Less", steps, ends), turned, steps)
    wide = builder.op("Expand", places, builder.constant(np.array(shape, np.int64)))
    builder.result(builder.op("GatherElements", source, wide, axis=time))
    return True


_SEQUENCE = ("time", "batch")
"""Which axis is which, from the first on, unless attributes say otherwise."""


def _concat(builder: Builder) -> bool:
    """Without the parts that have no elements."""
    shapes = [builder.graph.shape(name) for name in builder.node.input]
    kept = [
        name
        for name, shape in zip(builder.node.input, shapes, strict=True)
        if shape is None or 0 not in shape
    ]
    if not kept or len(kept) == len(shapes):
        return False
    builder.result(builder.op("Concat", *kept, axis=builder.attribute("axis", 1)))
    return True


REWRITES: dict[str, Rewrite] = {
    "Concat": _concat,
    "Flatten": _reshape,
    "Pad": _pad,
    "ReverseSequence": _reverse_sequence,
    "Slice": _slice,
    "Split": _split,
    "Squeeze": _reshape,
    "Unsqueeze": _reshape,
}
