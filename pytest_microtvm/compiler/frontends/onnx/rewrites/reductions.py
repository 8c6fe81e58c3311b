"""Operators that reduce axes, or sort along them."""

from __future__ import annotations

from pytest_microtvm.compiler.frontends.onnx.graph import Builder, Rewrite
from pytest_microtvm.compiler.frontends.onnx.rewrites.elementwise import scalar_like


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


REWRITES: dict[str, Rewrite] = {
    "LpNormalization": _lp_normalization,
}
