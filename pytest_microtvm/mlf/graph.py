"""The graph of a model, as TVM's graph executor writes it: what to call, in which order, on what.

The format is TVM's own (nodes, arg_nodes, heads, attrs); docs/mlf.md describes it and what this
project adds. Nothing here runs anything.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from pytest_microtvm.errors import ModelError

COPY = "__copy"
"""The function that is not a kernel: copies its input to its output."""


@dataclass(frozen=True)
class Entry:
    """One tensor of the graph: an output of a node.

    Attributes:
        shape: Its shape.
        dtype: Its element type, as NumPy names it.
        offset_bytes: Its place in the model's arena; None for inputs, outputs and constants.
    """

    shape: tuple[int, ...]
    dtype: str
    offset_bytes: int | None


@dataclass(frozen=True)
class Node:
    """One call of a kernel.

    Attributes:
        index: Its place in the graph.
        name: Its name in the graph.
        function: The kernel's name, or `COPY`.
        inputs: Entries that it reads, in the order of its arguments.
        outputs: Entries that it writes; they follow the inputs in its arguments.
        workspace_offset: The place of its scratch memory in the arena; None where it has none.
    """

    index: int
    name: str
    function: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    workspace_offset: int | None = None


@dataclass(frozen=True)
class Graph:
    """A model as calls of kernels.

    Attributes:
        entries: All tensors.
        nodes: The calls, in an order in which they can be made.
        sources: Entries that no call writes, by the name of their node: the model's inputs, in its
            order, then its constants.
        heads: The entries that are the model's outputs, in its order.
    """

    entries: tuple[Entry, ...]
    nodes: tuple[Node, ...]
    sources: dict[str, int]
    heads: tuple[int, ...]


def parse_graph(text: str) -> Graph:
    """Read a graph.

    Args:
        text: The JSON of an MLF archive's executor-config/graph.

    Raises:
        ModelError: It is not a graph, or one that does not hang together.
    """
    try:
        return _parse(json.loads(text))
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise ModelError(
            f"the graph of the MLF archive is damaged: {error!r}", cure="compile the model again"
        ) from error


def _parse(document: dict[str, Any]) -> Graph:
    attributes = document["attrs"]
    shapes, dtypes = attributes["shape"][1], attributes["dltype"][1]
    offsets = attributes["storage_offset"][1]
    entries = tuple(
        Entry(tuple(map(int, shape)), str(dtype), int(offset) if offset >= 0 else None)
        for shape, dtype, offset in zip(shapes, dtypes, offsets, strict=True)
    )
    first = [int(row) for row in document["node_row_ptr"]]

    def entry(reference: list[int]) -> int:
        node, output, *_version = reference
        index = first[node] + output
        if not 0 <= index < first[node + 1] <= len(entries):
            raise ValueError(f"there is no output {output} of node {node}")
        return index

    nodes = []
    sources = {}
    for index, node in enumerate(document["nodes"]):
        if node["op"] == "null":
            sources[str(node["name"])] = entry([index, 0])
            continue
        outputs = tuple(range(first[index], first[index + 1]))
        workspace = node["attrs"].get("workspace_offset")
        nodes.append(
            Node(
                index,
                str(node["name"]),
                str(node["attrs"]["func_name"]),
                tuple(entry(reference) for reference in node["inputs"]),
                outputs,
                None if workspace is None else int(workspace),
            )
        )
    return Graph(entries, tuple(nodes), sources, tuple(map(entry, document["heads"])))
