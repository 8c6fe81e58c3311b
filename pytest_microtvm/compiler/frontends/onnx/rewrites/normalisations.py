"""Normalizations, in pieces."""

from __future__ import annotations

from collections.abc import Sequence

from onnx import TensorProto

from pytest_microtvm.compiler.frontends.onnx.graph import Builder, Rewrite
from pytest_microtvm.compiler.frontends.onnx.rewrites.elementwise import scalar_like


def _mean_variance(builder: Builder) -> bool:
    """Less the mean, divided by the standard deviation."""
    source = builder.node.input[0]
    axes = list(builder.attribute("axes", [0, 2, 3]))
    less = builder.op("Sub", source, builder.reduce("ReduceMean", source, axes))
    variance = builder.reduce("ReduceMean", builder.op("Mul", less, less), axes)
    deviation = builder.op("Add", builder.op("Sqrt", variance), scalar_like(builder, source, 1e-9))
    builder.result(builder.op("Div", less, deviation))
    return True


def _batch(builder: Builder) -> bool:
    """A factor and an offset for each channel, known when their parts are."""
    if int(builder.attribute("training_mode", 0)) or any(builder.node.output[1:]):
        return False
    source, scale, bias, mean, variance = builder.node.input
    shape = builder.graph.shape(source)
    if shape is None:
        return False
    epsilon = scalar_like(builder, variance, float(builder.attribute("epsilon", 1e-5)))
    deviation = builder.op("Sqrt", builder.op("Add", variance, epsilon))
    factor = builder.op("Div", scale, deviation)
    offset = builder.op("Sub", bias, builder.op("Mul", mean, factor))
    spread = (-1, *(1 for _ in shape[2:]))
    if len(shape) > 2:
        factor, offset = builder.reshape(factor, spread), builder.reshape(offset, spread)
    builder.result(builder.op("Add", builder.op("Mul", source, factor), offset))
    return True


def _layer(builder: Builder) -> bool:
    """With the mean and the inverse deviation as results, too; in old versions onnxruntime's."""
    if builder.graph.opset >= _LAYERS_SINCE and not any(builder.node.output[1:]):
        return False
    return _layer_of(builder, is_centered=True)


def _simplified_layer(builder: Builder) -> bool:
    """onnxruntime's, without the mean, but with the inverse deviation as a second result."""
    return _layer_of(builder, is_centered=False)


def _layer_of(builder: Builder, *, is_centered: bool) -> bool:
    source, scale = builder.node.input[:2]
    shape = builder.graph.shape(source)
    if shape is None:
        return False
    first = int(builder.attribute("axis", -1)) % len(shape)
    axes = list(range(first, len(shape)))
    bias = builder.input(2) if is_centered else None
    result, *others = layer_normalized(builder, source, scale, bias, axes, is_centered=is_centered)
    for position, each in enumerate([result, *(others if is_centered else others[1:])]):
        builder.result(each, position)
    return True


_LAYERS_SINCE = 17
"""The version of ONNX that has LayerNormalization."""


def layer_normalized(
    builder: Builder,
    source: str,
    scale: str,
    bias: str | None,
    axes: Sequence[int],
    epsilon: float = 1e-5,
    is_centered: bool = True,
) -> tuple[str, str, str]:
    """A normalization over some axes, in pieces.

    Args:
        builder: Of the node.
        source: What is normalized.
        scale: Is multiplied with the result.
        bias: Is added to it.
        axes: Which are one.
        epsilon: Is added to the variance, unless the node's attribute says another number.
        is_centered: The mean is taken off; it is told as 0 else.

    Returns:
        The result, the mean and the inverse deviation.
    """
    less = source
    mean = scalar_like(builder, source, 0.0)
    if is_centered:
        mean = builder.reduce("ReduceMean", source, axes)
        less = builder.op("Sub", source, mean)
    variance = builder.reduce("ReduceMean", builder.op("Mul", less, less), axes)
    least = scalar_like(builder, source, float(builder.attribute("epsilon", epsilon)))
    inverse = builder.op("Reciprocal", builder.op("Sqrt", builder.op("Add", variance, least)))
    result = builder.op("Mul", builder.op("Mul", less, inverse), scale)
    return result if bias is None else builder.op("Add", result, bias), mean, inverse


def _of_bits(builder: Builder) -> bool:
    """The greatest or least of truth values, as of numbers."""
    source = builder.node.input[0]
    if builder.graph.dtype(source) != TensorProto.BOOL:
        return False
    numbers = builder.cast(source, TensorProto.UINT8)
    attributes = {entry.name: builder.attribute(entry.name) for entry in builder.node.attribute}
    found = builder.op(builder.node.op_type, numbers, builder.input(1), **attributes)
    builder.result(builder.cast(found, TensorProto.BOOL))
    return True


REWRITES: dict[str, Rewrite] = {
    "BatchNormalization": _batch,
    "LayerNormalization": _layer,
    "MeanVarianceNormalization": _mean_variance,
    "ReduceMax": _of_bits,
    "ReduceMin": _of_bits,
    "SimplifiedLayerNormalization": _simplified_layer,
}
