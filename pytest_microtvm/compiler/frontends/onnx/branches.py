"""Branches and loops that are known when the model is compiled."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from pytest_microtvm.compiler.frontends.onnx.folding import rename
from pytest_microtvm.compiler.frontends.onnx.graph import (
    Builder,
    Graph,
    attribute,
    domain_of,
)
from pytest_microtvm.compiler.frontends.onnx.rounds import count_rounds

_MOST_NODES = 20_000
"""Loops that grow a model beyond are left alone."""


def resolve_branches(graph: Graph) -> bool:
    """Replace what branches or loops in a way that is known; whether anything was."""
    found = False
    nodes: list[Any] = []
    for node in graph.nodes:
        made = None
        if not domain_of(node) and node.op_type in _RESOLVERS:
            made = _RESOLVERS[node.op_type](graph, node)
        found = found or made is not None
        nodes += [node] if made is None else made
    graph.nodes = nodes
    return found


def _if(graph: Graph, node: Any) -> list[Any] | None:
    condition = graph.constants.get(node.input[0])
    if condition is None:
        return None
    branch = attribute(node, "then_branch" if condition.reshape(-1)[0] else "else_branch")
    nodes, results = _inlined(graph, branch, {})
    return nodes + _handed_on(results, node.output)


def _scan(graph: Graph, node: Any) -> list[Any] | None:
    """A Scan whose number of steps is known, step after step."""
    body = attribute(node, "body")
    scanned = int(attribute(node, "num_scan_inputs"))
    states = list(node.input[: len(node.input) - scanned])
    sources = node.input[len(states) :]
    axes = list(attribute(node, "scan_input_axes", [0] * scanned))
    shapes = [graph.shape(source) for source in sources]
    if graph.opset < 9 or any(shape is None for shape in shapes) or not scanned:
        return None
    steps = {shape[axis] for shape, axis in zip(shapes, axes, strict=True) if shape is not None}
    [count] = steps
    if count * len(body.node) > _MOST_NODES:
        return None
    builder = Builder(graph, node)
    directions = list(attribute(node, "scan_input_directions", [0] * scanned))
    collected: list[list[str]] = [[] for _ in body.output[len(states) :]]
    for step in range(count):
        for_step = []
        for source, axis, direction in zip(sources, axes, directions, strict=True):
            place = count - 1 - step if direction else step
            index = builder.constant(np.array(place, np.int64))
            for_step.append(builder.op("Gather", source, index, axis=axis))
        results = _called(builder, body, [*states, *for_step])
        states, made = results[: len(states)], results[len(states) :]
        for rows, row in zip(collected, made, strict=True):
            rows.append(row)
    output_axes = list(attribute(node, "scan_output_axes", [0] * len(collected)))
    output_directions = list(attribute(node, "scan_output_directions", [0] * len(collected)))
    for position, state in enumerate(states):
        builder.result(state, position)
    for position, rows in enumerate(collected):
        ordered = rows[::-1] if output_directions[position] else rows
        axis = output_axes[position]
        if axis < 0:
            return None
        stacked = [builder.unsqueeze(row, [axis]) for row in ordered]
        builder.result(builder.op("Concat", *stacked, axis=axis), len(states) + position)
    return builder.nodes


def _loop(graph: Graph, node: Any) -> list[Any] | None:
    """A Loop whose number of rounds is known."""
    body = attribute(node, "body")
    limits = [*node.input[:2], "", ""][:2]
    known = [graph.constants.get(name) for name in limits]
    if any(name and array is None for name, array in zip(limits, known, strict=True)):
        return None
    states = list(node.input[2:])
    most = _MOST_NODES // max(1, len(body.node))
    rounds, starts = known
    count = most + 1 if rounds is None else int(rounds.reshape(-1)[0])
    if starts is not None and not starts.reshape(-1)[0]:
        count = 0
    if count > 0 and not _goes_on(body):
        found = count_rounds(graph, node, body, min(count, most + 1))
        if found is None:
            return None
        count = found
    is_empty = count < 1 and len(body.output) > 1 + len(states)
    if is_empty or count > most or not all(states):
        return None
    builder = Builder(graph, node)
    collected: list[list[str]] = [[] for _ in body.output[1 + len(states) :]]
    for step in range(count):
        fixed = [builder.constant(np.array(step, np.int64)), builder.constant(np.array(True))]
        results = _called(builder, body, [*fixed, *states])[1:]
        states, made = results[: len(states)], results[len(states) :]
        for rows, row in zip(collected, made, strict=True):
            rows.append(row)
    for position, state in enumerate(states):
        builder.result(state, position)
    for position, rows in enumerate(collected):
        stacked = [builder.unsqueeze(row, [0]) for row in rows]
        builder.result(builder.op("Concat", *stacked, axis=0), len(states) + position)
    return builder.nodes


def _goes_on(body: Any) -> bool:
    """Whether the body of a Loop hands its condition on, or says that it is true."""
    name = body.output[0].name
    made = {output: inner for inner in body.node for output in inner.output}
    while name in made and made[name].op_type == "Identity":
        name = made[name].input[0]
    if len(body.input) > 1 and name == body.input[1].name:
        return True
    for tensor in body.initializer:
        if tensor.name == name:
            return bool(numpy_helper.to_array(tensor).reshape(-1)[0])
    if name in made and made[name].op_type == "Constant":
        value = attribute(made[name], "value")
        return value is not None and bool(numpy_helper.to_array(value).reshape(-1)[0])
    return False


def _called(builder: Builder, body: Any, arguments: Sequence[str]) -> list[str]:
    """A body's nodes with its inputs given; returns the names of its results."""
    given = {value.name: name for value, name in zip(body.input, arguments, strict=True)}
    nodes, results = _inlined(builder.graph, body, given)
    builder.nodes += nodes
    return results


def _inlined(graph: Graph, body: Any, names: Mapping[str, str]) -> tuple[list[Any], list[str]]:
    """Copies of a body's nodes under new names, and the names of its results."""
    copy = onnx.GraphProto()
    copy.CopyFrom(body)
    renamed = dict(names)
    for tensor in copy.initializer:
        renamed[tensor.name] = graph.constant(numpy_helper.to_array(tensor), tensor.name)
    _rename_inner(graph, copy, renamed)
    nodes = list(copy.node)
    return nodes, [value.name for value in copy.output]


def _rename_inner(graph: Graph, body: Any, renamed: dict[str, str]) -> None:
    for node in body.node:
        for position, name in enumerate(node.output):
            if name:
                renamed[name] = graph.fresh(name)
                node.output[position] = renamed[name]
        node.name = graph.fresh(node.name or node.op_type)
    rename(list(body.node), renamed)
    for value in body.output:
        value.name = renamed.get(value.name, value.name)


def _handed_on(sources: Sequence[str], targets: Sequence[str]) -> list[Any]:
    return [
        helper.make_node("Identity", [source], [target])
        for source, target in zip(sources, targets, strict=True)
        if target
    ]


_RESOLVERS = {"If": _if, "Loop": _loop, "Scan": _scan}
