"""Writes quantized operators in the forms that integer kernels are recognized in.

Signals of one dimension become images of one row: on the integers, where a reshape costs nothing.
Operators that only choose or move elements do so at the scale of their input; what is quantized to
another scale behind them is the same, since each element is rounded by itself.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from pytest_microtvm.compiler.frontends.onnx.graph import (
    Array,
    Builder,
    Graph,
    attribute,
    domain_of,
)
from pytest_microtvm.compiler.frontends.onnx.tables import BYTES

_ACTIVATIONS = frozenset({"Clip", "Relu"})
_PAIRS = ("dilations", "kernel_shape", "strides")


def shape_integers(graph: Graph) -> bool:
    """Rewrite what is quantized; whether anything was. Needs the types of `infer_types`."""
    found = False
    for node in list(graph.nodes):
        if domain_of(node):
            continue
        found = any(rewrite(graph, node) for rewrite in _REWRITES.get(node.op_type, ())) or found
    return found


class _Chain:
    """An operator between DequantizeLinear and QuantizeLinear, with activations behind it.

    Args:
        graph: Where it is.
        node: The operator.
    """

    def __init__(self, graph: Graph, node: Any) -> None:
        self._graph = graph
        made = graph.producers()
        readers: dict[str, list[Any]] = {}
        for reader in graph.nodes:
            for name in reader.input:
                readers.setdefault(name, []).append(reader)
        outputs = {value.name for value in graph.outputs}
        source = made.get(node.input[0])
        self.dequantize = source if source is not None and self._is(source, "Dequantize") else None
        self.quantize: Any = None
        name = node.output[0]
        while name not in outputs and len(readers.get(name, ())) == 1:
            [reader] = readers[name]
            if self._is(reader, "Quantize") and reader.input[0] == name:
                self.quantize = reader
                break
            if reader.op_type not in _ACTIVATIONS or reader.input[0] != name:
                break
            name = reader.output[0]

    def has_parameters(self, node: Any) -> bool:
        """Whether a node has the scale and the zero point of what the chain ends in."""
        constants = self._graph.constants
        pairs = zip(node.input[1:3], self.quantize.input[1:3], strict=False)
        known = [(constants.get(one), constants.get(other)) for one, other in pairs]
        return all(
            one is not None and other is not None and np.array_equal(one, other)
            for one, other in known
        )

    def _is(self, node: Any, kind: str) -> bool:
        """Whether a node quantizes or dequantizes by one scale that is known."""
        if node.op_type != f"{kind}Linear" or domain_of(node):
            return False
        known = [self._graph.constants.get(name) for name in node.input[1:3]]
        return len(known) == 2 and all(array is not None and array.size == 1 for array in known)


def _with_rows(graph: Graph, node: Any) -> bool:
    """A window over a signal as one over an image of one row."""
    shape = graph.shape(node.input[0])
    result = graph.shape(node.output[0])
    plain = attribute(node, "auto_pad", "NOTSET") == "NOTSET" and len(node.output) == 1
    plain = plain and attribute(node, "output_shape") is None
    if shape is None or result is None or len(shape) != 3 or not plain:
        return False
    chain = _Chain(graph, node)
    if chain.dequantize is None or chain.quantize is None:
        return False
    inputs = list(node.input)
    before = Builder(graph, node)
    weights = graph.producers().get(inputs[1]) if len(inputs) > 1 else None
    if len(inputs) > 1:
        known = None if weights is None else graph.constants.get(weights.input[0])
        if weights is None or known is None or weights.op_type != "DequantizeLinear":
            return False
        if attribute(weights, "axis", 1) not in (0, 1) or known.ndim != 3:
            return False
        wide = before.constant(known[:, :, None, :])
        axis = attribute(weights, "axis")
        inputs[1] = before.op("DequantizeLinear", wide, *list(weights.input)[1:], axis=axis)
    image = before.reshape(chain.dequantize.input[0], (shape[0], shape[1], 1, shape[2]))
    inputs[0] = before.op("DequantizeLinear", image, *list(chain.dequantize.input)[1:])
    for entry in node.attribute:
        if entry.name in _PAIRS:
            entry.ints.insert(0, 1)
        elif entry.name == "output_padding":
            entry.ints.insert(0, 0)
        elif entry.name == "pads":
            first, last = entry.ints
            del entry.ints[:]
            entry.ints.extend([0, first, 0, last])
    del node.input[:]
    node.input.extend(inputs)
    after = Builder(graph, chain.quantize)
    flat = chain.quantize.output[0]
    chain.quantize.output[0] = graph.fresh(f"{flat}_image")
    extents = after.constant(np.array(result, np.int64))
    after.emit("Reshape", [chain.quantize.output[0], extents], [flat])
    _insert(graph, node, before.nodes, before=True)
    _insert(graph, chain.quantize, after.nodes, before=False)
    return True


def _at_its_scale(graph: Graph, node: Any) -> bool:
    """Quantization to the scale of the input, before that to another one."""
    chain = _Chain(graph, node)
    first, last = chain.dequantize, chain.quantize
    if first is None or last is None or last.input[0] != node.output[0]:
        return False
    if chain.has_parameters(first) and graph.dtype(first.input[0]) == graph.dtype(last.output[0]):
        return False
    builder = Builder(graph, node)
    parameters = list(first.input[1:3])
    values = builder.op("QuantizeLinear", node.output[0], *parameters)
    real = builder.op("DequantizeLinear", values, *parameters)
    last.input[0] = real
    _insert(graph, node, builder.nodes, before=False)
    return True


def _parts_at_its_scale(graph: Graph, node: Any) -> bool:
    """Parts that are quantized as their concatenation is, where it is no matter of a table."""
    chain = _Chain(graph, node)
    last = chain.quantize
    if last is None or last.input[0] != node.output[0]:
        return False
    made = graph.producers()
    parameters = list(last.input[1:3])
    builder = Builder(graph, node)
    for position, name in enumerate(node.input):
        source = made.get(name)
        if source is not None and source.op_type == "DequantizeLinear" and not domain_of(source):
            if graph.dtype(source.input[0]) in BYTES or chain.has_parameters(source):
                continue
        elif name in graph.constants:
            continue
        values = builder.op("QuantizeLinear", name, *parameters)
        node.input[position] = builder.op("DequantizeLinear", values, *parameters)
    _insert(graph, node, builder.nodes, before=True)
    return bool(builder.nodes)


def _quantized_first(graph: Graph, node: Any) -> bool:
    """Quantization of the elements before they are moved, where a float is moved."""
    chain = _Chain(graph, node)
    last = chain.quantize
    if last is None or last.input[0] != node.output[0] or node.input[0] in graph.constants:
        return False
    source = graph.producers().get(node.input[0])
    if source is not None and source.op_type == "DequantizeLinear":
        return False
    builder = Builder(graph, node)
    parameters = list(last.input[1:3])
    values = builder.op("QuantizeLinear", node.input[0], *parameters)
    node.input[0] = builder.op("DequantizeLinear", values, *parameters)
    _insert(graph, node, builder.nodes, before=True)
    return True


def _on_integers(graph: Graph, node: Any) -> bool:
    """Integers moved in place of the floats that they stand for."""
    chain = _Chain(graph, node)
    first, last = chain.dequantize, chain.quantize
    if first is None or (first.input[0] in graph.constants and node.op_type not in _CHOICES):
        return False
    if node.op_type in _VIEWS and last is not None and last.input[0] == node.output[0]:
        return False  # a recognizer knows these, and whether images have their channels last
    parameters = list(first.input[1:3])
    before, after = Builder(graph, node), Builder(graph, node)
    if node.op_type == "Pad" and attribute(node, "mode", "constant") == "constant":
        value = _pad_value(graph, node)
        if value is None or value.any():
            return False
        # What stands for 0 is the zero point.
        zero = before.constant(graph.constants[parameters[1]].reshape(()))
        inputs = [*node.input, "", ""][:4]
        inputs[2] = zero
        del node.input[:]
        node.input.extend(inputs[: 4 if inputs[3] else 3])
    if node.op_type == "Resize" and attribute(node, "mode", "nearest") != "nearest":
        return False
    node.input[0] = first.input[0]
    for position, name in enumerate(node.output):
        if name:
            node.output[position] = graph.fresh(f"{name}_integers")
            after.emit("DequantizeLinear", [node.output[position], *parameters], [name])
    _insert(graph, node, before.nodes, before=True)
    _insert(graph, node, after.nodes, before=False)
    return True


def _pad_value(graph: Graph, node: Any) -> Array | None:
    """What a Pad puts around a tensor; None where it is not known."""
    if graph.opset < 11:
        return np.asarray(attribute(node, "value", 0.0))
    if len(node.input) < 3 or not node.input[2]:
        return np.zeros(1)
    return graph.constants.get(node.input[2])


def _undoes(graph: Graph, node: Any) -> bool:
    """A reshape that gives back what another one was given."""
    source = graph.producers().get(node.input[0])
    if source is None or source.op_type != "Reshape" or domain_of(source):
        return False
    shape = graph.shape(source.input[0])
    if shape is None or shape != graph.shape(node.output[0]):
        return False
    builder = Builder(graph, node)
    builder.result(source.input[0])
    position = next(i for i, other in enumerate(graph.nodes) if other is node)
    graph.nodes[position : position + 1] = builder.nodes
    return True


def _at_another_scale(graph: Graph, node: Any) -> bool:
    """Integers of 16 bits times or by a number: they stand for as many times more or less."""
    chain = _Chain(graph, node)
    first, last = chain.dequantize, chain.quantize
    number = graph.constants.get(node.input[1])
    if first is None or last is None or number is None or number.size != 1 or not number > 0:
        return False
    if graph.dtype(first.input[0]) in BYTES or graph.shape(first.output[0]) != graph.shape(
        node.output[0]
    ):
        return False
    builder = Builder(graph, node)
    scale = graph.constants[first.input[1]].astype(np.float64)
    scale = scale * number if node.op_type == "Mul" else scale / number
    parameters = [builder.constant(scale.astype(np.float32).reshape(())), first.input[2]]
    builder.result(builder.op("DequantizeLinear", first.input[0], *parameters))
    position = next(i for i, other in enumerate(graph.nodes) if other is node)
    graph.nodes[position : position + 1] = builder.nodes
    return True


def _insert(graph: Graph, node: Any, nodes: list[Any], *, before: bool) -> None:
    """Put nodes next to one."""
    position = next(i for i, other in enumerate(graph.nodes) if other is node)
    place = position if before else position + 1
    graph.nodes[place:place] = nodes


_CHOICES = frozenset({"Gather", "GatherElements", "GatherND"})
"""They read a table of constants, as an embedding does, by inputs."""
_VIEWS = frozenset({"Flatten", "Reshape", "Transpose"})
_MOVES = (
    "DepthToSpace",
    "Expand",
    "Flatten",
    "Gather",
    "GatherElements",
    "GatherND",
    "Pad",
    "Resize",
    "Slice",
    "SpaceToDepth",
    "Split",
    "Tile",
)
_REWRITES: dict[str, tuple[Callable[[Graph, Any], bool], ...]] = {
    "AveragePool": (_with_rows,),
    "Concat": (_parts_at_its_scale,),
    "Conv": (_with_rows,),
    "ConvTranspose": (_with_rows,),
    **dict.fromkeys(("Div", "Mul"), (_at_another_scale,)),
    "MaxPool": (_with_rows, _at_its_scale),
    "Reshape": (_undoes, _at_its_scale, _quantized_first, _on_integers),
    "Transpose": (_at_its_scale, _quantized_first, _on_integers),
    **dict.fromkeys(_MOVES, (_on_integers,)),
}
