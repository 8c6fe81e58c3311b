"""onnxruntime's own operators, as those of the standard."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from onnx import TensorProto

from pytest_microtvm.compiler.frontends.onnx.graph import Array, Builder, Rewrite, ValueType
from pytest_microtvm.compiler.frontends.onnx.rewrites.dynamic_lstm import dynamic_lstm
from pytest_microtvm.compiler.frontends.onnx.rewrites.elementwise import scalar_like
from pytest_microtvm.compiler.frontends.onnx.rewrites.quantized import (
    attributes_of,
    centered,
    dequantized,
    quantized,
    real_bias,
)


def _unary(operator: str) -> Rewrite:
    """Values, scale and zero point; then those of the output."""

    def rewrite(builder: Builder) -> bool:
        attributes = attributes_of(builder, "channels_last", "opset")
        source = dequantized(builder, 0)
        quantized(builder, builder.op(operator, source, **attributes), 3)
        return True

    return rewrite


def _with_channels_last(rewrite: Rewrite) -> Rewrite:
    """The same of images whose channels may be last: those of the standard are first."""

    def moved(builder: Builder) -> bool:
        node = builder.node
        last = int(builder.attribute("channels_last", node.op_type.startswith("Nhwc")))
        if not last:
            return rewrite(builder)
        shape = builder.graph.shape(node.input[0])
        if shape is None:
            return False
        rank = len(shape)
        first = [0, rank - 1, *range(1, rank - 1)]
        image, (result, *_) = node.input[0], node.output
        node.input[0] = builder.transpose(image, first)
        builder.graph.types[node.input[0]] = ValueType(
            builder.graph.dtype(image) or 0, tuple(shape[axis] for axis in first)
        )
        node.output[0] = builder.graph.fresh(f"{result}_first")
        if not rewrite(builder):
            node.input[0], node.output[0] = image, result
            return False
        builder.emit("Transpose", [node.output[0]], [result], perm=[0, *range(2, rank), 1])
        return True

    return moved


def _quantized_conv(builder: Builder) -> bool:
    attributes = attributes_of(builder, "channels_last")
    builder.emit("QLinearConv", list(builder.node.input), list(builder.node.output), **attributes)
    return True


def _max_pool(builder: Builder) -> bool:
    attributes = attributes_of(builder, "channels_last")
    builder.emit("MaxPool", list(builder.node.input), list(builder.node.output), **attributes)
    return True


def _softmax(builder: Builder) -> bool:
    """Softmax as the version of ONNX has it that an attribute names."""
    shape = builder.graph.shape(builder.node.input[0])
    if shape is None:
        return False
    axis = int(builder.attribute("axis", -1)) % len(shape)
    source = dequantized(builder, 0)
    if int(builder.attribute("opset", 1)) >= 13:
        quantized(builder, builder.op("Softmax", source, axis=axis), 3)
        return True
    # All axes from this one on are one.
    flat = builder.reshape(source, (math.prod(shape[:axis]), math.prod(shape[axis:])))
    result = builder.op("Softmax", flat, axis=1)
    quantized(builder, builder.reshape(result, shape), 3)
    return True


def _matmul_n_bits(builder: Builder) -> bool:
    """Weights of a few bits in blocks: rows of B, scales and zero points."""
    bits, block = int(builder.attribute("bits", 4)), int(builder.attribute("block_size", 0))
    depth, columns = int(builder.attribute("K")), int(builder.attribute("N"))
    known = [builder.graph.constants.get(builder.input(position) or "") for position in (1, 2)]
    packed, scales = known
    if packed is None or scales is None or bits not in (2, 4, 8) or builder.input(4) is not None:
        return False
    zeros = np.full(scales.size, 1 << (bits - 1))
    if builder.input(3) is not None:
        given = builder.graph.constants.get(builder.input(3) or "")
        if given is None:
            return False
        if given.dtype == np.uint8:
            given = _unpacked(given.reshape(columns, -1), bits)[:, : scales.size // columns]
        zeros = given.reshape(-1)
    values = _unpacked(packed.reshape(-1, packed.shape[-1]), bits)
    real = (values - zeros.reshape(-1, 1).astype(np.float32)) * scales.reshape(-1, 1)
    if real.size != columns * -(-depth // block) * block:
        return False
    weights = real.reshape(columns, -1)[:, :depth].T.astype(np.float32)
    result = builder.op("MatMul", builder.node.input[0], builder.constant(weights))
    bias = builder.input(5)
    builder.result(result if bias is None else builder.op("Add", result, bias))
    return True


def _unpacked(rows: Array, bits: int) -> Array:
    """Numbers of a few bits out of bytes, the lowest bits first."""
    shifts = np.arange(0, 8, bits)
    wide: Array = (rows[..., None] >> shifts) & ((1 << bits) - 1)
    return wide.reshape(len(rows), -1)


def _binary(operator: str) -> Rewrite:
    def rewrite(builder: Builder) -> bool:
        sides = dequantized(builder, 0), dequantized(builder, 3)
        quantized(builder, builder.op(operator, *sides), 6)
        return True

    return rewrite


def _concat(builder: Builder) -> bool:
    positions = range(2, len(builder.node.input), 3)
    parts = [dequantized(builder, position) for position in positions]
    quantized(builder, builder.op("Concat", *parts, axis=builder.attribute("axis")), 0)
    return True


def _where(builder: Builder) -> bool:
    sides = dequantized(builder, 1), dequantized(builder, 4)
    quantized(builder, builder.op("Where", builder.node.input[0], *sides), 7)
    return True


def _reduce_mean(builder: Builder) -> bool:
    shape = builder.graph.shape(builder.node.input[0])
    if shape is None:
        return False
    axes = builder.attribute("axes", list(range(len(shape))))
    keepdims = int(builder.attribute("keepdims", 1))
    mean = builder.reduce("ReduceMean", dequantized(builder, 0), axes, keepdims)
    quantized(builder, mean, 3)
    return True


def _gemm(builder: Builder) -> bool:
    transposed = int(builder.attribute("transB", 0))
    alpha = float(builder.attribute("alpha", 1.0))
    left = dequantized(builder, 0)
    right = dequantized(builder, 3, axis=0 if transposed else 1)
    bias = builder.input(6)
    if bias is not None:
        bias = real_bias(builder, bias, (builder.input(1), builder.input(4)), alpha)
    result = builder.op("Gemm", left, right, bias, **attributes_of(builder))
    if builder.input(7) is None:
        builder.result(result)
    else:
        quantized(builder, result, 7)
    return True


def _as_in_onnx(operator: str) -> Rewrite:
    def rewrite(builder: Builder) -> bool:
        builder.emit(
            operator, list(builder.node.input), list(builder.node.output), **attributes_of(builder)
        )
        return True

    return rewrite


def _matmul_to_float(builder: Builder) -> bool:
    """A, B, their scales, their zero points and a bias."""
    rank = len(builder.graph.shape(builder.node.input[0]) or ())
    left = centered(builder, 0, 4, (-1, 1) if rank > 1 else (-1,))
    right = centered(builder, 1, 5, (-1,))
    product = builder.cast(builder.op("MatMul", left, right), TensorProto.FLOAT)
    scale = builder.op("Mul", *(builder.node.input[2:4]))
    _scaled(builder, product, scale, builder.input(6))
    return True


def _dynamic_matmul(builder: Builder) -> bool:
    """A as a float, B with scale and zero point, and a bias."""
    values, scale, zero_point = builder.emit(
        "DynamicQuantizeLinear", [builder.node.input[0]], outputs=3
    )
    wide = builder.op(
        "Sub",
        builder.cast(values, TensorProto.INT32),
        builder.cast(zero_point, TensorProto.INT32),
    )
    right = centered(builder, 1, 3, (-1,))
    product = builder.cast(builder.op("MatMul", wide, right), TensorProto.FLOAT)
    _scaled(builder, product, builder.op("Mul", scale, builder.node.input[2]), builder.input(4))
    return True


def _scaled(builder: Builder, product: str, scale: str, bias: str | None) -> None:
    result = builder.op("Mul", product, scale)
    builder.result(result if bias is None else builder.op("Add", result, bias))


_ACTIVATIONS: dict[str, tuple[str, ...]] = {
    "Relu": (),
    "Sigmoid": (),
    "Tanh": (),
    "LeakyRelu": ("alpha",),
    "HardSigmoid": ("alpha", "beta"),
}
"""What fused operators may end in, and the names of the parameters."""


def _activated(builder: Builder, source: str, kind: str, parameters: Sequence[float]) -> bool:
    if kind == "Clip":
        limits = [scalar_like(builder, source, value) for value in parameters]
        builder.result(builder.op("Clip", source, *limits))
        return True
    if kind not in _ACTIVATIONS:
        return False
    names = _ACTIVATIONS[kind][: len(parameters)]
    attributes = dict(zip(names, map(float, parameters), strict=False))
    builder.result(builder.op(kind, source, **attributes))
    return True


def _fused_conv(builder: Builder) -> bool:
    attributes = attributes_of(builder, "activation", "activation_params")
    inputs = list(builder.node.input)
    result = builder.op("Conv", *inputs[:3], **attributes)
    if len(inputs) > 3:
        result = builder.op("Add", result, inputs[3])
    parameters = builder.attribute("activation_params", [])
    return _activated(builder, result, builder.attribute("activation", ""), parameters)


def _fused_gemm(builder: Builder) -> bool:
    given = attributes_of(builder)
    attributes = {name: v for name, v in given.items() if not name.startswith("activation")}
    result = builder.op("Gemm", *builder.node.input, **attributes)
    parameters = [
        given[name]
        for name in ("activation_alpha", "activation_beta", "activation_gamma")
        if name in given
    ]
    return _activated(builder, result, builder.attribute("activation", ""), parameters)


def _fused_matmul(builder: Builder) -> bool:
    sides = []
    for name, letter in zip(builder.node.input, "AB", strict=True):
        shape = builder.graph.shape(name)
        if shape is None:
            return False
        order = [*range(len(shape))]
        if builder.attribute(f"transBatch{letter}", 0) and len(order) > 1:
            order = [*order[1:-1], 0, order[-1]]
        if builder.attribute(f"trans{letter}", 0) and len(order) > 1:
            order[-2:] = order[:-3:-1]
        if order != sorted(order):
            name = builder.transpose(name, order)
        sides.append(name)
    product = builder.op("MatMul", *sides)
    alpha = float(builder.attribute("alpha", 1.0))
    builder.result(builder.op("Mul", product, scalar_like(builder, sides[0], alpha)))
    return True


def _expand_dims(builder: Builder) -> bool:
    axis = builder.graph.constants.get(builder.node.input[1])
    shape = builder.graph.shape(builder.node.input[0])
    if axis is None or shape is None:
        return False
    place = int(axis.reshape(-1)[0]) % (len(shape) + 1)
    builder.result(builder.reshape(builder.node.input[0], (*shape[:place], 1, *shape[place:])))
    return True


def _distances(builder: Builder) -> bool:
    """Between the rows of two matrices."""
    one, other = (
        builder.unsqueeze(name, [axis])
        for name, axis in zip(builder.node.input, (1, 0), strict=True)
    )
    less = builder.op("Sub", one, other)
    squares = builder.reduce("ReduceSum", builder.op("Mul", less, less), [2], 0)
    is_squared = builder.attribute("metric", "sqeuclidean") == "sqeuclidean"
    builder.result(squares if is_squared else builder.op("Sqrt", squares))
    return True


def _gather_blocks(builder: Builder) -> bool:
    """Rows of a table of few bits in blocks, which is taken apart when the model is compiled."""
    known = [builder.graph.constants.get(builder.input(place) or "") for place in (0, 2)]
    table, scales = known
    if table is None or scales is None:
        return False
    bits, block = int(builder.attribute("bits", 4)), int(builder.attribute("block_size", 128))
    zeros = builder.graph.constants.get(builder.input(3) or "")
    is_packed = table.dtype == np.uint8
    if (zeros is None) != (builder.input(3) is None) or (is_packed and bits not in (2, 4, 8)):
        return False
    axis = int(builder.attribute("quantize_axis", 1)) % table.ndim
    if is_packed:
        table = _unpacked(table.reshape(-1, table.shape[-1]), bits).reshape(*table.shape[:-1], -1)
        offsets = np.full(scales.shape, 1 << (bits - 1))
        if zeros is not None:
            offsets = _unpacked(zeros.reshape(-1, zeros.shape[-1]), bits)
            offsets = offsets.reshape(*zeros.shape[:-1], -1)[..., : scales.shape[-1]]
    else:
        offsets = np.zeros(scales.shape) if zeros is None else zeros
    rows = np.arange(table.shape[axis]) // block
    spread = [np.take(each.astype(np.float32), rows, axis) for each in (offsets, scales)]
    real = (table.astype(np.float32) - spread[0]) * spread[1]
    names = builder.constant(real.astype(np.float32)), builder.node.input[1]
    builder.result(builder.op("Gather", *names, axis=int(builder.attribute("gather_axis", 0))))
    return True


def _gelu(approximate: str, has_bias: bool) -> Rewrite:
    def rewrite(builder: Builder) -> bool:
        source = builder.node.input[0]
        bias = builder.input(1)
        if bias is not None and has_bias:
            source = builder.op("Add", source, bias)
        builder.result(gelu(builder, source, approximate))
        return True

    return rewrite


def gelu(builder: Builder, source: str, approximate: str) -> str:
    """`x * Phi(x)`, by erf or by tanh."""

    def number(value: float) -> str:
        return scalar_like(builder, source, value)

    half = builder.op("Mul", source, number(0.5))
    if approximate == "tanh":
        cube = builder.op("Mul", builder.op("Mul", source, source), source)
        inner = builder.op("Add", source, builder.op("Mul", cube, number(0.044715)))
        part = builder.op("Tanh", builder.op("Mul", inner, number(float(np.sqrt(2 / np.pi)))))
    else:
        part = builder.op("Erf", builder.op("Mul", source, number(float(np.sqrt(0.5)))))
    return builder.op("Mul", half, builder.op("Add", part, number(1.0)))


def _quick_gelu(builder: Builder) -> bool:
    source = builder.node.input[0]
    alpha = float(builder.attribute("alpha", 1.702))
    inner = builder.op("Mul", source, scalar_like(builder, source, alpha))
    builder.result(builder.op("Mul", source, builder.op("Sigmoid", inner)))
    return True


REWRITES: dict[str, Rewrite] = {
    "CDist": _distances,
    "BiasGelu": _gelu("none", has_bias=True),
    "DequantizeLinear": _as_in_onnx("DequantizeLinear"),
    "DynamicQuantizeLSTM": dynamic_lstm,
    "DynamicQuantizeMatMul": _dynamic_matmul,
    "ExpandDims": _expand_dims,
    "FastGelu": _gelu("tanh", has_bias=True),
    "FusedConv": _fused_conv,
    "FusedGemm": _fused_gemm,
    "FusedMatMul": _fused_matmul,
    "GatherBlockQuantized": _gather_blocks,
    "Gelu": _gelu("none", has_bias=False),
    "GridSample": _as_in_onnx("GridSample"),
    "MatMulIntegerToFloat": _matmul_to_float,
    "MatMulNBits": _matmul_n_bits,
    "NhwcMaxPool": _with_channels_last(_max_pool),
    "Pad": _as_in_onnx("Pad"),
    "QGemm": _gemm,
    "QLinearAdd": _binary("Add"),
    "QLinearAveragePool": _with_channels_last(_unary("AveragePool")),
    "QLinearConcat": _concat,
    "QLinearConv": _with_channels_last(_quantized_conv),
    "QLinearGlobalAveragePool": _with_channels_last(_unary("GlobalAveragePool")),
    "QLinearLeakyRelu": _unary("LeakyRelu"),
    "QLinearMul": _binary("Mul"),
    "QLinearReduceMean": _reduce_mean,
    "QLinearSigmoid": _unary("Sigmoid"),
    "QLinearSoftmax": _softmax,
    "QLinearWhere": _where,
    "QuantizeLinear": _as_in_onnx("QuantizeLinear"),
    "QuickGelu": _quick_gelu,
    "TransposeMatMul": _fused_matmul,
}
