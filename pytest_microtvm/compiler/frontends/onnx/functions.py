"""Puts the bodies of functions in the place of their calls."""

from __future__ import annotations

from typing import Any

from onnx import inliner

from pytest_microtvm.errors import ModelError

_BY_THEIR_BODY = (
    "AffineGrid",
    "Attention",
    "BlackmanWindow",
    "CastLike",
    "CenterCropPad",
    "GroupNormalization",
    "HammingWindow",
    "HannWindow",
    "LinearAttention",
    "MeanVarianceNormalization",
    "NegativeLogLikelihoodLoss",
    "RMSNormalization",
    "RotaryEmbedding",
    "SoftmaxCrossEntropyLoss",
    "SwiGLU",
)
"""Operators that the standard defines by simpler ones, and that are compiled as those."""


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
            model = inliner.inline_local_functions(model)
        used = {node.op_type for node in model.graph.node}
        wanted = [("", name) for name in _BY_THEIR_BODY if name in used]
        if wanted:
            model = inliner.inline_selected_functions(
                model, wanted, exclude=False, inline_schema_functions=True
            )
    except Exception as error:
        raise ModelError(
            f"the functions of the model cannot be put in place: {str(error).splitlines()[0]}",
            cure="export the model without functions of its own, or check it with "
            "onnx.checker.check_model",
        ) from error
    return model
