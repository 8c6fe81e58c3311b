"""Extends TVM's TFLite importer.

A model with dynamic range quantization keeps its weights as integers with a scale, and computes in
float. TFLite quantizes the activations on the fly; here the weights become the floats that they
stand for, which is the same function without that rounding.

Operators that only move elements work on quantized tensors as on any other, so long as the scale
does not change on the way; the importer refuses them.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
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
        return tensors

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
