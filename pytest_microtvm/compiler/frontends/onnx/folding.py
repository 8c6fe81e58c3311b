"""Computes what does not depend on the inputs, and drops what changes nothing."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from onnx import helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from pytest_microtvm.compiler.frontends.onnx.graph import (
    Array,
    Graph,
    attribute,
    dense_array,
    domain_of,
    subgraphs,
)

_KEPT = frozenset({"DequantizeLinear"})
"""Operators over constants that stay: integer kernels want the integers that are behind them."""

_NO_TENSORS = frozenset(
    {
        "Optional",
        "SequenceConstruct",
        "SequenceEmpty",
        "SequenceErase",
        "SequenceInsert",
        "SplitToSequence",
    }
)
"""Operators whose results are no tensors: `sequences` is for them."""

_QUANTIZATION = frozenset({"DequantizeLinear", "QuantizeLinear"})
_QUANTIZATION_OPSET = 19
"""The evaluator has them from this version of ONNX on, which says nothing else of integers."""

_RANDOM = frozenset(
    {
        "Bernoulli",
        "Multinomial",
        "RandomNormal",
        "RandomNormalLike",
        "RandomUniform",
        "RandomUniformLike",
    }
)

_MOST_ELEMENTS = 1 << 24
"""Larger results are not computed ahead."""

_MOST_GROWTH = 64
"""A result of more bytes than so many times the arguments' is left to the device."""


def fold(graph: Graph) -> bool:
    """Compute every node whose inputs are known; whether any was.

    Needs the types of `infer_types`.
    """
    nodes = []
    for node in graph.nodes:
        results = _known_results(graph, node)
        if results is None:
            nodes.append(node)
            continue
        for name, array in zip(node.output, results, strict=False):
            if name:
                graph.constants[name] = array
    found = len(nodes) < len(graph.nodes)
    graph.nodes = nodes
    _keep_outputs(graph)
    return found


def _keep_outputs(graph: Graph) -> None:
    """An output is made by a node, though its value is known."""
    made = graph.producers()
    for value in graph.outputs:
        if value.name in graph.constants and value.name not in made:
            source = graph.constant(graph.constants.pop(value.name), f"{value.name}_value")
            graph.nodes.append(helper.make_node("Identity", [source], [value.name]))


def _known_results(graph: Graph, node: Any) -> list[Array] | None:
    operator = node.op_type
    if domain_of(node):
        return None
    if operator in ("Shape", "Size"):
        shape = graph.shape(node.input[0])
        if shape is None:
            return None
        if operator == "Size":
            return [np.array(math.prod(shape), np.int64)]
        span = slice(attribute(node, "start", 0), attribute(node, "end", None))
        return [np.array(shape[span], np.int64)]
    if operator == "Constant":
        return [_constant(node)]
    if operator in _RANDOM or operator in _NO_TENSORS or subgraphs(node):
        return None
    names = [name for name in node.input if name]
    if any(name not in graph.constants for name in names):
        return None
    if operator in _KEPT and not _must_fold(graph, node):
        return None
    if operator == "Identity" and any(value.name == node.output[0] for value in graph.outputs):
        return None
    try:
        return _computed(graph, node)
    except Exception:  # noqa: BLE001  # whatever the evaluator lacks is left to the compiler
        return None


def _must_fold(graph: Graph, node: Any) -> bool:
    """Whether a DequantizeLinear is one that nothing but floats come from."""
    values = graph.constants[node.input[0]]
    is_integer = np.issubdtype(values.dtype, np.integer) or "int" in str(values.dtype)
    return bool(attribute(node, "block_size", 0)) or not is_integer


def _constant(node: Any) -> Array:
    entry = node.attribute[0]
    value = helper.get_attribute_value(entry)
    if entry.name == "value":
        array: Array = numpy_helper.to_array(value)
        return array
    kinds: dict[str, Any] = {"value_int": np.int64, "value_ints": np.int64}
    kinds |= {"value_float": np.float32, "value_floats": np.float32}
    if entry.name == "sparse_value":
        return dense_array(value)
    if entry.name not in kinds:
        return np.array(value, dtype=object)
    return np.array(value, kinds[entry.name])


def _computed(graph: Graph, node: Any) -> list[Array] | None:
    inputs = {name: graph.constants[name] for name in node.input if name}
    expected = [graph.shape(name) for name in node.output if name]
    sizes = [math.prod(shape) for shape in expected if shape is not None]
    if sizes and max(sizes) > _MOST_ELEMENTS:
        return None
    given = sum(array.size for array in inputs.values())
    if sizes and max(sizes) > _MOST_GROWTH * max(given, 64):
        return None
    opset = graph.opset
    if node.op_type in _QUANTIZATION:
        opset = max(opset, _QUANTIZATION_OPSET)
    evaluator = ReferenceEvaluator(node, opsets={"": opset})
    results = evaluator.run(None, inputs)
    arrays = []
    for name, result in zip(node.output, results, strict=False):
        dtype = graph.dtype(name) if name else None
        array = np.asarray(result)
        if dtype:
            wanted = helper.tensor_dtype_to_np_dtype(dtype)
            if array.dtype != wanted:
                return None
        arrays.append(array)
    return arrays


def drop_identities(graph: Graph) -> None:
    """Remove nodes that hand their input on."""
    outputs = {value.name for value in graph.outputs}
    renamed: dict[str, str] = {}
    nodes = []
    for node in graph.nodes:
        if node.op_type == "Identity" and not domain_of(node) and node.output[0] not in outputs:
            renamed[node.output[0]] = renamed.get(node.input[0], node.input[0])
            continue
        nodes.append(node)
    if renamed:
        graph.nodes = nodes
        rename(nodes, renamed)


def rename(nodes: list[Any], names: dict[str, str]) -> None:
    """Let nodes, and their subgraphs, read other values."""
    for node in nodes:
        for position, name in enumerate(node.input):
            if name in names:
                node.input[position] = names[name]
        for subgraph in subgraphs(node):
            rename(list(subgraph.node), names)
            for value in subgraph.output:
                if value.name in names:
                    value.name = names[value.name]
