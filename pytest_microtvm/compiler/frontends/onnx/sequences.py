"""Sequences and optional values whose elements are known: these take their place."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from pytest_microtvm.compiler.frontends.onnx.graph import Builder, Graph, domain_of

Elements = dict[str, list[str]]
"""The tensors in each sequence that is known, by its name."""


def resolve_sequences(graph: Graph) -> bool:
    """Replace what reads sequences by what reads their elements; whether anything was.

    Args:
        graph: It is changed. What makes a sequence stays until nothing reads it.
    """
    known: Elements = {}
    found = False
    nodes: list[Any] = []
    readers = graph.readers()
    for node in graph.nodes:
        builder = Builder(graph, node)
        if domain_of(node) or not any(name in readers for name in node.output):
            nodes.append(node)
        elif node.op_type in _MAKERS:
            elements = _MAKERS[node.op_type](builder, known)
            if elements is not None:
                known[node.output[0]] = elements
            nodes += [*builder.nodes, node]
        elif node.op_type in _READERS and _READERS[node.op_type](builder, known):
            nodes += builder.nodes
            found = True
        else:
            nodes.append(node)
    if found:
        graph.nodes = nodes
    return found


def _empty(builder: Builder, known: Elements) -> list[str] | None:
    return []


def _construct(builder: Builder, known: Elements) -> list[str] | None:
    return list(builder.node.input)


def _same(builder: Builder, known: Elements) -> list[str] | None:
    return known.get(builder.node.input[0]) if builder.node.input else None


def _insert(builder: Builder, known: Elements) -> list[str] | None:
    before = known.get(builder.node.input[0])
    place = _place(builder, 2, 0 if before is None else len(before))
    if before is None or place is None:
        return None
    return [*before[:place], builder.node.input[1], *before[place:]]


def _erase(builder: Builder, known: Elements) -> list[str] | None:
    before = known.get(builder.node.input[0])
    place = _place(builder, 1, -1)
    if not before or place is None:
        return None
    del (kept := list(before))[place]
    return kept


def _split(builder: Builder, known: Elements) -> list[str] | None:
    """Slices along an axis: of given extents, of one that repeats, or of 1, which is dropped."""
    source, given = builder.node.input[0], builder.input(1)
    shape = builder.graph.shape(source)
    extents = builder.graph.constants.get(given or "")
    if shape is None or (given is not None and extents is None):
        return None
    axis = int(builder.attribute("axis", 0)) % len(shape)
    if extents is None:
        widths = [1] * shape[axis]
    elif extents.ndim:
        widths = extents.tolist()
    else:
        step = int(extents)
        widths = [min(step, shape[axis] - at) for at in range(0, shape[axis], step)]
    starts = np.cumsum([0, *widths]).tolist()
    parts = [
        builder.slice(source, axis, start, start + width)
        for start, width in zip(starts, widths, strict=False)
    ]
    if given is None and not int(builder.attribute("keepdims", 1)):
        parts = [builder.squeeze(part, [axis]) for part in parts]
    return parts


def _at(builder: Builder, known: Elements) -> bool:
    elements = known.get(builder.node.input[0])
    place = _place(builder, 1, 0)
    if elements is None or place is None or not -len(elements) <= place < len(elements):
        return False
    builder.result(elements[place])
    return True


def _length(builder: Builder, known: Elements) -> bool:
    elements = known.get(builder.node.input[0])
    if elements is None:
        return False
    builder.result(builder.constant(np.array(len(elements), np.int64)))
    return True


def _concatenated(builder: Builder, known: Elements) -> bool:
    elements = known.get(builder.node.input[0])
    axis = int(builder.attribute("axis", 0))
    if not elements:
        return False
    if int(builder.attribute("new_axis", 0)):
        elements = [builder.unsqueeze(element, [axis]) for element in elements]
    builder.result(builder.op("Concat", *elements, axis=axis))
    return True


def _element(builder: Builder, known: Elements) -> bool:
    """What an optional value holds."""
    elements = known.get(builder.node.input[0])
    is_tensor = builder.graph.dtype(builder.node.input[0]) is not None
    if elements is None and not is_tensor:
        return False
    builder.result(builder.node.input[0] if elements is None else elements[0])
    return True


def _optional(builder: Builder, known: Elements) -> list[str] | None:
    source = builder.input(0)
    return [source] if source is not None and builder.graph.dtype(source) is not None else None


def _place(builder: Builder, position: int, default: int) -> int | None:
    """An index among the inputs, if it is known."""
    name = builder.input(position)
    if name is None:
        return default
    given = builder.graph.constants.get(name)
    return None if given is None else int(given.reshape(-1)[0])


_MAKERS: dict[str, Callable[[Builder, Elements], list[str] | None]] = {
    "Identity": _same,
    "Optional": _optional,
    "SequenceConstruct": _construct,
    "SequenceEmpty": _empty,
    "SequenceErase": _erase,
    "SequenceInsert": _insert,
    "SplitToSequence": _split,
}
_READERS: dict[str, Callable[[Builder, Elements], bool]] = {
    "ConcatFromSequence": _concatenated,
    "OptionalGetElement": _element,
    "SequenceAt": _at,
    "SequenceLength": _length,
}
