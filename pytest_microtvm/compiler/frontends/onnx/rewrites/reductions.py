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


def _whole_average(builder: Builder) -> bool:
    """An average over whole images is a mean, which integer kernels take to any scale."""
    shape = builder.graph.shape(builder.node.input[0])
    result = builder.graph.shape(builder.node.output[0])
    if shape is None or result is None or any(builder.attribute("pads", [])):
        return False
    whole = list(builder.attribute("kernel_shape")) == list(shape[2:])
    dilated = any(step != 1 for step in builder.attribute("dilations", []))
    if not whole or dilated or any(extent != 1 for extent in result[2:]):
        return False
    if builder.attribute("auto_pad", "NOTSET") not in ("NOTSET", "VALID"):
        return False
    builder.result(builder.op("GlobalAveragePool", builder.node.input[0]))
    return True


REWRITES: dict[str, Rewrite] = {
    "AveragePool": _whole_average,
    "LpNormalization": _lp_normalization,
}
