"""TVM's ONNX importer, with converters of our own where its do not say what ONNX does."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from tvm import relax
from tvm.relax.frontend.onnx.onnx_frontend import ONNXGraphImporter

from pytest_microtvm.compiler.frontends.onnx.selection import top_k
from pytest_microtvm.compiler.frontends.recurrent.layers import recurrent
from pytest_microtvm.compiler.quantized.given import PREFIX, GivenSpec
from pytest_microtvm.compiler.quantized.specs import Lookup

Converter = Callable[[Any, list[Any], dict[str, Any]], Any]
"""Block builder, inputs (None where left out) and attributes to a Relax expression; None for cases
that are left to TVM's importer."""


class Importer(ONNXGraphImporter):  # type: ignore[misc]
    """TVM's importer with `CONVERTERS`."""

    specs: tuple[GivenSpec, ...] = ()
    """Kernels that are asked for."""
    at = ""
    """The operator and node that are being converted."""

    def _check_for_unsupported_ops(self, graph: Any) -> None:
        """Operators are checked before (see `operators`)."""

    def _convert_operator(
        self, op_name: str, inputs: list[Any], attrs: dict[str, Any], opset: int
    ) -> Any:
        self.at = f"{op_name} at {attrs.get('tvm_custom', {}).get('name', '')!r}"
        if op_name == "Lookup":
            return self._lookup(inputs[0], inputs[1], attrs["tvm_custom"]["name"])
        converter = CONVERTERS.get(op_name)
        found = None if converter is None else converter(self.bb, list(inputs), attrs)
        if found is None:
            return super()._convert_operator(op_name, inputs, attrs, opset)
        return self.bb.normalize(found)

    def _lookup(self, source: Any, table: Any, name: str) -> Any:
        """A kernel that looks up each element (see `tables`)."""
        array = table.value.numpy()
        dtype = str(source.ty.dtype.dtype)
        shape = [int(extent.value) for extent in source.ty.shape]
        self.specs = (*self.specs, GivenSpec(name, Lookup(math.prod(shape), array, dtype)))
        ty = relax.TensorType(shape, str(array.dtype))
        variable = self.bb.emit(source)
        number = len(self.specs) - 1
        return self.bb.normalize(relax.call_dps_packed(f"{PREFIX}{number}", [variable], ty))


def _binary(function: Callable[[Any, Any], Any]) -> Converter:
    def convert(builder: Any, inputs: list[Any], attributes: dict[str, Any]) -> Any:
        return function(inputs[0], inputs[1])

    return convert


def _clip(builder: Any, inputs: list[Any], attributes: dict[str, Any]) -> Any:
    """Between two known floats it is an operator of Relax, which kernels know."""
    if len(inputs) < 3 or str(inputs[0].ty.dtype.dtype) != "float32":
        return None
    bounds = []
    for each in inputs[1:3]:
        value: Any = getattr(each, "value", None)
        if not hasattr(value, "numpy"):
            return None
        bounds.append(float(value.numpy().reshape(-1)[0]))
    low, high = bounds
    return relax.op.clip(inputs[0], low, high) if low <= high else None


def _one_hot(builder: Any, inputs: list[Any], attributes: dict[str, Any]) -> Any:
    """Of the type of the values; indices outside of the range give no one."""
    indices, depth, values = inputs
    count = int(depth.value.numpy().reshape(-1)[0])
    rank = len(indices.ty.shape)
    axis = int(attributes.get("axis", -1)) % (rank + 1)
    shape = [1] * (rank + 1)
    shape[axis] = count
    dtype = str(indices.ty.dtype.dtype)
    steps = relax.const(np.arange(count).reshape(shape), dtype)
    extent, zero = (relax.const(np.array(number), dtype) for number in (count, 0))
    negative = builder.emit(relax.op.less(indices, zero))
    wrapped = builder.emit(relax.op.where(negative, relax.op.add(indices, extent), indices))
    wide = builder.emit(relax.op.expand_dims(wrapped, axis))
    found = builder.emit(relax.op.equal(wide, steps))
    off, on = (
        builder.emit(relax.op.strided_slice(values, [0], [position], [position + 1]))
        for position in range(2)
    )
    return relax.op.where(found, on, off)


CONVERTERS: dict[str, Converter] = {
    "Clip": _clip,
    "GRU": recurrent("GRU"),
    "LSTM": recurrent("LSTM"),
    "Max": _binary(relax.op.maximum),
    "Min": _binary(relax.op.minimum),
    "OneHot": _one_hot,
    "RNN": recurrent("RNN"),
    "TopK": top_k,
}
"""By operator, what TVM's importer lacks or has wrong."""
