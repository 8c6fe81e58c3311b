"""Brings an ONNX model to the form that is imported: static shapes and plain operators."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pytest_microtvm.compiler.frontends.onnx.attributes import leave_out_empty_lists
from pytest_microtvm.compiler.frontends.onnx.branches import resolve_branches
from pytest_microtvm.compiler.frontends.onnx.folding import drop_identities, fold
from pytest_microtvm.compiler.frontends.onnx.functions import inline_functions
from pytest_microtvm.compiler.frontends.onnx.graph import Graph, rewrite_nodes
from pytest_microtvm.compiler.frontends.onnx.halves import widen_halves
from pytest_microtvm.compiler.frontends.onnx.integers import shape_integers
from pytest_microtvm.compiler.frontends.onnx.order import order_nodes
from pytest_microtvm.compiler.frontends.onnx.rewrites import REWRITES
from pytest_microtvm.compiler.frontends.onnx.rewrites.quantized import widen_narrow_constants
from pytest_microtvm.compiler.frontends.onnx.sequences import resolve_sequences
from pytest_microtvm.compiler.frontends.onnx.shapes import fix_input_shapes, infer_types
from pytest_microtvm.compiler.frontends.onnx.tables import look_up
from pytest_microtvm.compiler.frontends.onnx.words import make_words_signed

_MOST_ROUNDS = 50
"""Each round takes away one level of what is nested; no model nests so deep."""


def normalise(model: Any, input_shapes: Mapping[str, tuple[int, ...]]) -> Graph:
    """Bring a model to the form that is imported.

    Args:
        model: An `onnx.ModelProto`.
        input_shapes: Of inputs whose shapes are open, by name.

    Raises:
        ModelError: Shapes do not fit, nodes cannot be put in order, or functions in place.
    """
    graph = Graph(inline_functions(model))
    order_nodes(graph)
    leave_out_empty_lists(graph)
    fix_input_shapes(graph, input_shapes)
    widen_halves(graph)
    for _ in range(_MOST_ROUNDS):
        infer_types(graph)
        changed = fold(graph)
        changed = resolve_branches(graph) or changed
        changed = resolve_sequences(graph) or changed
        changed = rewrite_nodes(graph, REWRITES) or changed
        changed = make_words_signed(graph) or changed
        drop_identities(graph)
        graph.remove_unused()
        if not changed:
            changed = shape_integers(graph)
        if not changed:
            break
        widen_halves(graph)
    widen_narrow_constants(graph.constants)
    infer_types(graph)
    look_up(graph)
    return graph
