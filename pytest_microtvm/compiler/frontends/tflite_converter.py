"""Extends TVM's TFLite importer.

A model with dynamic range quantization keeps its weights as integers with a scale, and computes in
float. TFLite quantizes the activations on the fly; here the weights become the floats that they
stand for, which is the same function without that rounding.

Where TVM's importer leaves out what a model says, it is put in: the beta of SOFTMAX, biases of
int64, the shape that FULLY_CONNECTED takes its input for, and how TFLite rounds the bounds of
activations.

Operators that only move elements work on quantized tensors as on any other, so long as the scale
does not change on the way; the importer refuses them.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import tflite
import tvm
from tvm import relax
from tvm.relax.frontend.tflite.tflite_frontend import OperatorConverter

_HYBRID_OPERATORS = frozenset(
    {"BATCH_MATMUL", "CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "TRANSPOSE_CONV"}
)
"""Operators that TFLite runs with float activations and integer weights."""


_MOVING_OPERATORS = frozenset(
    {
        "DEPTH_TO_SPACE",
        "EXPAND_DIMS",
        "GATHER",
        "MIRROR_PAD",
        "PACK",
        "PAD",
        "PADV2",
        "RESIZE_NEAREST_NEIGHBOR",
        "REVERSE_V2",
        "SLICE",
        "SPACE_TO_DEPTH",
        "SPLIT",
        "SPLIT_V",
        "SQUEEZE",
        "STRIDED_SLICE",
        "TILE",
        "TRANSPOSE",
        "UNPACK",
    }
)
"""Operators that move elements and leave their values alone."""

_ACTIVATION_BOUNDS: dict[int, tuple[float, float | None]] = {
    tflite.ActivationFunctionType.RELU: (0.0, None),
    tflite.ActivationFunctionType.RELU6: (0.0, 6.0),
    tflite.ActivationFunctionType.RELU_N1_TO_1: (-1.0, 1.0),
}


class Converter(OperatorConverter):  # type: ignore[misc]
    """TVM's operator converter with the extensions that this module describes."""

    _SUPPORTED_QUANTIZED_OPS = OperatorConverter._SUPPORTED_QUANTIZED_OPS | _MOVING_OPERATORS

    def __init__(self, model: Any, subgraph: Any, exp_tab: Any, ctx: Any, *rest: Any) -> None:
        super().__init__(model, subgraph, exp_tab, ctx, *rest)
        self._float_weights: set[int] = set()
        for position in range(subgraph.OperatorsLength()):
            operator = subgraph.Operators(position)
            if self.get_op_code_str(operator) in _HYBRID_OPERATORS:
                self._convert_weights(operator)

    def get_tensors(self, tensors_idx_list: Any) -> list[Any]:
        """The tensors by index; weights that have become floats are no longer quantized."""
        tensors: list[Any] = super().get_tensors(tensors_idx_list)
        for tensor in tensors:
            if tensor.tensor_idx in self._float_weights:
                tensor.qnn_params = None
            elif tensor.qnn_params is not None:
                # The axis of a single scale means nothing, but files of one channel have it; and
                # biases of some files have that of their weights.
                scales = tensor.qnn_params["scale"].value.numpy()
                if scales.size == 1 or tensor.tensor.ShapeLength() == 1:
                    tensor.qnn_params["axis"] = 0
        return tensors

    def dequantize(self, expr: Any, tensor: Any) -> Any:
        """The float behind a quantized tensor; of int64, which Relax's operator does not take."""
        if self.get_tensor_type_str(tensor.tensor.Type()) != "int64":
            return super().dequantize(expr, tensor)
        return relax.op.multiply(relax.op.astype(expr, "float32"), tensor.qnn_params["scale"])

    def convert_softmax(self, op: Any) -> Any:
        """SOFTMAX of `beta * x`."""
        options = tflite.SoftmaxOptions()
        table = op.BuiltinOptions()
        if table is None:
            return super().convert_softmax(op)
        options.Init(table.Bytes, table.Pos)
        beta = options.Beta()
        if beta == 1.0:
            return super().convert_softmax(op)
        source, output = self.get_input_tensors(op)[0], self.get_output_tensors(op)[0]
        value = self.get_expr(source.tensor_idx)
        if source.qnn_params:
            value = self.dequantize(value, source)
        value = relax.op.multiply(value, relax.const(beta, "float32"))
        value = relax.op.nn.softmax(value, axis=-1)
        return self.quantize(value, output) if output.qnn_params else value

    def convert_fully_connected(self, op: Any) -> Any:
        """FULLY_CONNECTED over rows as long as the weights want, whatever the input's shape."""
        source, weights = self.get_input_tensors(op)[:2]
        output = self.get_output_tensors(op)[0]
        depth = int(self.get_tensor_shape(weights)[1])
        shape = [int(extent) for extent in self.get_tensor_shape(source)]
        if len(shape) == 2 and shape[1] == depth:
            return super().convert_fully_connected(op)
        name = self.subgraph.Tensors(source.tensor_idx).Name().decode("utf-8")
        given = self.get_tensor_expr(source)
        rows = relax.op.reshape(given, [math.prod(shape) // depth, depth])
        self.exp_tab.set_expr(name, self.bb.normalize(rows), force_override=True)
        try:
            result = super().convert_fully_connected(op)
        finally:
            self.exp_tab.set_expr(name, given, force_override=True)
        return relax.op.reshape(result, [int(extent) for extent in self.get_tensor_shape(output)])

    def convert_qnn_fused_activation_function(
        self, expr: Any, fused_activation_fn: int, scale: float, zero_point: int, dtype: str
    ) -> Any:
        """Clamp a quantized tensor; the bounds are rounded in float32, ties away from zero."""
        bounds = _ACTIVATION_BOUNDS.get(fused_activation_fn)
        if bounds is None:
            return super().convert_qnn_fused_activation_function(
                expr, fused_activation_fn, scale, zero_point, dtype
            )
        low, high = (
            None if bound is None else _rounded(np.float32(bound) / np.float32(scale)) + zero_point
            for bound in bounds
        )
        limits = np.iinfo(dtype)
        return relax.op.clip(
            expr,
            float(limits.min if low is None else max(limits.min, low)),
            float(limits.max if high is None else min(limits.max, high)),
        )

    def check_unsupported_ops(self) -> None:
        """Refuse operators that cannot be converted, by name."""
        super().check_unsupported_ops()
        for position in range(self.subgraph.OperatorsLength()):
            operator = self.subgraph.Operators(position)
            name = self.get_op_code_str(operator)
            if name in _MOVING_OPERATORS and not self._keeps_scale(operator):
                raise tvm.error.OpNotImplemented(f"{name} from one quantization to another")

    def _keeps_scale(self, operator: Any) -> bool:
        tensors = [*self.get_input_tensors(operator), *self.get_output_tensors(operator)]
        quantizations = {
            tuple(tensor.qnn_params[key].value.numpy().tobytes() for key in ("scale", "zero_point"))
            for tensor in tensors
            if tensor.qnn_params is not None
        }
        return len(quantizations) <= 1

    def _convert_weights(self, operator: Any) -> None:
        data, weights, *_ = self.get_input_tensors(operator)
        is_hybrid = (
            data.qnn_params is None
            and weights.qnn_params is not None
            and weights.buffer.DataLength() > 0
        )
        if is_hybrid:
            values = dequantized(
                self.get_tensor_value(weights),
                weights.tensor.Quantization().ScaleAsNumpy(),
                weights.tensor.Quantization().ZeroPointAsNumpy(),
                int(weights.tensor.Quantization().QuantizedDimension()),
            )
            self._float_weights.add(weights.tensor_idx)
            name = weights.tensor.Name().decode("utf-8")
            self.exp_tab.set_expr(name, relax.const(values, "float32"))


def _rounded(value: np.float32) -> int:
    return int(math.copysign(math.floor(abs(float(value)) + 0.5), float(value)))


def dequantized(
    values: npt.NDArray[np.integer[Any]],
    scales: npt.NDArray[np.float32],
    zero_points: npt.NDArray[np.int64],
    axis: int,
) -> npt.NDArray[np.float32]:
    """The floats that quantized weights stand for.

    Args:
        values: int8 or uint8, any shape.
        scales: One for all, or one for each index of `axis`.
        zero_points: As many as there are scales.
        axis: The quantized dimension; without meaning when there is one scale.
    """
    shape = [1] * values.ndim
    if scales.size > 1:
        shape[axis] = scales.size
    shifted = values.astype(np.int32) - zero_points.astype(np.int32).reshape(shape)
    return shifted.astype(np.float32) * scales.astype(np.float32).reshape(shape)
