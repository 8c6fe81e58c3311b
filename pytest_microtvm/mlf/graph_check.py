"""The graph of an archive: checks that it hangs together (see docs/mlf.md).

Like the rest of an archive, it may come from anywhere.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

from pytest_microtvm.mlf.element_types import ALIGNMENT_BYTES, DTYPE_BYTES

MAX_DIMENSIONS = 32

_MAX_NUMBER = 2**31 - 1
_FUNCTION = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,255}\Z")
_DECIMAL = re.compile(r"[0-9]{1,10}\Z")


def check_graph(
    document: Any, input_bytes: Sequence[int], output_bytes: Sequence[int], arena_bytes: int
) -> dict[str, int]:
    """Check a graph against what else is known of its model.

    Args:
        document: The graph, as `json.loads` gives it.
        input_bytes: The sizes of the model's inputs, in its order.
        output_bytes: The sizes of the model's outputs, in its order.
        arena_bytes: The size of the model's arena.

    Returns:
        Its nodes, entries, steps (nodes that call) and their arguments, counted under these names.

    Raises:
        ValueError: It is not what TVM's graph executor reads, or not the graph of this model; the
            message goes on from "a graph ".
    """
    nodes = _list(document, "nodes")
    sizes = _entry_sizes(_object(document, "attrs"), arena_bytes)
    first = _list(document, "node_row_ptr")
    _check(all(map(_is_number, first)), "whose node_row_ptr does not hold numbers")
    _check(
        len(first) == len(nodes) + 1 and sorted(first) == first and first[0] == 0,
        "whose node_row_ptr does not fit its nodes",
    )
    _check(first[-1] == len(sizes), "whose attributes do not fit its nodes")
    sources = []
    num_arguments = 0
    for index, node in enumerate(nodes):
        inputs = [_entry(reference, first, index) for reference in _list(node, "inputs")]
        num_outputs = first[index + 1] - first[index]
        _check(isinstance(node.get("name"), str), "with a node that has no name")
        if node.get("op") == "null":
            _check(not inputs and num_outputs == 1, "with a source that is not a single tensor")
            sources.append(index)
        else:
            _check_call(node, len(inputs), num_outputs, arena_bytes)
            num_arguments += len(inputs) + num_outputs
    _check(document.get("arg_nodes") == sources, "whose arg_nodes are not its inputs")
    found = [sizes[first[index]] for index in sources[: len(input_bytes)]]
    _check(found == list(input_bytes), "whose inputs are not those of the model")
    heads = [sizes[_entry(reference, first, len(nodes))] for reference in _list(document, "heads")]
    _check(heads == list(output_bytes), "whose outputs are not those of the model")
    return {
        "nodes": len(nodes),
        "entries": len(sizes),
        "steps": len(nodes) - len(sources),
        "arguments": num_arguments,
    }


def _entry_sizes(attributes: dict[str, Any], arena_bytes: int) -> list[int]:
    """Bytes of every entry."""
    columns = [
        _attribute(attributes, name) for name in ("dltype", "shape", "storage_id", "storage_offset")
    ]
    _check(len(set(map(len, columns))) == 1, "with attributes of different lengths")
    sizes = []
    for dtype, shape, storage, offset in zip(*columns, strict=True):
        _check(isinstance(dtype, str) and dtype in DTYPE_BYTES, "with an unknown element type")
        _check(_is_shape(shape), "with a wrong shape")
        _check(_is_number(storage), "with a wrong storage_id")
        size_bytes = math.prod(shape) * DTYPE_BYTES[dtype]
        _check(0 < size_bytes <= _MAX_NUMBER, "with a tensor of impossible size")
        _check(
            offset == -1 or _fits(offset, size_bytes, arena_bytes), "with a tensor off its arena"
        )
        sizes.append(size_bytes)
    return sizes


def _check_call(node: dict[str, Any], num_inputs: int, num_outputs: int, arena_bytes: int) -> None:
    _check(node.get("op") == "tvm_op", "with an unknown kind of node")
    attributes = _object(node, "attrs")
    function = attributes.get("func_name")
    _check(
        isinstance(function, str) and _FUNCTION.match(function) is not None,
        "with a node that calls no function",
    )
    _check(
        attributes.get("num_inputs") == str(num_inputs)
        and attributes.get("num_outputs") == str(num_outputs),
        "with a node that counts its arguments wrongly",
    )
    offset = attributes.get("workspace_offset", "0")
    _check(
        isinstance(offset, str)
        and _DECIMAL.match(offset) is not None
        and _fits(int(offset), 0, arena_bytes),
        "with a workspace off its arena",
    )


def _entry(reference: Any, first: Sequence[int], num_nodes: int) -> int:
    """The entry that a reference [node, output, 0] means, among those of the first nodes.

    Args:
        reference: The reference.
        first: The first entry of each node.
        num_nodes: How many nodes may be meant.
    """
    _check(
        isinstance(reference, list) and len(reference) == 3 and all(map(_is_number, reference)),
        "with a malformed reference",
    )
    node, output, _ = reference
    _check(
        node < num_nodes and first[node] + output < first[node + 1],
        "with a reference to what is not there yet",
    )
    return int(first[node] + output)


def _fits(offset: Any, size_bytes: int, arena_bytes: int) -> bool:
    return (
        _is_number(offset)
        and offset % ALIGNMENT_BYTES == 0
        and int(offset) + size_bytes <= arena_bytes
    )


def _is_number(value: Any) -> bool:
    return type(value) is int and 0 <= value <= _MAX_NUMBER


def _is_shape(value: Any) -> bool:
    return isinstance(value, list) and len(value) <= MAX_DIMENSIONS and all(map(_is_number, value))


def _attribute(attributes: dict[str, Any], name: str) -> list[Any]:
    """The values in ["list_TYPE", [VALUE, ...]]."""
    pair = _list(attributes, name)
    _check(len(pair) == 2 and isinstance(pair[1], list), f"whose {name} is not a list")
    return list(pair[1])


def _object(owner: Any, key: str) -> dict[str, Any]:
    value = owner.get(key) if isinstance(owner, dict) else None
    _check(isinstance(value, dict), f"without {key}")
    return dict(value or {})


def _list(owner: Any, key: str) -> list[Any]:
    value = owner.get(key) if isinstance(owner, dict) else None
    _check(isinstance(value, list), f"without {key}")
    return list(value or [])


def _check(is_good: bool, what: str) -> None:
    if not is_good:
        raise ValueError(what)
