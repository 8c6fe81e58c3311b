"""Unsigned quantized integers of 16 bits as signed ones, which integer kernels are for.

An element and its zero point both become less by 32768: what they stand for stays the same.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from pytest_microtvm.compiler.frontends.onnx.graph import Graph, domain_of, read_names

_MIDDLE = 1 << 15


def make_words_signed(graph: Graph) -> bool:
    """Rewrite what QuantizeLinear makes for DequantizeLinear alone; whether anything was."""
    others = {value.name for value in graph.outputs}
    dequantizes: dict[str, list[Any]] = {}
    for node in graph.nodes:
        if _is(node, "DequantizeLinear") and node.input[2:3]:
            dequantizes.setdefault(node.input[0], []).append(node)
        else:
            others.update(read_names([node]))
    made = graph.producers()
    found = False
    for name, readers in dequantizes.items():
        source = made.get(name)
        if name in others or (source is not None and not _is(source, "QuantizeLinear")):
            continue
        nodes = readers if source is None else [source, *readers]
        zero_points = [node.input[2] if len(node.input) > 2 else "" for node in nodes]
        if any(not _is_word(graph, each) for each in zero_points):
            continue
        if source is None and not _is_word(graph, name):
            continue
        for node, zero_point in zip(nodes, zero_points, strict=True):
            node.input[2] = _signed(graph, zero_point)
            kept = [entry for entry in node.attribute if entry.name != "output_dtype"]
            del node.attribute[:]
            node.attribute.extend(kept)
        if source is None:
            changed = _signed(graph, name)
            for node in readers:
                node.input[0] = changed
        found = True
    return found


def _is(node: Any, operator: str) -> bool:
    return bool(node.op_type == operator and not domain_of(node))


def _is_word(graph: Graph, name: str) -> bool:
    array = graph.constants.get(name)
    return array is not None and array.dtype == np.uint16


def _signed(graph: Graph, name: str) -> str:
    """A constant, made signed; returns its name."""
    shifted = graph.constants[name].astype(np.int32) - _MIDDLE
    return graph.constant(shifted.astype(np.int16), name)
