"""What of ONNX is compiled: operators, and their attributes.

An operator that is not converted is refused, and so is an attribute that its converter does not
read, unless it says what holds without it.
"""

from __future__ import annotations

from typing import Any

from onnx import defs, helper
from tvm.relax.frontend.onnx.onnx_frontend import _get_convert_map

from pytest_microtvm.compiler.frontends.onnx.converters import CONVERTERS
from pytest_microtvm.compiler.frontends.onnx.graph import Graph, attribute, domain_of
from pytest_microtvm.compiler.frontends.onnx.parameters import unknown_parameter
from pytest_microtvm.compiler.frontends.onnx.rewrites import REWRITES
from pytest_microtvm.compiler.frontends.onnx.tables import DOMAIN
from pytest_microtvm.errors import ModelError

_UNREAD: dict[str, frozenset[str]] = {
    "Cast": frozenset({"round_mode"}),
    "LpPool": frozenset({"auto_pad", "ceil_mode", "dilations", "pads", "strides"}),
    "MaxPool": frozenset({"storage_order"}),
    "Resize": frozenset({"antialias", "axes", "keep_aspect_ratio_policy"}),
    "SpaceToDepth": frozenset({"mode"}),
}
"""Attributes of ONNX that the converters of operators do not read."""

_READ_EARLY = frozenset({("DequantizeLinear", "axis"), ("QuantizeLinear", "axis")})
"""Attributes that are read in versions of ONNX, too, that do not have them."""

_HARMLESS = frozenset({"consumed_inputs", "is_test", "saturate", "seed", "stash_type"})
"""Attributes that say nothing of what is computed here: saturation is of 8-bit floats."""

_REASONS: dict[str, str] = {
    **dict.fromkeys(
        ("Compress", "NonMaxSuppression", "NonZero", "Unique"),
        "the size of its result depends on the values of its input",
    ),
    **dict.fromkeys(
        (
            "Bernoulli",
            "Multinomial",
            "RandomNormal",
            "RandomNormalLike",
            "RandomUniform",
            "RandomUniformLike",
        ),
        "its result is random, so that no two runs compare",
    ),
    **dict.fromkeys(
        (
            "RegexFullMatch",
            "StringConcat",
            "StringNormalizer",
            "StringSplit",
            "TfIdfVectorizer",
        ),
        "it works on text",
    ),
    **dict.fromkeys(
        (
            "ConcatFromSequence",
            "Optional",
            "OptionalGetElement",
            "OptionalHasElement",
            "SequenceAt",
            "SequenceConstruct",
            "SequenceEmpty",
            "SequenceErase",
            "SequenceInsert",
            "SequenceLength",
            "SequenceMap",
            "SplitToSequence",
        ),
        "it makes or takes sequences or optional values, and only tensors are compiled",
    ),
    "BatchNormalization": "it is in training mode",
    "If": "its condition depends on the inputs",
    "Loop": "its number of rounds depends on the inputs, or is too great to be unrolled",
    "Scan": "its number of steps is not known",
    "Dropout": "it is in training mode",
    "DynamicQuantizeLSTM": "it has several sequences, lengths, peepholes, a clip, more than 256 "
    "steps, or weights that are no constants",
}
"""Why operators are refused, where there is more to say than that they are not converted."""

_LAYOUT = "com.microsoft.nchwc"
_DOMAINS: dict[str, str] = {
    "ai.onnx.ml": "it is not among those of classical machine learning that are compiled",
    "com.microsoft": "it is not among those of onnxruntime that are compiled",
    _LAYOUT: "onnxruntime wrote it for the processor that optimized the model",
}
"""Why operators of other domains are refused, where there is more to say."""
_DOMAIN_CURES: dict[str, str] = {
    "ai.onnx.ml": "compile the neural networks of a pipeline, and write its other steps in C",
    _LAYOUT: "save the optimized model with ORT_ENABLE_EXTENDED or less",
}

_CURES: dict[str, str] = {
    "If": "export the model with one branch",
    "Loop": "export the model with loops unrolled",
    "BatchNormalization": "export the model for inference, as by model.eval()",
    "Dropout": "export the model for inference, as by model.eval()",
    "Multinomial": "sample outside of the model",
    "TreeEnsembleClassifier": "train it on labels that are integers, in float32",
    "ZipMap": "convert the model with options={'zipmap': False}",
}
_OPEN_SHAPE = "the shape of its result follows from"
_CURE = "replace the operator by supported ones, or compute that part outside of the model"


def check_operators(graph: Graph) -> None:
    """Refuse what cannot be compiled, all of it at once.

    Args:
        graph: In the form of `normalise`.

    Raises:
        ModelError: Names every operator, its node, why it is refused and what to do.
    """
    known = set(_get_convert_map()) | set(CONVERTERS)
    known -= set(_REASONS)
    found: dict[str, str] = {}
    cures: dict[str, None] = {}
    for node in graph.nodes:
        why = _refusal(graph, node, known)
        if why is not None:
            operator = f"{domain_of(node)}.{node.op_type}".lstrip(".")
            found.setdefault(f"{operator} ({why})", node.name or node.output[0])
            cures.setdefault(_cure(node, why))
    if found:
        said = ", ".join(f"{what} at {where!r}" for what, where in found.items())
        raise ModelError(f"unsupported operators: {said}", cure="; ".join(cures))


def _cure(node: Any, why: str) -> str:
    if why.startswith(_OPEN_SHAPE):
        return "export the model with shapes that are fixed"
    if domain_of(node) and node.op_type not in _CURES:
        return _DOMAIN_CURES.get(domain_of(node), _CURE)
    return _CURES.get(node.op_type, _CURE)


def _refusal(graph: Graph, node: Any, known: set[str]) -> str | None:
    if domain_of(node) == DOMAIN:
        return None
    if domain_of(node) and (domain_of(node), node.op_type) in REWRITES:
        return _REASONS.get(node.op_type, "it has inputs or attributes that are not compiled")
    if node.op_type == "ZipMap":
        return "it makes maps, and only tensors are compiled"
    if domain_of(node):
        return _DOMAINS.get(domain_of(node)) or f"the domain {domain_of(node)!r} is not known"
    if node.op_type == "RoiAlign" and attribute(node, "mode", "avg") == "max":
        return "its maximum is another one than ONNX's"
    if node.op_type in _REASONS:
        return _REASONS[node.op_type]
    schema = _schema(node.op_type, graph.opset)
    if schema is None:
        return f"ONNX has no such operator in its version {graph.opset}"
    if node.op_type not in known:
        return "it has no converter"
    parameter = unknown_parameter(graph, node)
    if parameter is not None:
        return f"{_OPEN_SHAPE} {parameter!r}, which depends on the inputs"
    for entry in node.attribute:
        is_known = entry.name in schema.attributes or (node.op_type, entry.name) in _READ_EARLY
        if is_known and entry.name not in _UNREAD.get(node.op_type, ()):
            continue
        if entry.name in _HARMLESS:
            continue
        found = schema.attributes.get(entry.name)
        default = None if found is None else found.default_value
        if default is not None and default.type and _value(default) == _value(entry):
            continue
        return f"its attribute {entry.name}={_value(entry)!r} is not supported"
    return None


def _schema(operator: str, opset: int) -> Any:
    try:
        return defs.get_schema(operator, max_inclusive_version=opset)
    except defs.SchemaError:
        return None


def _value(entry: Any) -> Any:
    value = helper.get_attribute_value(entry)
    return list(value) if isinstance(value, (list, tuple)) else value
