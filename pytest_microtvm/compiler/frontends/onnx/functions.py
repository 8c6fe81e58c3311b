"""Puts the bodies of functions in the place of their calls."""

from __future__ import annotations

from typing import Any

from onnx import defs, helper, inliner

from pytest_microtvm.compiler.frontends.onnx.graph import subgraphs
from pytest_microtvm.errors import ModelError

_BY_THEIR_BODY = (
    "AffineGrid",
    "Attention",
    "BlackmanWindow",
    "CenterCropPad",
    "GroupNormalization",
    "HammingWindow",
    "HannWindow",
    "LinearAttention",
    "NegativeLogLikelihoodLoss",
    "RMSNormalization",
    "RotaryEmbedding",
    "SoftmaxCrossEntropyLoss",
    "SwiGLU",
)
"""Operators that the standard defines by simpler ones, and that are compiled as those."""


_DEPTH = 4
"""Bodies of the standard's functions call each other so deep at most."""


def _with_defaults(model: Any) -> Any:
    """The model with the defaults of attributes written out: bodies refer to them."""
    copy = type(model)()
    copy.CopyFrom(model)
    opset = next((e.version for e in model.opset_import if e.domain in ("", "ai.onnx")), 1)
    for node in copy.graph.node:
        if node.op_type in _BY_THEIR_BODY and node.domain in ("", "ai.onnx"):
            schema = defs.get_schema(node.op_type, max_inclusive_version=opset)
            given = {entry.name for entry in node.attribute}
            for name, attribute in schema.attributes.items():
                if name not in given and attribute.default_value.type:
                    value = helper.get_attribute_value(attribute.default_value)
                    node.attribute.append(helper.make_attribute(name, value))
    return copy


def _with_own_defaults(model: Any) -> Any:
    """The model with the defaults of its own functions' attributes written out at their calls."""
    copy = type(model)()
    copy.CopyFrom(model)
    defaults = {
        (function.domain, function.name, function.overload): function.attribute_proto
        for function in copy.functions
        if function.attribute_proto
    }
    if defaults:
        for body in (copy.graph, *copy.functions):
            _write_out(body.node, defaults)
    return copy


def _write_out(nodes: Any, defaults: dict[tuple[str, str, str], Any]) -> None:
    for node in nodes:
        given = {entry.name for entry in node.attribute}
        for entry in defaults.get((node.domain, node.op_type, node.overload), ()):
            if entry.name not in given:
                node.attribute.append(entry)
        for body in subgraphs(node):
            _write_out(body.node, defaults)


def inline_functions(model: Any) -> Any:
    """Replace calls of the model's own functions, and of some of the standard's.

    Args:
        model: An `onnx.ModelProto`.

    Returns:
        The model without such calls.

    Raises:
        ModelError: A function calls itself, or what the model does not define.
    """
    try:
        if len(model.functions):
            model = inliner.inline_local_functions(_with_own_defaults(model))
        for _ in range(_DEPTH):
            used = {node.op_type for node in model.graph.node}
            wanted = [("", name) for name in _BY_THEIR_BODY if name in used]
            if not wanted:
                break
            model = inliner.inline_selected_functions(
                _with_defaults(model), wanted, exclude=False, inline_schema_functions=True
            )
    except Exception as error:
        raise ModelError(
            f"the functions of the model cannot be put in place: {str(error).splitlines()[0]}",
            cure="export the model without functions of its own, or check it with "
            "onnx.checker.check_model",
        ) from error
    return model
