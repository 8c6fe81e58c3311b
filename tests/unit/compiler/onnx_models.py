"""Builds ONNX models with quantization written as QuantizeLinear and DequantizeLinear."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

Array = npt.NDArray[Any]


class QdqModel:
    """A chain of quantized operators; images have their channels first.

    Args:
        shape: Of the input.
        dtype: Of activations.
        per_channel: Weights have a scale for each output channel.
    """

    def __init__(self, shape: tuple[int, ...], dtype: str = "int8", per_channel: bool = True):
        self._shape = shape
        self._dtype = np.dtype(dtype)
        self._per_channel = per_channel
        self._rng = np.random.default_rng(0)
        self._nodes: list[Any] = []
        self._constants: list[Any] = []
        self._scales: dict[str, float] = {}
        self.input = self.quantized("x", 0.05)

    def quantized(self, source: str, scale: float, zero_point: int | None = None) -> str:
        """`source` through QuantizeLinear and DequantizeLinear; returns the result's name."""
        name = f"q{len(self._nodes)}"
        middle = 0 if self._dtype == np.int8 else 128
        limits = np.iinfo(self._dtype)
        zero = np.clip(middle + 3 if zero_point is None else zero_point, limits.min, limits.max)
        inputs = [self._constant(np.float32(scale)), self._constant(zero.astype(self._dtype))]
        self._nodes.append(helper.make_node("QuantizeLinear", [source, *inputs], [f"{name}_int"]))
        self._nodes.append(helper.make_node("DequantizeLinear", [f"{name}_int", *inputs], [name]))
        self._scales[name] = scale
        return name

    def apply(self, operator: str, *inputs: str, **attributes: Any) -> str:
        """An operator; returns its result's name."""
        name = f"n{len(self._nodes)}"
        self._nodes.append(helper.make_node(operator, list(inputs), [name], **attributes))
        return name

    def weighted(
        self, operator: str, source: str, shape: tuple[int, ...], **attributes: Any
    ) -> str:
        """A Conv or Gemm with weights of `shape` and a bias."""
        real = self._rng.normal(size=shape) * 0.3
        rows = np.abs(real).reshape(shape[0], -1).max(axis=1)
        scales = (rows if self._per_channel else np.full(shape[0], rows.max())) / 127
        spread = scales.reshape(-1, *[1] * (len(shape) - 1))
        weights = self._known(np.round(real / spread).astype(np.int8), scales)
        steps = scales * self._scales[source]
        bias = np.round(self._rng.normal(size=shape[0]) / steps).astype(np.int32)
        known = [weights, self._known(bias, steps)]
        return self.apply(operator, source, *known, **attributes)

    def saved(self, path: Any, output: str, shape: tuple[int, ...]) -> onnx.ModelProto:
        """Write the model to a file."""
        graph = helper.make_graph(
            self._nodes,
            "graph",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, self._shape)],
            [helper.make_tensor_value_info(output, TensorProto.FLOAT, shape)],
            self._constants,
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)])
        onnx.checker.check_model(model)
        onnx.save(model, str(path))
        return model

    def _known(self, values: Array, scales: Array) -> str:
        """Dequantized constants, scales along the first axis or the same for all."""
        if not self._per_channel:
            scales = scales[0]
        zero = np.zeros(np.shape(scales), values.dtype)
        inputs = [self._constant(a) for a in (values, scales.astype(np.float32), zero)]
        axis = {"axis": 0} if self._per_channel else {}
        return self.apply("DequantizeLinear", *inputs, **axis)

    def _constant(self, array: Any) -> str:
        name = f"c{len(self._constants)}"
        self._constants.append(numpy_helper.from_array(np.asarray(array), name))
        return name
