"""Inputs of operators that say a shape, a count or axes, and so have to be known."""

from __future__ import annotations

from typing import Any

from pytest_microtvm.compiler.frontends.onnx.graph import Graph

_REDUCTIONS = ("L1", "L2", "LogSum", "LogSumExp", "Max", "Mean", "Min", "Prod", "Sum", "SumSquare")
_PARAMETERS: dict[str, tuple[int, ...]] = {
    "ConstantOfShape": (0,),
    "Expand": (1,),
    "OneHot": (1,),
    "Pad": (1, 3),
    "Range": (0, 1, 2),
    "Reshape": (1,),
    "Resize": (2, 3),
    "Slice": (1, 2, 3, 4),
    "Split": (1,),
    "Squeeze": (1,),
    "Tile": (1,),
    "TopK": (1,),
    "Unsqueeze": (1,),
    "Upsample": (1,),
    **dict.fromkeys((f"Reduce{name}" for name in _REDUCTIONS), (1,)),
}
"""By operator, the places of such inputs."""


def unknown_parameter(graph: Graph, node: Any) -> str | None:
    """The name of such an input of a node whose value is not known; None where all are."""
    for place in _PARAMETERS.get(node.op_type, ()):
        name = node.input[place] if place < len(node.input) else ""
        if name and name not in graph.constants:
            return str(name)
    return None
