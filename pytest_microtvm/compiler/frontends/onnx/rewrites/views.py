"""Operators that give a tensor another shape and leave its elements in place."""

from __future__ import annotations

from pytest_microtvm.compiler.frontends.onnx.graph import Builder, Rewrite


def _reshape(builder: Builder) -> bool:
    """A Reshape to the shape that the result has."""
    shape = builder.graph.shape(builder.node.output[0])
    if shape is None or 0 in shape:
        return False
    builder.result(builder.reshape(builder.node.input[0], shape))
    return True


REWRITES: dict[str, Rewrite] = {
    "Flatten": _reshape,
    "Squeeze": _reshape,
    "Unsqueeze": _reshape,
}
