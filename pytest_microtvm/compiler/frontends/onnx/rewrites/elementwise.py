"""Operators that compute element by element."""

from __future__ import annotations

import numpy as np
from onnx import TensorProto, helper

from pytest_microtvm.compiler.frontends.onnx.graph import Builder, Rewrite

_FLOATS = (TensorProto.FLOAT, TensorProto.DOUBLE)


def _variadic(operator: str) -> Rewrite:
    """Of any number of tensors, two at a time."""

    def rewrite(builder: Builder) -> bool:
        names = [name for name in builder.node.input if name]
        if len(names) == 2 and operator != "Mean":
            return False
        total = names[0]
        for name in names[1:]:
            total = builder.op("Add" if operator == "Mean" else _PAIRS[operator], total, name)
        if operator == "Mean" and len(names) > 1:
            total = builder.op("Div", total, scalar_like(builder, names[0], len(names)))
        builder.result(total)
        return True

    return rewrite


_PAIRS = {"Max": "Max", "Min": "Min", "Sum": "Add"}


def scalar_like(builder: Builder, name: str, value: float) -> str:
    """A constant of the element type of `name`."""
    dtype = builder.graph.dtype(name) or TensorProto.FLOAT
    return builder.constant(np.array(value, helper.tensor_dtype_to_np_dtype(dtype)))


def _sum(builder: Builder) -> bool:
    if len([name for name in builder.node.input if name]) == 2:
        builder.result(builder.op("Add", *builder.node.input))
        return True
    return _variadic("Sum")(builder)


def _dropout(builder: Builder) -> bool:
    """The identity, but in training with a ratio above 0; the mask is all true."""
    training = builder.input(2)
    if training is not None:
        known = builder.graph.constants.get(training)
        ratio = builder.input(1)
        given = None if ratio is None else builder.graph.constants.get(ratio)
        is_zero = given is not None and float(given.reshape(-1)[0]) == 0.0
        if known is None or (bool(known.reshape(-1)[0]) and not is_zero):
            return False
    source = builder.node.input[0]
    builder.result(source)
    if len(builder.node.output) > 1 and builder.node.output[1]:
        shape = builder.graph.shape(source)
        if shape is None:
            return False
        dtype = bool if builder.graph.opset >= 10 else np.float32
        builder.result(builder.constant(np.ones(shape, dtype)), 1)
    return True


def _swish(builder: Builder) -> bool:
    source = builder.node.input[0]
    alpha = float(builder.attribute("alpha", 1.0))
    scaled = source
    if alpha != 1.0:
        scaled = builder.op("Mul", source, scalar_like(builder, source, alpha))
    builder.result(builder.op("Mul", source, builder.op("Sigmoid", scaled)))
    return True


def _celu(builder: Builder) -> bool:
    source = builder.node.input[0]
    alpha = float(builder.attribute("alpha", 1.0))
    scaled = builder.op("Div", source, scalar_like(builder, source, alpha))
    low = builder.op("Elu", scaled, alpha=1.0)
    builder.result(builder.op("Mul", low, scalar_like(builder, source, alpha)))
    return True


def _pow(builder: Builder) -> bool:
    """Both sides in the type of the first; powers of integers are floats on the way."""
    base, exponent = builder.node.input
    dtypes = [builder.graph.dtype(name) for name in (base, exponent)]
    if None in dtypes or (dtypes[0] == dtypes[1] and dtypes[0] in _FLOATS):
        return False
    wide = dtypes[0]
    if dtypes[0] not in _FLOATS:
        wide = dtypes[1] if dtypes[1] in _FLOATS else TensorProto.DOUBLE
    sides = [
        name if dtype == wide else builder.cast(name, int(wide or 0))
        for name, dtype in zip((base, exponent), dtypes, strict=True)
    ]
    power = builder.op("Pow", *sides)
    builder.result(power if wide == dtypes[0] else builder.cast(power, int(dtypes[0] or 0)))
    return True


def _is_inf(builder: Builder) -> bool:
    """With one sign only."""
    signs = [int(builder.attribute(f"detect_{name}", 1)) for name in ("negative", "positive")]
    if signs == [1, 1]:
        return False
    source = builder.node.input[0]
    if signs == [0, 0]:
        shape = builder.graph.shape(source)
        if shape is None:
            return False
        builder.result(builder.constant(np.zeros(shape, bool)))
        return True
    limit = scalar_like(builder, source, np.inf if signs[1] else -np.inf)
    builder.result(builder.op("Equal", source, limit))
    return True


def _cast_like(builder: Builder) -> bool:
    dtype = builder.graph.dtype(builder.node.input[1])
    if not dtype:
        return False
    builder.result(builder.cast(builder.node.input[0], dtype))
    return True


REWRITES: dict[str, Rewrite] = {
    "CastLike": _cast_like,
    "Celu": _celu,
    "Dropout": _dropout,
    "IsInf": _is_inf,
    "Max": _variadic("Max"),
    "Mean": _variadic("Mean"),
    "Min": _variadic("Min"),
    "Pow": _pow,
    "Sum": _sum,
    "Swish": _swish,
}
