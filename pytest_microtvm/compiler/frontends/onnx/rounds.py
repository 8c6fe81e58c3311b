"""How many rounds a Loop makes whose condition follows from counters."""

from __future__ import annotations

from typing import Any

import numpy as np
from onnx import helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from pytest_microtvm.compiler.frontends.onnx.graph import Array, Graph, read_names


def count_rounds(graph: Graph, node: Any, body: Any, most: int) -> int | None:
    """The rounds until the condition of a Loop is false; None where that is not known.

    Args:
        graph: Where the loop is.
        node: The Loop.
        body: What it repeats.
        most: Rounds, after which it ends, or is too long to be followed.
    """
    counters = _counters(graph, node, body)
    condition = body.output[0].name
    if counters is None:
        return None
    number, goes_on = (value.name for value in body.input[:2])
    values = {name: graph.constants[given] for name, (given, _) in counters.items()}
    results = [condition, *(made for _, made in counters.values())]
    evaluator = _evaluator(graph, body, results, [number, goes_on, *values])
    for step in range(most):
        given = {number: np.array(step, np.int64), goes_on: np.array(True), **values}
        try:
            found, *states = evaluator.run(None, given)
        except Exception:  # noqa: BLE001  # whatever the evaluator lacks leaves the count unknown
            return None
        if not bool(np.reshape(found, -1)[0]):
            return step + 1
        values = dict(zip(values, map(np.asarray, states), strict=True))
    return most


def _counters(graph: Graph, node: Any, body: Any) -> dict[str, tuple[str, str]] | None:
    """The states that follow from constants and from each other, if the condition does.

    Returns:
        By the name in the body, that of the constant it begins with and that of its next value.
    """
    names = [value.name for value in body.input]
    results = [value.name for value in body.output]
    states = {
        name: (given, made)
        for name, given, made in zip(names[2:], node.input[2:], results[1:], strict=False)
        if given in graph.constants
    }
    known = {*graph.constants, *names[:2], *(tensor.name for tensor in body.initializer)}
    while True:
        unknown = [
            name for name, (_, made) in states.items() if _read(body, [made]) - known - set(states)
        ]
        for name in unknown:
            del states[name]
        if not unknown:
            break
    return None if _read(body, results[:1]) - known - set(states) else states


def _needed(body: Any, results: list[str]) -> list[Any]:
    """The nodes of a body that results follow from, in order."""
    wanted, kept = set(results), []
    for node in reversed(body.node):
        if any(name in wanted for name in node.output):
            kept.append(node)
            wanted.update(read_names([node]))
    return kept[::-1]


def _read(body: Any, results: list[str]) -> set[str]:
    """What results follow from that the body does not compute."""
    nodes = _needed(body, results)
    made = {name for node in nodes for name in node.output}
    return {*results, *read_names(nodes)} - made


def _evaluator(graph: Graph, body: Any, results: list[str], inputs: list[str]) -> Any:
    nodes = _needed(body, results)
    constants: dict[str, Array] = {
        tensor.name: numpy_helper.to_array(tensor) for tensor in body.initializer
    }
    constants |= {n: graph.constants[n] for n in _read(body, results) if n in graph.constants}
    part = helper.make_graph(
        nodes,
        "round",
        [helper.make_empty_tensor_value_info(name) for name in inputs],
        [helper.make_empty_tensor_value_info(name) for name in results],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    imports = [helper.make_opsetid("", graph.opset)]
    return ReferenceEvaluator(helper.make_model(part, opset_imports=imports))
