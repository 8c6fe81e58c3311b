"""Attributes that are given as empty lists: they say as little as those that are left out."""

from __future__ import annotations

from typing import Any

import onnx

from pytest_microtvm.compiler.frontends.onnx.graph import Graph, subgraphs

_LISTS = {
    onnx.AttributeProto.FLOATS: "floats",
    onnx.AttributeProto.INTS: "ints",
    onnx.AttributeProto.STRINGS: "strings",
}
_MEANT = frozenset({"Constant", "Transpose", "Unsqueeze"})
"""Operators of which an empty list is what is computed, or of how many axes."""


def leave_out_empty_lists(graph: Graph) -> None:
    """Remove attributes that are empty lists, such as the axes of a reduction of all axes."""
    for node in graph.nodes:
        _leave_out(node)


def _leave_out(node: Any) -> None:
    if node.op_type not in _MEANT:
        kept = [entry for entry in node.attribute if not _is_empty(entry)]
        if len(kept) < len(node.attribute):
            del node.attribute[:]
            node.attribute.extend(kept)
    for body in subgraphs(node):
        for inner in body.node:
            _leave_out(inner)


def _is_empty(entry: Any) -> bool:
    field = _LISTS.get(entry.type)
    return field is not None and not entry.ref_attr_name and not getattr(entry, field)
