"""The order of nodes: each after those that make what it reads."""

from __future__ import annotations

from graphlib import CycleError, TopologicalSorter
from typing import Any

from pytest_microtvm.compiler.frontends.onnx.graph import Graph, read_names
from pytest_microtvm.errors import ModelError

_CURE = "export the model again, or check it with onnx.checker.check_model"


def order_nodes(graph: Graph) -> None:
    """Put the nodes in order, where they are not.

    Args:
        graph: It is changed.

    Raises:
        ModelError: Nothing makes what a node or an output is, something is made twice, or nodes
            wait for each other.
    """
    given = {value.name for value in graph.inputs} | set(graph.constants)
    places: dict[str, int] = {}
    for place, node in enumerate(graph.nodes):
        for name in filter(None, node.output):
            if name in places or name in given:
                raise ModelError(
                    f"{node.op_type} at {node.name!r} makes {name!r}, which there is already",
                    cure=_CURE,
                )
            places[name] = place
    for node in graph.nodes:
        for name in node.input:
            if name and name not in places and name not in given:
                raise ModelError(
                    f"{node.op_type} at {node.name!r} reads {name!r}, which nothing makes",
                    cure=_CURE,
                )
    for value in graph.outputs:
        if value.name not in places and value.name not in given:
            raise ModelError(f"nothing makes the output {value.name!r}", cure=_CURE)
    before = [_sources(node, places) for node in graph.nodes]
    if all(source < place for place, sources in enumerate(before) for source in sources):
        return
    try:
        order = list(TopologicalSorter(dict(enumerate(before))).static_order())
    except CycleError as error:
        node = graph.nodes[error.args[1][0]]
        raise ModelError(
            f"{node.op_type} at {node.name!r} waits for its own result", cure=_CURE
        ) from error
    graph.nodes = [graph.nodes[place] for place in order]


def _sources(node: Any, places: dict[str, int]) -> set[int]:
    """The places of the nodes whose results a node reads."""
    return {places[name] for name in read_names([node]) if name in places}
