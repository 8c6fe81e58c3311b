"""What lies where in a model's arena and when, read off the graph of its archive."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pytest_microtvm.executors import GRAPH
from pytest_microtvm.mlf.element_types import DTYPE_BYTES
from pytest_microtvm.mlf.graph import Entry, Graph, parse_graph
from pytest_microtvm.mlf.library import ModelLibrary, read_graph


@dataclass(frozen=True)
class Call:
    """One call of a kernel.

    Attributes:
        kernel: The kernel's name in the archive, or that of a mere copy.
        tensor_bytes: What it reads and writes: inputs, constants among them, and outputs.
        live_bytes: How much of the arena is in use during the call.
    """

    kernel: str
    tensor_bytes: int
    live_bytes: int


@dataclass(frozen=True)
class Block:
    """A part of the arena, from the first call that needs it to the last.

    Attributes:
        name: The tensor: its name where the model gives it one, or else the kernel that writes it.
        kind: "tensor" or "workspace".
        offset_bytes: Where it begins.
        size_bytes: Its size.
        first: The number of the first call, from 0 on.
        last: The number of the last one.
    """

    name: str
    kind: str
    offset_bytes: int
    size_bytes: int
    first: int
    last: int


@dataclass(frozen=True)
class Arena:
    """The arena over one inference.

    Attributes:
        calls: In the order in which they are made.
        blocks: What lies in it, in the order of its first use.
    """

    calls: tuple[Call, ...]
    blocks: tuple[Block, ...]

    def to_data(self) -> dict[str, Any]:
        """The same, of plain types."""
        return {
            "calls": [dict(vars(call)) for call in self.calls],
            "blocks": [dict(vars(block)) for block in self.blocks],
        }


def arena_of(library: ModelLibrary) -> Arena | None:
    """Read what lies in the arena of a model; None where its archive has no graph.

    Raises:
        ModelError: The archive cannot be read any more.
    """
    if GRAPH not in library.executors:
        return None
    workspaces = {kernel.name: kernel.workspace_bytes for kernel in library.kernels}
    return plan_of(parse_graph(read_graph(library)), workspaces)


def plan_of(graph: Graph, workspaces: Mapping[str, int]) -> Arena:
    """Work out from a graph when each of its tensors is alive.

    Args:
        graph: The graph.
        workspaces: Bytes of scratch memory, by the name of the kernel.
    """
    last = len(graph.nodes) - 1
    reads: dict[int, int] = dict.fromkeys(graph.heads, last)
    writes: dict[int, int] = {}
    names = {index: name for name, index in graph.sources.items()}
    for at, node in enumerate(graph.nodes):
        for index in node.inputs:
            reads[index] = max(at, reads.get(index, 0))
        for index in node.outputs:
            writes[index] = at
            names[index] = node.function
    blocks = [
        Block(
            names[index],
            "tensor",
            entry.offset_bytes,
            _size_of(entry),
            writes.get(index, 0),
            max(writes.get(index, 0), reads.get(index, 0)),
        )
        for index, entry in enumerate(graph.entries)
        if entry.offset_bytes is not None and index in names
    ]
    for at, node in enumerate(graph.nodes):
        size = workspaces.get(node.function, 0)
        if node.workspace_offset is not None and size:
            blocks.append(Block(node.function, "workspace", node.workspace_offset, size, at, at))
    calls = [
        Call(
            node.function,
            sum(_size_of(graph.entries[index]) for index in (*node.inputs, *node.outputs)),
            _covered(block for block in blocks if block.first <= at <= block.last),
        )
        for at, node in enumerate(graph.nodes)
    ]
    return Arena(tuple(calls), tuple(sorted(blocks, key=lambda block: block.first)))


def _size_of(entry: Entry) -> int:
    return math.prod(entry.shape) * DTYPE_BYTES[entry.dtype]


def _covered(blocks: Iterable[Block]) -> int:
    """Bytes that some block covers: a kernel that works in place has two tensors in one place."""
    covered = end = 0
    spans = sorted((block.offset_bytes, block.offset_bytes + block.size_bytes) for block in blocks)
    for start, stop in spans:
        covered += max(0, stop - max(start, end))
        end = max(end, stop)
    return covered
