"""Operators that reduce axes, or sort along them."""

from __future__ import annotations

from onnx import TensorProto

from pytest_microtvm.compiler.frontends.onnx.graph import Builder, Rewrite
from pytest_microtvm.compiler.frontends.onnx.rewrites.elementwise import scalar_like
from pytest_microtvm.compiler.frontends.onnx.rewrites.quantized import attributes_of


def _lp_normalization(builder: Builder) -> bool:
    """Divided by the norm along an axis; 0 where the norm is 0."""
    source = builder.node.input[0]
    axis = int(builder.attribute("axis", -1))
    if int(builder.attribute("p", 2)) == 1:
        norm = builder.reduce("ReduceSum", builder.op("Abs", source), [axis])
    else:
        squares = builder.op("Mul", source, source)
        norm = builder.op("Sqrt", builder.reduce("ReduceSum", squares, [axis]))
    zero, one = (scalar_like(builder, source, value) for value in (0, 1))
    is_zero = builder.op("Equal", norm, zero)
    safe = builder.op("Where", is_zero, one, norm)
    # The elements are 0 themselves where the norm is.
    builder.result(builder.op("Div", source, safe))
    return True


def _of_wide(builder: Builder) -> bool:
    """Of narrow integers as of wide ones: TVM finds no place of the least one of a type."""
    source = builder.node.input[0]
    if builder.graph.dtype(source) not in _NARROW:
        return False
    wide = builder.cast(source, TensorProto.INT32)
    builder.result(builder.op(builder.node.op_type, wide, **attributes_of(builder)))
    return True


_NARROW = (TensorProto.INT8, TensorProto.UINT8, TensorProto.INT16, TensorProto.UINT16)


REWRITES: dict[str, Rewrite] = {
    **dict.fromkeys(("ArgMax", "ArgMin"), _of_wide),
    "LpNormalization": _lp_normalization,
}
