"""Functions of one quantized element: 256 values, looked up.

What is between a DequantizeLinear of 8 bits and a QuantizeLinear of 8 bits, and computes element by
element with constants, is a function of a byte. Its table is computed by ONNX's own reference
implementation, so that it rounds as ONNX says.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from pytest_microtvm.compiler.frontends.onnx.graph import Array, Graph, domain_of

DOMAIN = "microtvm"
"""Of the nodes that look up; their operator is "Lookup", their inputs the elements and a table."""

_ELEMENTWISE = frozenset(
    {
        "Abs",
        "Acos",
        "Acosh",
        "Add",
        "Asin",
        "Asinh",
        "Atan",
        "Atanh",
        "Ceil",
        "Celu",
        "Clip",
        "Cos",
        "Cosh",
        "Div",
        "Elu",
        "Erf",
        "Exp",
        "Floor",
        "Gelu",
        "HardSigmoid",
        "HardSwish",
        "Identity",
        "LeakyRelu",
        "Log",
        "Max",
        "Min",
        "Mish",
        "Mul",
        "Neg",
        "PRelu",
        "Pow",
        "Reciprocal",
        "Relu",
        "Round",
        "Selu",
        "Shrink",
        "Sigmoid",
        "Sign",
        "Sin",
        "Sinh",
        "Softplus",
        "Softsign",
        "Sqrt",
        "Sub",
        "Tan",
        "Tanh",
        "ThresholdedRelu",
    }
)
BYTES = (onnx.TensorProto.INT8, onnx.TensorProto.UINT8)
"""Element types of quantized tensors whose functions are tables."""


def look_up(graph: Graph) -> None:
    """Replace functions of a byte by tables. Needs the types of `infer_types`, and keeps them."""
    made = graph.producers()
    for position, quantize in enumerate(graph.nodes):
        if quantize.op_type != "QuantizeLinear" or domain_of(quantize):
            continue
        found = _Function(graph, made)
        if not found.is_scaled(quantize) or not found.follow(quantize.input[0]):
            continue
        table = found.table(quantize)
        if table is None:
            continue
        name = graph.constant(table, f"{quantize.name}_table")
        graph.nodes[position] = helper.make_node(
            "Lookup",
            [found.root, name],
            list(quantize.output),
            name=found.name(),
            domain=DOMAIN,
        )
    graph.remove_unused()


class _Function:
    """What computes a value of one quantized tensor, element by element.

    Args:
        graph: Where it is.
        made: The node that makes each value.
    """

    def __init__(self, graph: Graph, made: dict[str, Any]) -> None:
        self._graph = graph
        self._made = made
        self._nodes: list[Any] = []
        self._constants: dict[str, Array] = {}
        self._dequantize: Any = None
        self.root = ""
        """The quantized tensor."""

    def is_scaled(self, node: Any) -> bool:
        """Whether a node quantizes or dequantizes 8 bits by one scale that is known."""
        known = [self._graph.constants.get(name) for name in node.input[1:3]]
        if len(known) != 2 or any(array is None or array.size != 1 for array in known):
            return False
        is_quantize = node.op_type == "QuantizeLinear"
        integers = node.output[0] if is_quantize else node.input[0]
        return self._graph.dtype(integers) in BYTES

    def follow(self, name: str) -> bool:
        """Find what makes a value; whether that is a function of one byte."""
        known = self._graph.constants.get(name)
        if known is not None:
            self._constants[name] = known
            return known.size == 1
        node = self._made.get(name)
        if node is None or domain_of(node):
            return False
        if node.op_type == "DequantizeLinear" and self.is_scaled(node):
            if self.root not in ("", node.input[0]):
                return False
            self.root = node.input[0]
            if self._dequantize is None:
                self._dequantize = node
                self._nodes.append(node)
            elif node is not self._dequantize and not any(node is n for n in self._nodes):
                self._nodes.append(node)
            return self.root not in self._graph.constants
        if node.op_type not in _ELEMENTWISE or not all(map(self.follow, filter(None, node.input))):
            return False
        if not any(node is other for other in self._nodes):
            self._nodes.append(node)
        return True

    def name(self) -> str:
        """What it is called: the operators in it."""
        operators = [node.op_type for node in self._nodes if node is not self._dequantize]
        return "_".join(operators[:3]).lower() or "requantize"

    def table(self, quantize: Any) -> Array | None:
        """What becomes of each value of the root, from the least on; None where it is not known."""
        graph = self._graph
        dtype, shape = graph.dtype(self.root), graph.shape(self.root)
        if not self.root or shape is None or shape != graph.shape(quantize.output[0]):
            return None
        if len(self._nodes) == 1 and self._is_identity(quantize):
            return None
        constants = dict(self._constants)
        for node in (*self._nodes, quantize):
            constants |= {n: graph.constants[n] for n in node.input if n in graph.constants}
        body = helper.make_graph(
            [*self._nodes, quantize],
            "function",
            [helper.make_tensor_value_info(self.root, dtype, [256])],
            [helper.make_empty_tensor_value_info(quantize.output[0])],
            [numpy_helper.from_array(array, name) for name, array in constants.items()],
        )
        model = helper.make_model(body, opset_imports=[helper.make_opsetid("", graph.opset)])
        limits = np.iinfo(helper.tensor_dtype_to_np_dtype(dtype))
        values = np.arange(limits.min, limits.max + 1).astype(limits.dtype)
        try:
            with np.errstate(all="ignore"):
                [result] = ReferenceEvaluator(model).run(None, {self.root: values})
        except Exception:  # noqa: BLE001  # whatever the evaluator lacks is left to the compiler
            return None
        table: Array = np.asarray(result)
        return table.reshape(-1) if math.prod(table.shape) == 256 else None

    def _is_identity(self, quantize: Any) -> bool:
        """Whether the output's scale and zero point are the input's."""
        pairs = zip(quantize.input[1:3], self._dequantize.input[1:3], strict=True)
        return all(
            np.array_equal(self._graph.constants[one], self._graph.constants[other])
            for one, other in pairs
        )
