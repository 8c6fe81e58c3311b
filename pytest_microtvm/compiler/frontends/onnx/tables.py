"""Functions of one quantized element: 256 values, looked up.

What is between a DequantizeLinear of 8 bits and a QuantizeLinear of 8 bits, and computes element by
element with constants, is a function of a byte. Its table is computed by ONNX's own reference
implementation, so that it rounds as ONNX says.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper
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
BYTES = (TensorProto.INT8, TensorProto.UINT8)
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
        self._dequantizes: list[Any] = []
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
            if not any(node is other for other in self._dequantizes):
                self._dequantizes.append(node)
            return self.root not in self._graph.constants
        if node.op_type not in _ELEMENTWISE or not all(map(self.follow, filter(None, node.input))):
            return False
        if not any(node is other for other in self._nodes):
            self._nodes.append(node)
        return True

    def name(self) -> str:
        """What it is called: the operators in it."""
        operators = [node.op_type for node in self._nodes]
        return "_".join(operators[:3]).lower() or "requantize"

    def table(self, quantize: Any) -> Array | None:
        """What becomes of each value of the root, from the least on; None where it is not known."""
        graph = self._graph
        dtype, shape = graph.dtype(self.root), graph.shape(self.root)
        if not self.root or shape is None or shape != graph.shape(quantize.output[0]):
            return None
        if not self._nodes and self._is_identity(quantize):
            return None
        limits = np.iinfo(helper.tensor_dtype_to_np_dtype(dtype))
        values = np.arange(limits.min, limits.max + 1)
        reals = {node.output[0]: self._dequantized(node, values) for node in self._dequantizes}
        real = reals.get(quantize.input[0])
        if real is None:
            real = self._computed(quantize.input[0], reals)
        return None if real is None or real.size != 256 else self._quantized(quantize, real)

    def _computed(self, name: str, reals: dict[str, Array]) -> Array | None:
        """A value as ONNX's reference implementation computes it; None for what that lacks."""
        body = helper.make_graph(
            self._nodes,
            "function",
            [helper.make_tensor_value_info(real, TensorProto.FLOAT, [256]) for real in reals],
            [helper.make_empty_tensor_value_info(name)],
            [numpy_helper.from_array(array, known) for known, array in self._constants.items()],
        )
        imports = [helper.make_opsetid("", self._graph.opset)]
        model = helper.make_model(body, opset_imports=imports)
        try:
            with np.errstate(all="ignore"):
                [result] = ReferenceEvaluator(model).run(None, reals)
        except Exception:  # noqa: BLE001  # whatever the evaluator lacks is left to the compiler
            return None
        return np.asarray(result)

    def _dequantized(self, node: Any, values: Array) -> Array:
        scale, zero_point = (self._graph.constants[name].reshape(()) for name in node.input[1:3])
        real: Array = (values - int(zero_point)).astype(np.float32) * scale
        return real

    def _quantized(self, node: Any, real: Array) -> Array:
        scale, zero_point = (self._graph.constants[name].reshape(()) for name in node.input[1:3])
        limits = np.iinfo(zero_point.dtype)
        with np.errstate(all="ignore"):
            whole = np.rint(real.reshape(-1) / scale) + np.float32(zero_point)
        found: Array = np.clip(np.nan_to_num(whole), limits.min, limits.max)
        return found.astype(zero_point.dtype)

    def _is_identity(self, quantize: Any) -> bool:
        """Whether the output's scale and zero point are the input's."""
        pairs = zip(quantize.input[1:3], self._dequantizes[0].input[1:3], strict=True)
        return all(
            np.array_equal(self._graph.constants[one], self._graph.constants[other])
            for one, other in pairs
        )
