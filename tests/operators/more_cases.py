"""More operators, drawn at random: those whose kernels approximate, those that move, and floats."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tflite

from tests.operators.cases import (
    Case,
    Rng,
    _activation,
    _dtype,
    _either,
    _image,
    _moved,
    _pair_of_shapes,
    _quantization,
    _scale,
    _shape,
    _window,
    run_pool,
)
from tests.operators.computed_cases import COMPUTED
from tests.operators.custom_cases import CUSTOM
from tests.operators.flow_cases import FLOW
from tests.operators.further_cases import FURTHER
from tests.operators.layer_cases import CLOSE, LAYERS, _known, _rank
from tests.operators.moving_cases import MOVING
from tests.operators.quotient_cases import QUOTIENTS
from tests.operators.recurrent_cases import RECURRENT
from tests.unit.compiler.tflite_models import Quantization

Draw = Callable[[Rng, Case], None]

# Functions of each element.


def _unary(operator: str, *dtypes: str, positive: bool = False, reach: float = 1.0) -> Draw:
    """A function of elements of one of `dtypes`; of `positive` ones only where LiteRT wants it."""

    def draw_case(rng: Rng, case: Case) -> None:
        dtype = str(rng.choice(dtypes))
        shape = _shape(rng, _rank(rng))
        if dtype == "float32":
            case.tolerance = CLOSE
            data = case.add_input(rng, shape, dtype, None)
            for sample in case.samples:
                values = np.clip(sample[-1], -20, 20)
                sample[-1] = np.abs(values) + np.float32(0.01) if positive else values
            case.run(operator, [data], [case.add(shape, dtype)])
            return
        source = _quantization(rng, dtype, _scale(rng, -8, -3))
        output = _quantization(rng, dtype, _scale(rng, -8, -3) * reach)
        if dtype == "int16":
            source = Quantization([_scale(rng, -14, -11)], [0])
            output = Quantization([_scale(rng, -14, -11) * reach], [0])
        data = case.add_input(rng, shape, dtype, source)
        if positive:
            for sample in case.samples:
                least = source.zero_points[0] + 1
                top = np.iinfo(dtype).max
                sample[-1] = np.clip(sample[-1], min(least, top), top).astype(dtype)
                if least > top:
                    sample[-1][...] = top
        options = {}
        if operator == "GELU":
            # Of int16, entries of the table hang on the last bit of the C library's tanhf.
            options["Approximate"] = bool(rng.random() < 0.5) and dtype != "int16"
        case.run(operator, [data], [case.add(shape, dtype, output)], **options)

    return draw_case


def _left_in_float(rng: Rng, case: Case) -> None:
    """What converters have no quantization for: functions of floats between bytes."""
    dtype = _dtype(rng, "uint8")
    shape = _shape(rng, _rank(rng))
    source = _quantization(rng, dtype, _scale(rng, -8, -3))
    output = _quantization(rng, dtype, _scale(rng, -8, -3))
    data = case.add_input(rng, shape, dtype, source)
    real = case.add(shape, "float32")
    case.step("DEQUANTIZE", [data], [real])
    for operator in rng.choice(["ABS", "COS", "FLOOR", "NEG", "SIN", "SQUARE"], 2):
        following = case.add(shape, "float32")
        case.step(str(operator), [real], [following])
        real = following
    case.run("QUANTIZE", [real], [case.add(shape, dtype, output)])


def _int16_unary(operator: str) -> Draw:
    def draw_case(rng: Rng, case: Case) -> None:
        shape = _shape(rng, _rank(rng))
        source = Quantization([_scale(rng, -14, -8)], [0])
        output = Quantization([1 / 32768], [0])
        options: dict[str, Any] = {}
        if operator == "LEAKY_RELU":
            output = Quantization([_scale(rng, -14, -8)], [0])
            options = {"Alpha": float(rng.uniform(0.01, 1.5))}
        if operator == "SOFTMAX":
            output = Quantization([1 / int(rng.choice([32767, 32768]))], [0])
            options = {"Beta": float(rng.choice([1.0, 1.0, 0.5]))}
        data = case.add_input(rng, shape, "int16", source)
        case.run(operator, [data], [case.add(shape, "int16", output)], **options)

    return draw_case


def _float_unary(operator: str, positive: bool = False) -> Draw:
    return _unary(operator, "float32", positive=positive)


# Two tensors.


def _prelu(rng: Rng, case: Case) -> None:
    dtype = _dtype(rng, "uint8", "float32")
    if dtype == "float32":
        case.tolerance = CLOSE
    shape = _shape(rng, 4)
    slopes = [1, 1, shape[3]] if rng.random() < 0.7 else shape[1:]
    source, known = _known(rng, dtype), _known(rng, dtype)
    data = case.add_input(rng, shape, dtype, source)
    if dtype == "float32":
        values = rng.normal(size=slopes).astype(dtype)
    else:
        limits = np.iinfo(dtype)
        values = rng.integers(limits.min, limits.max, slopes, dtype, endpoint=True)
    alpha = case.add(slopes, dtype, known, values)
    output = None if source is None else _quantization(rng, dtype, source.scales[0] * 2)
    case.run("PRELU", [data, alpha], [case.add(shape, dtype, output)])


def _squared_difference(rng: Rng, case: Case) -> None:
    left, right, shape = _pair_of_shapes(rng)
    scales = [_scale(rng, -6, -2), _scale(rng, -6, -2)]
    inputs = [
        case.add_input(rng, extents, "int8", _quantization(rng, "int8", scale))
        for extents, scale in zip((left, right), scales, strict=True)
    ]
    reach = max(scales) ** 2 * 128 * 2.0 ** rng.uniform(-1, 3)
    output = _quantization(rng, "int8", float(np.float32(reach)))
    case.run("SQUARED_DIFFERENCE", inputs, [case.add(shape, "int8", output)])


def _extreme(operator: str) -> Draw:
    def draw_case(rng: Rng, case: Case) -> None:
        dtype = _dtype(rng, "uint8", "int16", "float32")
        left, right, shape = _pair_of_shapes(rng)
        known = _known(rng, dtype)
        inputs = [case.add_input(rng, extents, dtype, known) for extents in (left, right)]
        case.run(operator, inputs, [case.add(shape, dtype, known)])

    return draw_case


def _comparison(operator: str) -> Draw:
    def draw_case(rng: Rng, case: Case) -> None:
        dtype = _dtype(rng, "uint8", "int16", "float32")
        left, right, shape = _pair_of_shapes(rng)
        known = [_known(rng, dtype, -7, -1) for _ in range(2)]
        if rng.random() < 0.3:
            known[1] = known[0]
        inputs = [
            case.add_input(rng, extents, dtype, quantization)
            for extents, quantization in zip((left, right), known, strict=True)
        ]
        case.run(operator, inputs, [case.add(shape, "bool")])

    return draw_case


def _float_pair(operator: str, fused: bool = False) -> Draw:
    def draw_case(rng: Rng, case: Case) -> None:
        case.tolerance = CLOSE
        left, right, shape = _pair_of_shapes(rng)
        inputs = [case.add_input(rng, extents, "float32", None) for extents in (left, right)]
        for sample in case.samples:
            for position in (0, 1):
                values = np.clip(sample[position], -50, 50)
                # Quotients are compared, not what is next to their poles.
                sample[position] = np.where(np.abs(values) < 0.5, np.float32(0.5), values)
        options = {"FusedActivationFunction": _activation(rng)} if fused else {}
        case.run(operator, inputs, [case.add(shape, "float32")], **options)

    return draw_case


def _add_n(rng: Rng, case: Case) -> None:
    case.tolerance = CLOSE
    shape = _shape(rng, _rank(rng))
    inputs = [case.add_input(rng, shape, "float32", None) for _ in range(_rank(rng, 2, 4))]
    case.run("ADD_N", inputs, [case.add(shape, "float32")])


def _select_v2(rng: Rng, case: Case) -> None:
    dtype, known = _moved(rng)
    left, right, shape = _pair_of_shapes(rng)
    chosen = case.add_input(rng, left, "bool", None)
    data = [case.add_input(rng, extents, dtype, known) for extents in (right, shape)]
    case.run("SELECT_V2", [chosen, *data], [case.add(shape, dtype, known)])


# Reductions.


def _axes(rng: Rng, shape: Sequence[int]) -> tuple[list[int], bool, list[int]]:
    """Axes in any order, some from the end or twice; whether they are kept; what is left."""
    count = int(rng.integers(1, len(shape), endpoint=True))
    axes = [int(axis) for axis in rng.choice(len(shape), count, replace=False)]
    keep = bool(rng.random() < 0.5)
    kept = [extent for axis, extent in enumerate(shape) if axis not in axes]
    if keep:
        kept = [1 if axis in axes else extent for axis, extent in enumerate(shape)]
    stated = [_either(rng, axis, len(shape)) for axis in axes]
    if rng.random() < 0.2:
        stated.append(axes[0])
    return stated, keep, kept


def _reduction(operator: str, *dtypes: str) -> Draw:
    def draw_case(rng: Rng, case: Case) -> None:
        dtype = str(rng.choice(dtypes))
        shape = _shape(rng, _rank(rng, 2, 4), 1, 7)
        axes, keep, kept = _axes(rng, shape)
        known = _known(rng, dtype)
        output = known
        if dtype == "float32":
            case.tolerance = 1e-4 if operator == "REDUCE_PROD" else CLOSE
        if operator == "MEAN" and known is not None:
            scale = float(np.float32(known.scales[0] * rng.uniform(0.3, 2)))
            output = _quantization(rng, dtype, scale)
        data = case.add_input(rng, shape, dtype, known)
        if dtype == "float32":
            for sample in case.samples:
                limit = 1 if operator == "REDUCE_PROD" else 4
                sample[-1] = np.clip(sample[-1], -limit, limit)
        result = case.add(kept, dtype, output)
        case.run(operator, [data, case.constant(axes)], [result], KeepDims=keep)

    return draw_case


def _place(operator: str) -> Draw:
    def draw_case(rng: Rng, case: Case) -> None:
        dtype = _dtype(rng, "uint8", "float32", "bool")
        shape = _shape(rng, _rank(rng, 1, 5), 1, 5)
        axis = int(rng.integers(len(shape)))
        known = None if dtype == "bool" else _known(rng, dtype)
        data = case.add_input(rng, shape, dtype, known)
        kept = [extent for a, extent in enumerate(shape) if a != axis]
        place = str(rng.choice(["int32", "int64"]))
        index = case.constant(np.int32(_either(rng, axis, len(shape))))
        kind = getattr(tflite.TensorType, place.upper())
        case.run(operator, [data, index], [case.add(kept, place)], OutputType=kind)

    return draw_case


def _cumsum(rng: Rng, case: Case) -> None:
    case.tolerance = 1e-4
    shape = _shape(rng, _rank(rng))
    axis = int(rng.integers(len(shape)))
    data = case.add_input(rng, shape, "float32", None)
    result = case.add(shape, "float32")
    options = {"Exclusive": bool(rng.random() < 0.5), "Reverse": bool(rng.random() < 0.5)}
    case.run("CUMSUM", [data, case.constant(np.int32(axis))], [result], **options)


# Rows and windows.


def _l2_normalization(rng: Rng, case: Case) -> None:
    dtype = _dtype(rng, "uint8", "float32")
    shape = _shape(rng, _rank(rng, 2), 1, 8)
    output = None
    if dtype == "float32":
        case.tolerance = CLOSE
    else:
        output = Quantization([1 / 128], [0 if dtype == "int8" else 128])
    data = case.add_input(rng, shape, dtype, _known(rng, dtype))
    case.run("L2_NORMALIZATION", [data], [case.add(shape, dtype, output)])


def _float_rows(operator: str) -> Draw:
    def draw_case(rng: Rng, case: Case) -> None:
        case.tolerance = CLOSE
        shape = _shape(rng, _rank(rng), 1, 12)
        data = case.add_input(rng, shape, "float32", None)
        options = {"Beta": float(rng.choice([1.0, 0.5, 2.0]))} if operator == "SOFTMAX" else {}
        case.run(operator, [data], [case.add(shape, "float32")], **options)

    return draw_case


def _log_softmax(rng: Rng, case: Case) -> None:
    dtype = _dtype(rng, "uint8")
    shape = _shape(rng, _rank(rng), 1, 12)
    output = Quantization([1 / 16], [int(np.iinfo(dtype).max)])
    data = case.add_input(rng, shape, dtype, _quantization(rng, dtype, _scale(rng, -9, 0)))
    case.run("LOG_SOFTMAX", [data], [case.add(shape, dtype, output)])


def _powers_of_two(rng: Rng, case: Case) -> None:
    """Sums and differences of int16 in both ways; LiteRT broadcasts none by shifts."""
    shape = _shape(rng, _rank(rng))
    is_shifted = bool(rng.random() < 0.6)
    exponents = [-10 if is_shifted else -8, -10 - int(rng.integers(0, 6))]
    if rng.random() < 0.5:
        exponents.reverse()
    inputs = [
        case.add_input(rng, shape, "int16", Quantization([2.0**exponent], [0]))
        for exponent in exponents
    ]
    result = case.add(shape, "int16", Quantization([2.0**-10], [0]))
    options = {"FusedActivationFunction": _activation(rng), "PotScaleInt16": is_shifted}
    case.run(str(rng.choice(["ADD", "SUB"])), inputs, [result], **options)


def _float_pool(operator: str) -> Draw:
    def draw_case(rng: Rng, case: Case) -> None:
        case.tolerance = CLOSE
        image = _image(rng)
        window = _window(rng, image, 5, dilated=False)
        data = case.add_input(rng, image, "float32", None)
        run_pool(rng, case, operator, data, window)

    return draw_case


def _float_resize(operator: str) -> Draw:
    def draw_case(rng: Rng, case: Case) -> None:
        case.tolerance = 1e-4
        image, size = _image(rng, 1, 8), _shape(rng, 2, 1, 16)
        kind = int(rng.integers(3))
        data = case.add_input(rng, image, "float32", None)
        result = case.add([image[0], *size, image[3]], "float32")
        options = {"AlignCorners": kind == 1, "HalfPixelCenters": kind == 2}
        case.run(operator, [data, case.constant(size)], [result], **options)

    return draw_case


def _logical(operator: str) -> Draw:
    def draw_case(rng: Rng, case: Case) -> None:
        left, right, shape = _pair_of_shapes(rng)
        inputs = [case.add_input(rng, extents, "bool", None) for extents in (left, right)]
        if operator == "LOGICAL_NOT":
            inputs, shape = inputs[:1], left
            del case.inputs[1:]
            for sample in case.samples:
                del sample[1:]
        case.run(operator, inputs, [case.add(shape, "bool")])

    return draw_case


_BOTH = ("int8", "int8", "float32")

MORE: dict[str, Draw] = {
    **LAYERS,
    "abs": _unary("ABS", "int8", "int16", "float32"),
    "exp": _unary("EXP", "int8", "int16", "float32", reach=4),
    "log": _unary("LOG", "int8", "int16", "float32", positive=True, reach=4),
    "sqrt": _unary("SQRT", *_BOTH, positive=True),
    "rsqrt": _unary("RSQRT", "int8", "int16", "float32", positive=True, reach=4),
    "elu": _unary("ELU", *_BOTH),
    "gelu": _unary("GELU", "int8", "int16", "uint8"),
    "left_in_float": _left_in_float,
    "hard_swish": _unary("HARD_SWISH", "int8", "uint8", "float32", reach=8),
    **{
        name: _float_unary(name.upper())
        for name in ("ceil", "cos", "floor", "round", "sin", "square")
    },
    "neg": _unary("NEG", "int8", "int16", "float32"),
    "float_logistic": _float_unary("LOGISTIC"),
    "float_tanh": _float_unary("TANH"),
    "logistic_int16": _int16_unary("LOGISTIC"),
    "tanh_int16": _int16_unary("TANH"),
    "softmax_int16": _int16_unary("SOFTMAX"),
    "leaky_relu_int16": _int16_unary("LEAKY_RELU"),
    "prelu": _prelu,
    "squared_difference": _squared_difference,
    "maximum": _extreme("MAXIMUM"),
    "minimum": _extreme("MINIMUM"),
    **{
        name: _comparison(name.upper())
        for name in ("equal", "not_equal", "less", "less_equal", "greater", "greater_equal")
    },
    "logical_and": _logical("LOGICAL_AND"),
    "logical_or": _logical("LOGICAL_OR"),
    "logical_not": _logical("LOGICAL_NOT"),
    "float_add": _float_pair("ADD", True),
    "float_sub": _float_pair("SUB", True),
    "float_mul": _float_pair("MUL", True),
    "div": _float_pair("DIV", True),
    "floor_div": _float_pair("FLOOR_DIV"),
    "floor_mod": _float_pair("FLOOR_MOD"),
    "float_squared_difference": _float_pair("SQUARED_DIFFERENCE"),
    "add_n": _add_n,
    "select_v2": _select_v2,
    "mean_int16": _reduction("MEAN", "int16", "float32"),
    "float_sum": _reduction("SUM", "float32"),
    "reduce_max": _reduction("REDUCE_MAX", "int8", "uint8", "int16", "float32"),
    "reduce_min": _reduction("REDUCE_MIN", "int8", "uint8", "int16", "float32"),
    "reduce_prod": _reduction("REDUCE_PROD", "float32"),
    "arg_max": _place("ARG_MAX"),
    "arg_min": _place("ARG_MIN"),
    "cumsum": _cumsum,
    "l2_normalization": _l2_normalization,
    "float_softmax": _float_rows("SOFTMAX"),
    "float_log_softmax": _float_rows("LOG_SOFTMAX"),
    "log_softmax": _log_softmax,
    "sums_of_powers_of_two": _powers_of_two,
    "float_average_pool_2d": _float_pool("AVERAGE_POOL_2D"),
    "float_max_pool_2d": _float_pool("MAX_POOL_2D"),
    "l2_pool_2d": _float_pool("L2_POOL_2D"),
    "float_resize_bilinear": _float_resize("RESIZE_BILINEAR"),
    "float_resize_nearest_neighbor": _float_resize("RESIZE_NEAREST_NEIGHBOR"),
    **COMPUTED,
    **CUSTOM,
    **FLOW,
    **FURTHER,
    **MOVING,
    **QUOTIENTS,
    **RECURRENT,
}
"""What is drawn beside `cases.OPERATORS`."""
