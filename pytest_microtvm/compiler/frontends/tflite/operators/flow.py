"""Operators that run subgraphs: loops, branches, and names for several operators."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from pytest_microtvm.compiler.frontends.tflite.call import Call, Operand
from pytest_microtvm.compiler.frontends.tflite.open_lists import LIST
from pytest_microtvm.compiler.frontends.tflite.registry import Result, operator
from pytest_microtvm.compiler.quantized.given import Branch, Loop

_FIXED = "export the model so that shapes are the same in each step and in both branches"


@operator("WHILE", options="WhileOptions", reads=("CondSubgraphIndex", "BodySubgraphIndex"))
def while_loop(call: Call) -> Result:
    """Steps as long as a condition holds; what no step changes is read where it is."""
    condition, body = call.options["CondSubgraphIndex"], call.options["BodySubgraphIndex"]
    operands = call.operands
    graph = _graph(call, body, operands)
    changed = [
        position
        for position, (before, after) in enumerate(zip(graph.inputs, graph.outputs, strict=True))
        if before != after
    ]
    if not changed or len(_graph(call, condition, operands).outputs) != 1:
        raise call.refusal("its subgraphs are not those of a loop")
    operands = _with_items(call, body, operands, changed)
    # A value that changes is not known, whatever it begins with.
    inputs = [
        _unknown(call, operand) if position in changed else operand
        for position, operand in enumerate(operands)
    ]
    holds, [(shape, dtype)] = call.subgraphs.converted(condition, inputs)
    step, types = call.subgraphs.converted(body, inputs, changed)
    wanted = [(inputs[position].shape, inputs[position].dtype) for position in changed]
    if types != wanted:
        raise call.refusal("its values change their shapes from step to step", _FIXED)
    if dtype != "bool" or len(shape) > 1 or shape not in ((), (1,)):
        raise call.refusal("its condition is not one boolean")
    given = [position for position, operand in enumerate(inputs) if operand.value is None]
    spec = Loop(holds, step, tuple(given.index(position) for position in changed))
    made = call.kernel_of_several(
        "loop", spec, [inputs[position].expression for position in given], types
    )
    results: list[Any] = [
        operand.expression if operand.value is None else operand.value for operand in operands
    ]
    for position, result in zip(changed, made, strict=True):
        results[position] = result
    return results


@operator("IF", options="IfOptions", reads=("ThenSubgraphIndex", "ElseSubgraphIndex"))
def branch(call: Call) -> Result:
    """One of two subgraphs."""
    then, otherwise = call.options["ThenSubgraphIndex"], call.options["ElseSubgraphIndex"]
    condition, *operands = call.operands
    for index in (then, otherwise):
        _graph(call, index, operands)
    first, types = call.subgraphs.converted(then, operands)
    second, others = call.subgraphs.converted(otherwise, operands)
    if types != others:
        raise call.refusal("its branches make values of different shapes", _FIXED)
    spec = Branch(first, second, condition.dtype)
    inputs = [condition.expression]
    inputs += [operand.expression for operand in operands if operand.value is None]
    return call.kernel_of_several("branch", spec, inputs, types)


@operator(
    "STABLEHLO_COMPOSITE",
    options="StableHLOCompositeOptions",
    reads=("DecompositionSubgraphIndex",),
    ignored={
        "Name": "what the operators of its subgraph do together",
        "CompositeAttributes": "its subgraph has them",
        "CompositeAttributesFormat": "its subgraph has them",
        "Version": "of the name",
    },
)
def composite(call: Call) -> Result:
    """A subgraph under a name, by which an interpreter may know a kernel for all of it."""
    index, operands = call.options["DecompositionSubgraphIndex"], call.operands
    _graph(call, index, operands)
    return call.subgraphs.inlined(index, operands)


def _graph(call: Call, index: int, inputs: Sequence[Operand]) -> Any:
    """A subgraph that takes the inputs."""
    try:
        graph = call.subgraphs.graph(index)
    except ValueError as error:
        raise call.refusal(str(error)) from error
    tensors = [graph.tensors[position] for position in graph.inputs]
    if any(
        tensor.dtype not in (operand.dtype, LIST)
        for tensor, operand in zip(tensors, inputs, strict=True)
    ):
        raise call.refusal("its subgraphs take other values than it is given")
    return graph


def _with_items(
    call: Call, body: int, operands: Sequence[Operand], changed: Sequence[int]
) -> list[Operand]:
    """The operands, lists of zeros for those lists whose items only a step of the loop tells."""
    found = list(operands)
    lists = [position for position in changed if operands[position].open_list is not None]
    if not lists:
        return found
    inputs = [
        _unknown(call, operand) if n in changed and n not in lists else operand
        for n, operand in enumerate(operands)
    ]
    _, types = call.subgraphs.converted(body, inputs, lists)
    for position, (shape, dtype) in zip(lists, types, strict=True):
        tensor = replace(operands[position].tensor, dtype=dtype)
        found[position] = Operand(tensor, np.zeros(shape, dtype))
    return found


def _unknown(call: Call, operand: Operand) -> Operand:
    """An operand whose values are taken for unknown."""
    return Operand(operand.tensor, call.emitted(operand.expression))
