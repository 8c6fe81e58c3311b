"""Operators over integers with scales, as float operators between dequantization and quantization.

That form is what integer kernels are recognized in.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from onnx import TensorProto, helper

from pytest_microtvm.compiler.frontends.onnx.graph import Builder, Rewrite


def dequantized(
    builder: Builder, position: int, axis: int | None = None, transposed: bool = False
) -> str:
    """Three inputs from `position` on (values, scale, zero point), as a float.

    Args:
        builder: Of the node.
        position: Of the values.
        axis: Of the values, for scales that are a row.
        transposed: Ignored where there is one scale.
    """
    source, scale, zero_point = (builder.input(position + offset) for offset in range(3))
    return builder.op("DequantizeLinear", source, scale, zero_point, axis=axis)


def quantized(builder: Builder, source: str, position: int, output: int = 0) -> None:
    """Let an output of the node be `source`, quantized by the inputs from `position` on."""
    scale, zero_point = builder.input(position), builder.input(position + 1)
    builder.emit(
        "QuantizeLinear", [source, scale, zero_point], [builder.node.output[output]], axis=None
    )


def attributes_of(builder: Builder, *left_out: str) -> dict[str, Any]:
    """The attributes of the node, but for some."""
    names = [entry.name for entry in builder.node.attribute]
    return {name: builder.attribute(name) for name in names if name not in left_out}


def real_bias(builder: Builder, bias: str, scales: Sequence[str | None], factor: float = 1) -> str:
    """A bias of int32 in units of the product of two scales, as a float."""
    first, second = (name or "" for name in scales)
    known = [builder.graph.constants.get(name) for name in (first, second)]
    if known[0] is not None and known[1] is not None:
        product = (known[0].astype(np.float64) * known[1] * factor).astype(np.float32)
        scale = builder.constant(product.reshape(-1) if product.size > 1 else product.reshape(()))
    else:
        scale = builder.op("Mul", first, second)
        if factor != 1:
            scale = builder.op("Mul", scale, builder.constant(np.float32(factor)))
    return builder.op("DequantizeLinear", bias, scale, axis=0)


def _conv(builder: Builder) -> bool:
    image = dequantized(builder, 0)
    weights = dequantized(builder, 3, axis=0)
    bias = builder.input(8)
    if bias is not None:
        bias = real_bias(builder, bias, (builder.input(1), builder.input(4)))
    quantized(builder, builder.op("Conv", image, weights, bias, **attributes_of(builder)), 6)
    return True


def _matmul(builder: Builder) -> bool:
    sides = []
    for position, axis in ((0, -2), (3, -1)):
        shape = builder.graph.shape(builder.node.input[position])
        scales = builder.graph.shape(builder.node.input[position + 1])
        if shape is None or scales is None or (len(scales) > 1 and np.prod(scales) > 1):
            return False
        place = axis + len(shape) if scales and scales[0] > 1 else None
        if place is not None and place < 0:
            place = 0
        sides.append(dequantized(builder, position, axis=place))
    quantized(builder, builder.op("MatMul", *sides), 6)
    return True


def centered(builder: Builder, position: int, zero_point: int, shape: Sequence[int]) -> str:
    """An input as int32, its zero point taken off.

    Args:
        builder: Of the node.
        position: Of the values among the inputs.
        zero_point: Of the zero point among the inputs.
        shape: What a zero point of several elements is reshaped to.
    """
    wide = builder.cast(builder.node.input[position], TensorProto.INT32)
    name = builder.input(zero_point)
    if name is None:
        return wide
    known = builder.graph.constants.get(name)
    if known is not None and not known.any():
        return wide
    offset = builder.cast(name, TensorProto.INT32)
    extents = builder.graph.shape(name)
    if extents is not None and len(extents) == 1:
        offset = builder.reshape(offset, shape if extents[0] > 1 else ())
    return builder.op("Sub", wide, offset)


def _matmul_integer(builder: Builder) -> bool:
    rank = len(builder.graph.shape(builder.node.input[0]) or ())
    left = centered(builder, 0, 2, (-1, 1) if rank > 1 else (-1,))
    builder.result(builder.op("MatMul", left, centered(builder, 1, 3, (-1,))))
    return True


def _conv_integer(builder: Builder) -> bool:
    weights = builder.graph.shape(builder.node.input[1])
    if weights is None:
        return False
    image = centered(builder, 0, 2, (-1,))
    kernel = centered(builder, 1, 3, (-1, *(1 for _ in weights[1:])))
    builder.result(builder.op("Conv", image, kernel, **attributes_of(builder)))
    return True


def _quantize(builder: Builder) -> bool:
    """To integers of 4 or 2 bits: those of 8, held to the range of the narrow ones."""
    narrow = _NARROW.get(builder.graph.dtype(builder.node.output[0]) or 0)
    if narrow is None:
        return _with_zero_point(builder, builder.node.output[0])
    dtype, low, high = narrow
    source, scale, zero_point = (builder.input(position) for position in range(3))
    if zero_point is not None:
        known = builder.graph.constants.get(zero_point)
        if known is None:
            return False
        zero_point = builder.constant(known.astype(dtype))
    else:
        shape = builder.graph.shape(scale or "")
        zero_point = builder.constant(np.zeros(shape or (), dtype))
    attributes = attributes_of(builder, "output_dtype", "saturate")
    values = builder.op("QuantizeLinear", source, scale, zero_point, **attributes)
    limits = [builder.constant(np.array(limit, dtype)) for limit in (low, high)]
    builder.result(builder.op("Clip", values, *limits))
    return True


def _with_zero_point(builder: Builder, integers: str) -> bool:
    """Where it is left out it is 0, of the type of the integers."""
    dtype, scale = builder.graph.dtype(integers), builder.input(1)
    shape = builder.graph.shape(scale or "")
    if builder.input(2) is not None or dtype not in _WHOLE or shape is None:
        return False
    zero_point = builder.constant(np.zeros(shape, helper.tensor_dtype_to_np_dtype(dtype)))
    inputs = [builder.node.input[0], scale, zero_point]
    attributes = attributes_of(builder, "output_dtype")
    builder.emit(builder.node.op_type, inputs, list(builder.node.output), **attributes)
    return True


_WHOLE = (TensorProto.INT8, TensorProto.UINT8, TensorProto.INT16, TensorProto.UINT16)
"""Types of quantized tensors with a C type."""
_NARROW: dict[int, tuple[Any, int, int]] = {
    getattr(TensorProto, name): entry
    for name, entry in {
        "INT4": (np.int8, -8, 7),
        "UINT4": (np.uint8, 0, 15),
        "INT2": (np.int8, -2, 1),
        "UINT2": (np.uint8, 0, 3),
    }.items()
    if hasattr(TensorProto, name)
}
"""Types without a C type: the type that holds them, and their limits."""


def widen_narrow_constants(constants: dict[str, Any]) -> None:
    """Store integers of 4 or 2 bits as those of 8."""
    for name, array in constants.items():
        kind = str(array.dtype)
        if kind in ("int4", "int2"):
            constants[name] = array.astype(np.int8)
        elif kind in ("uint4", "uint2"):
            constants[name] = array.astype(np.uint8)


def _dequantize(builder: Builder) -> bool:
    """Of blocks: the scales and zero points are repeated; by floats, once they are."""
    block = int(builder.attribute("block_size", 0))
    source, scale, zero_point = (builder.input(position) for position in range(3))
    shape = builder.graph.shape(source or "")
    if shape is None or scale is None or source is None:
        return False
    if not block:
        return _with_zero_point(builder, source)
    axis = int(builder.attribute("axis", 1)) % len(shape)
    wide = _repeated(builder, scale, axis, block, shape[axis])
    value = builder.cast(source, TensorProto.FLOAT)
    if zero_point is not None:
        offset = builder.cast(zero_point, TensorProto.FLOAT)
        value = builder.op("Sub", value, _repeated(builder, offset, axis, block, shape[axis]))
    builder.result(builder.op("Mul", value, wide))
    return True


def _repeated(builder: Builder, name: str, axis: int, block: int, extent: int) -> str:
    """Each element along an axis `block` times, as far as the extent goes."""
    rows = builder.constant(np.arange(extent, dtype=np.int64) // block)
    return builder.op("Gather", name, rows, axis=axis)


REWRITES: dict[str, Rewrite] = {
    "ConvInteger": _conv_integer,
    "DequantizeLinear": _dequantize,
    "MatMulInteger": _matmul_integer,
    "QLinearConv": _conv,
    "QLinearMatMul": _matmul,
    "QuantizeLinear": _quantize,
}
