"""An ONNX graph that passes rewrite: nodes, constants and what is known of types."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper, numpy_helper

Array = npt.NDArray[Any]

DEFAULT_DOMAINS = ("", "ai.onnx")
"""How ONNX names the domain of its own operators."""

_FIELDS = ("node", "initializer", "sparse_initializer", "value_info", "input", "output")
_NEW_OPSET = 13
"""From it on, axes of Squeeze, Unsqueeze and ReduceSum are inputs."""


@dataclass(frozen=True)
class ValueType:
    """What is known of a value.

    Args:
        dtype: `onnx.TensorProto.DataType`.
        shape: None where the rank is not known; extents that are not known are None.
    """

    dtype: int
    shape: tuple[int | None, ...] | None

    @property
    def extents(self) -> tuple[int, ...] | None:
        """The shape, if all of it is known."""
        if self.shape is None or any(extent is None for extent in self.shape):
            return None
        return tuple(extent for extent in self.shape if extent is not None)


class Graph:
    """An ONNX model that passes change in place.

    Args:
        model: An `onnx.ModelProto`; it is not changed.
    """

    def __init__(self, model: Any) -> None:
        self.replace_model(model)

    def replace_model(self, model: Any) -> None:
        """Begin anew, or go on with what another pass made of `proto()`."""
        self._model = onnx.ModelProto()
        self._model.CopyFrom(model)
        graph = self._model.graph
        self.constants: dict[str, Array] = {}
        for tensor in graph.initializer:
            self.constants[tensor.name] = numpy_helper.to_array(tensor)
        for sparse in graph.sparse_initializer:
            self.constants[sparse.values.name] = dense_array(sparse)
        self.inputs = [value for value in graph.input if value.name not in self.constants]
        self.outputs = list(graph.output)
        self.nodes: list[Any] = list(graph.node)
        for node in self.nodes:
            # Messages name nodes.
            node.name = node.name or next(iter(node.output), "")
        self.types: dict[str, ValueType] = {}
        self._taken = set(self.constants) | {value.name for value in graph.input}
        self._taken |= {name for node in self.nodes for name in node.output}

    @property
    def opset(self) -> int:
        """The version of ONNX's own operators."""
        for entry in self._model.opset_import:
            if entry.domain in DEFAULT_DOMAINS:
                return int(entry.version)
        return 1

    def fresh(self, stem: str) -> str:
        """A name that no value has."""
        name, number = stem, 0
        while name in self._taken:
            number += 1
            name = f"{stem}_{number}"
        self._taken.add(name)
        return name

    def constant(self, array: Any, stem: str = "constant") -> str:
        """A new constant; returns its name."""
        name = self.fresh(stem)
        self.constants[name] = np.asarray(array)
        return name

    def readers(self) -> dict[str, int]:
        """How often each value is read, by nodes, their subgraphs and the outputs."""
        counts: dict[str, int] = {}
        for name in (*read_names(self.nodes), *(value.name for value in self.outputs)):
            counts[name] = counts.get(name, 0) + 1
        return counts

    def producers(self) -> dict[str, Any]:
        """The node that makes each value."""
        return {name: node for node in self.nodes for name in node.output if name}

    def shape(self, name: str) -> tuple[int, ...] | None:
        """The shape of a value, if it is known."""
        if name in self.constants:
            return self.constants[name].shape
        found = self.types.get(name)
        return None if found is None else found.extents

    def dtype(self, name: str) -> int | None:
        """The `TensorProto.DataType` of a value, if it is known."""
        if name in self.constants:
            return int(helper.np_dtype_to_tensor_dtype(self.constants[name].dtype))
        found = self.types.get(name)
        return None if found is None else found.dtype

    def proto(self) -> Any:
        """The model as it is now, without annotations of intermediate values."""
        model = onnx.ModelProto()
        model.CopyFrom(self._model)
        graph = model.graph
        for field in _FIELDS:
            graph.ClearField(field)
        graph.node.extend(self.nodes)
        graph.input.extend(self.inputs)
        graph.output.extend(self.outputs)
        graph.initializer.extend(
            numpy_helper.from_array(array, name) for name, array in self.constants.items()
        )
        return model

    def remove_unused(self) -> None:
        """Drop nodes and constants that nothing reads."""
        wanted = {value.name for value in self.outputs}
        kept = []
        for node in reversed(self.nodes):
            if any(name in wanted for name in node.output):
                kept.append(node)
                wanted.update(read_names([node]))
        self.nodes = kept[::-1]
        self.constants = {k: v for k, v in self.constants.items() if k in wanted}


class Builder:
    """Makes nodes that take the place of one.

    Args:
        graph: They go there, by `Graph.nodes`.
        node: The one that they replace; its name begins theirs.
    """

    def __init__(self, graph: Graph, node: Any) -> None:
        self.graph = graph
        self.node = node
        self.nodes: list[Any] = []
        self._stem = node.name or node.op_type

    def attribute(self, name: str, default: Any = None) -> Any:
        """An attribute of the node."""
        return attribute(self.node, name, default)

    def input(self, position: int) -> str | None:
        """An input of the node; None when it is left out."""
        names = self.node.input
        return names[position] if position < len(names) and names[position] else None

    def constant(self, array: Any) -> str:
        """A constant; returns its name."""
        return self.graph.constant(array, f"{self._stem}_constant")

    def emit(
        self,
        operator: str,
        inputs: Sequence[str | None],
        outputs: Sequence[str] | int = 1,
        **attributes: Any,
    ) -> list[str]:
        """A node; returns the names of its outputs.

        Args:
            operator: Of ONNX's own domain.
            inputs: None where one is left out.
            outputs: Their names, or how many are new.
            attributes: Of the node.
        """
        if isinstance(outputs, int):
            outputs = [self.graph.fresh(f"{self._stem}_{operator}") for _ in range(outputs)]
        given = [name or "" for name in inputs]
        while given and not given[-1]:
            given.pop()
        name = f"{self._stem}_{operator}_{len(self.nodes)}"
        known = {key: value for key, value in attributes.items() if value is not None}
        self.nodes.append(helper.make_node(operator, given, list(outputs), name=name, **known))
        return list(outputs)

    def op(self, operator: str, *inputs: str | None, **attributes: Any) -> str:
        """A node with one new output; returns its name."""
        return self.emit(operator, inputs, **attributes)[0]

    def result(self, source: str, position: int = 0) -> None:
        """Let an output of the node be `source`."""
        if position < len(self.node.output) and self.node.output[position]:
            self.emit("Identity", [source], [self.node.output[position]])

    # Operators whose arguments moved from attributes to inputs.

    def squeeze(self, source: str, axes: Sequence[int]) -> str:
        """Axes of extent 1 removed."""
        return self._with_axes("Squeeze", source, axes)

    def unsqueeze(self, source: str, axes: Sequence[int]) -> str:
        """Axes of extent 1 added."""
        return self._with_axes("Unsqueeze", source, axes)

    def reshape(self, source: str, shape: Iterable[int]) -> str:
        """The elements in another shape."""
        return self.op("Reshape", source, self.constant(np.array(list(shape), np.int64)))

    def transpose(self, source: str, order: Sequence[int]) -> str:
        """The axes in another order."""
        return self.op("Transpose", source, perm=list(order))

    def reduce(self, operator: str, source: str, axes: Sequence[int], keepdims: int = 1) -> str:
        """ReduceSum, ReduceMean, ReduceMax, ReduceMin, ReduceProd."""
        since = _NEW_OPSET if operator == "ReduceSum" else 18
        if self.graph.opset >= since:
            given = self.constant(np.array(list(axes), np.int64))
            return self.op(operator, source, given, keepdims=keepdims)
        return self.op(operator, source, axes=list(axes), keepdims=keepdims)

    def slice(self, source: str, axis: int, start: int, stop: int, step: int = 1) -> str:
        """Part of one axis; Python's rules, but that `start` and `stop` are inside of it."""
        if self.graph.opset < 10:  # whose Slice has attributes in place of inputs
            return self.op("Gather", source, self.constant(np.arange(start, stop, step)), axis=axis)
        limits = [np.array([number], np.int64) for number in (start, stop, axis, step)]
        return self.op("Slice", source, *(self.constant(limit) for limit in limits))

    def cast(self, source: str, dtype: int) -> str:
        """The elements as another type."""
        return self.op("Cast", source, to=int(dtype))

    def _with_axes(self, operator: str, source: str, axes: Sequence[int]) -> str:
        if self.graph.opset >= _NEW_OPSET:
            return self.op(operator, source, self.constant(np.array(list(axes), np.int64)))
        return self.op(operator, source, axes=list(axes))


Rewrite = Callable[[Builder], bool]
"""Replaces a node by what it emits; False when it leaves the node alone."""


def rewrite_nodes(graph: Graph, rewrites: dict[tuple[str, str], Rewrite]) -> bool:
    """Let each node be replaced by its rewrite; whether any was.

    Args:
        graph: It is changed.
        rewrites: By domain ("" for ONNX's own) and operator.
    """
    found = False
    nodes: list[Any] = []
    for node in graph.nodes:
        rewrite = rewrites.get((domain_of(node), node.op_type))
        builder = Builder(graph, node)
        if rewrite is not None and rewrite(builder):
            nodes += builder.nodes
            found = True
        else:
            nodes.append(node)
    graph.nodes = nodes
    return found


def domain_of(node: Any) -> str:
    """The domain of a node's operator, "" for ONNX's own."""
    return "" if node.domain in DEFAULT_DOMAINS else str(node.domain)


def attribute(node: Any, name: str, default: Any = None) -> Any:
    """An attribute of a node as a Python value; text is str."""
    for entry in node.attribute:
        if entry.name == name:
            value = helper.get_attribute_value(entry)
            return value.decode() if isinstance(value, bytes) else value
    return default


def dense_array(sparse: Any) -> Array:
    """What a sparse tensor stands for, its zeros too."""
    values = numpy_helper.to_array(sparse.values)
    indices = numpy_helper.to_array(sparse.indices)
    dense = np.zeros(tuple(sparse.dims), values.dtype)
    if indices.ndim == 1:
        dense.reshape(-1)[indices] = values
    else:
        dense[tuple(indices.T)] = values
    return dense


def read_names(nodes: Iterable[Any]) -> list[str]:
    """The values that nodes and their subgraphs read, once for each time."""
    found = []
    for node in nodes:
        found += [name for name in node.input if name]
        for subgraph in subgraphs(node):
            found += read_names(subgraph.node)
            found += [value.name for value in subgraph.output]
    return found


def subgraphs(node: Any) -> list[Any]:
    """The graphs in a node's attributes."""
    found = []
    for entry in node.attribute:
        if entry.type == onnx.AttributeProto.GRAPH:
            found.append(entry.g)
        elif entry.type == onnx.AttributeProto.GRAPHS:
            found += list(entry.graphs)
    return found
