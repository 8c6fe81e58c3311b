"""What becomes of each operator of TensorFlow Lite Micro, by element type: a table of the docs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import tflite

from pytest_microtvm.compiler.frontends.tflite import import_tflite
from pytest_microtvm.compiler.nested import lower_nested
from pytest_microtvm.compiler.quantized.groups import group_integers
from pytest_microtvm.compiler.quantized.kernels import PORTABLE
from pytest_microtvm.errors import ModelError
from tests.operators.cases import Case, merged
from tests.operators.flow_cases import draw_if, draw_while
from tests.unit.compiler.tflite_models import (
    Quantization,
    assign_variable,
    read_variable,
    var_handle,
)

TYPES = ("float32", "int8", "int16", "uint8")
EXACT = "integers"
FLOATS = "float32"
FALLBACK = "falls back to float"
ABSENT = "-"

Build = Callable[[Case, str], None]


def _known(dtype: str, scale: float = 0.05) -> Quantization | None:
    zero_points = {"int8": -3, "uint8": 125, "int16": 0}
    if dtype not in zero_points:
        return None
    return Quantization([float(np.float32(scale))], [zero_points[dtype]])


def _data(case: Case, shape: list[int], dtype: str, scale: float = 0.05) -> int:
    rng = np.random.default_rng(len(case.tensors))
    return case.add_input(rng, shape, dtype, _known(dtype, scale))


def _constant(case: Case, shape: list[int], dtype: str, scale: float = 0.05) -> int:
    rng = np.random.default_rng(0)
    if dtype == "float32":
        return case.add(shape, dtype, None, rng.normal(size=shape).astype(dtype))
    values = rng.integers(1, 100, shape).astype(dtype)
    return case.add(shape, dtype, _known(dtype, scale), values)


def _unary(
    case: Case, operator: str, dtype: str, output: Quantization | None = None, **options: Any
) -> None:
    data = _data(case, [2, 6], dtype)
    known = output if output is not None and dtype != "float32" else _known(dtype, 0.04)
    case.run(operator, [data], [case.add([2, 6], dtype, known)], **options)


def _plain(operator: str, scale: float = 0.04, same: bool = False) -> Build:
    def build(case: Case, dtype: str) -> None:
        _unary(case, operator, dtype, _known(dtype, 0.05 if same else scale))

    return build


def _fixed(operator: str, scales: dict[str, tuple[float, int]], **options: Any) -> Build:
    """An operator whose output has the scale that TFLite wants."""

    def build(case: Case, dtype: str) -> None:
        scale, zero_point = scales.get(dtype, (0.04, 0))
        _unary(case, operator, dtype, Quantization([scale], [zero_point]), **options)

    return build


def _pair(operator: str, scale: float = 0.07, result: str = "", same: bool = False) -> Build:
    def build(case: Case, dtype: str) -> None:
        inputs = [_data(case, [2, 6], dtype), _data(case, [2, 6], dtype, 0.05 if same else 0.03)]
        known = None if result else _known(dtype, 0.05 if same else scale)
        case.run(operator, inputs, [case.add([2, 6], result or dtype, known)])

    return build


def _reduce(operator: str, same: bool = False) -> Build:
    def build(case: Case, dtype: str) -> None:
        data = _data(case, [2, 6], dtype)
        result = case.add([2], dtype, _known(dtype, 0.05 if same else 0.07))
        case.run(operator, [data, case.constant([1])], [result], KeepDims=False)

    return build


def _place(operator: str) -> Build:
    def build(case: Case, dtype: str) -> None:
        data = _data(case, [2, 6], dtype)
        axis = case.constant(np.int32(1))
        case.run(operator, [data, axis], [case.add([2], "int32")], OutputType=2)

    return build


def _pool(operator: str) -> Build:
    def build(case: Case, dtype: str) -> None:
        data = _data(case, [1, 4, 4, 2], dtype)
        result = case.add([1, 2, 2, 2], dtype, _known(dtype))
        taps = {"FilterHeight": 2, "FilterWidth": 2, "StrideH": 2, "StrideW": 2}
        case.run(operator, [data], [result], Padding=tflite.Padding.VALID, **taps)

    return build


def _moved(
    operator: str, before: list[int], after: list[int], *constants: Any, **options: Any
) -> Build:
    """An operator that moves elements, by constants that follow its input."""

    def build(case: Case, dtype: str) -> None:
        data = _data(case, before, dtype)
        more = [case.constant(np.array(values, np.int32)) for values in constants]
        case.run(operator, [data, *more], [case.add(after, dtype, _known(dtype))], **options)

    return build


def _layer(operator: str) -> Build:
    def build(case: Case, dtype: str) -> None:
        weights_dtype = "int8" if dtype == "int16" else dtype
        data = _data(case, [1, 4, 4, 2], dtype)
        size = {"CONV_2D": [3, 2, 2, 2], "DEPTHWISE_CONV_2D": [1, 2, 2, 2]}.get(operator, [3, 32])
        weights = _constant(case, size, weights_dtype, 0.01)
        if weights_dtype == "int8":
            weights = _balanced(case, weights)
        outputs = size[3] if operator == "DEPTHWISE_CONV_2D" else size[0]
        if dtype == "float32":
            bias = _constant(case, [outputs], dtype)
        else:
            bias_dtype = "int64" if dtype == "int16" else "int32"
            known = Quantization([float(np.float32(0.05) * np.float32(0.01))], [0])
            bias = case.add([outputs], bias_dtype, known, np.ones(outputs, bias_dtype))
        window = {"StrideH": 1, "StrideW": 1, "Padding": tflite.Padding.VALID}
        shape = [1, 3, 3, outputs]
        if operator == "FULLY_CONNECTED":
            window, shape = {}, [1, outputs]
        if operator == "DEPTHWISE_CONV_2D":
            window["DepthMultiplier"] = 1
        case.run(operator, [data, weights, bias], [case.add(shape, dtype, _known(dtype))], **window)

    return build


def _transpose_conv(case: Case, dtype: str) -> None:
    shape = case.constant([1, 4, 4, 3])
    weights = _constant(case, [3, 2, 2, 2], "int8" if dtype == "int16" else dtype, 0.01)
    data = _data(case, [1, 2, 2, 2], dtype)
    result = case.add([1, 4, 4, 3], dtype, _known(dtype))
    window = {"StrideH": 2, "StrideW": 2, "Padding": tflite.Padding.VALID}
    case.run("TRANSPOSE_CONV", [shape, weights, data], [result], **window)


def _batch_matmul(case: Case, dtype: str) -> None:
    inputs = [_data(case, [2, 3, 4], dtype), _data(case, [2, 4, 5], dtype)]
    case.run("BATCH_MATMUL", inputs, [case.add([2, 3, 5], dtype, _known(dtype))])


def _prelu(case: Case, dtype: str) -> None:
    data, slopes = _data(case, [1, 2, 2, 3], dtype), _constant(case, [1, 1, 3], dtype, 0.01)
    case.run("PRELU", [data, slopes], [case.add([1, 2, 2, 3], dtype, _known(dtype, 0.04))])


def _select(case: Case, dtype: str) -> None:
    chosen = case.add_input(np.random.default_rng(0), [2, 6], "bool", None)
    inputs = [_data(case, [2, 6], dtype) for _ in range(2)]
    case.run("SELECT_V2", [chosen, *inputs], [case.add([2, 6], dtype, _known(dtype))])


def _pad_v2(case: Case, dtype: str) -> None:
    data = _data(case, [2, 6], dtype)
    value = case.add([], dtype, _known(dtype), np.array(1, dtype))
    margins = case.constant(np.array([[1, 0], [0, 2]]))
    case.run("PADV2", [data, margins, value], [case.add([3, 8], dtype, _known(dtype))])


def _reduce_all(case: Case, dtype: str) -> None:
    data = case.add_input(np.random.default_rng(0), [2, 6], "bool", None)
    case.run("REDUCE_ALL", [data, case.constant([1])], [case.add([2], "bool")], KeepDims=False)


def _logical(operator: str, count: int) -> Build:
    def build(case: Case, dtype: str) -> None:
        rng = np.random.default_rng(0)
        inputs = [case.add_input(rng, [2, 3], "bool", None) for _ in range(count)]
        case.run(operator, inputs, [case.add([2, 3], "bool")])

    return build


def _many(operator: str, after: list[int], **options: Any) -> Build:
    def build(case: Case, dtype: str) -> None:
        inputs = [_data(case, [2, 6], dtype) for _ in range(2)]
        case.run(operator, inputs, [case.add(after, dtype, _known(dtype))], **options)

    return build


def _parts(operator: str, part: list[int], **options: Any) -> Build:
    def build(case: Case, dtype: str) -> None:
        data = _data(case, [2, 6], dtype)
        inputs = [data]
        if operator == "SPLIT":
            inputs = [case.constant(np.int32(1)), data]
        if operator == "SPLIT_V":
            inputs += [case.constant([3, 3]), case.constant(np.int32(1))]
        results = [case.add(part, dtype, _known(dtype)) for _ in range(2)]
        case.run(operator, inputs, results, **options)

    return build


def _quantize(case: Case, dtype: str) -> None:
    data = _data(case, [2, 6], dtype)
    target = "int8" if dtype == "float32" else dtype
    case.run("QUANTIZE", [data], [case.add([2, 6], target, _known(target, 0.1))])


def _dequantize(case: Case, dtype: str) -> None:
    if dtype == "float32":
        half = case.add([2, 6], "float16", None, np.ones((2, 6), np.float16))
        middle = case.add([2, 6], "float32")
        case.step("DEQUANTIZE", [half], [middle])
        data = _data(case, [2, 6], dtype)
        case.run("ADD", [data, middle], [case.add([2, 6], dtype)])
        return
    case.run("DEQUANTIZE", [_data(case, [2, 6], dtype)], [case.add([2, 6], "float32")])


def _cast(case: Case, dtype: str) -> None:
    data = case.add_input(np.random.default_rng(0), [2, 6], dtype, None)
    target = "int32" if dtype == "float32" else "float32"
    case.run("CAST", [data], [case.add([2, 6], target)])


def _embedding(case: Case, dtype: str) -> None:
    rows = case.add_input(np.random.default_rng(0), [2], "int32", None)
    for sample in case.samples:
        sample[-1] = np.array([0, 3], np.int32)
    table = _constant(case, [4, 6], dtype)
    case.run("EMBEDDING_LOOKUP", [rows, table], [case.add([2, 6], "float32")])


def _update(case: Case, dtype: str) -> None:
    data, part = _data(case, [2, 6], dtype), _data(case, [1, 3], dtype)
    start = case.add_input(np.random.default_rng(0), [2], "int32", None)
    result = case.add([2, 6], dtype, _known(dtype))
    case.run("DYNAMIC_UPDATE_SLICE", [data, part, start], [result])


def _made(operator: str) -> Build:
    """An operator whose result is known, added to an input."""

    def build(case: Case, dtype: str) -> None:
        data = _data(case, [2, 6], dtype)
        if operator in ("SHAPE", "BROADCAST_ARGS"):
            extents = case.add([2], "int32")
            inputs = [data] if operator == "SHAPE" else [case.constant([2, 6])] * 2
            case.step(operator, inputs, [extents])
            result = case.add([2, 6], dtype, _known(dtype))
            case.run("RESHAPE", [data, extents], [result])
            return
        made = case.add([2, 6], dtype, _known(dtype))
        inputs = [data]
        if operator == "FILL":
            value = case.add([], dtype, _known(dtype), np.array(1, dtype))
            inputs = [case.constant([2, 6]), value]
        case.step(operator, inputs, [made])
        case.run("MAXIMUM", [data, made], [case.add([2, 6], dtype, _known(dtype))])

    return build


def _svdf(case: Case, dtype: str) -> None:
    data = _data(case, [1, 3], dtype)
    weights = [_constant(case, [4, 3], dtype, 0.01) for _ in range(2)]
    weights = [_balanced(case, index) for index in weights]
    memory = _balanced(case, case.add([1, 12], dtype, _known(dtype, 0.1)))
    case.keep(memory)
    result = case.add([1, 2], dtype, _known(dtype))
    case.run("SVDF", [data, *weights, -1, memory], [result], Rank=2)


def _lstm(case: Case, dtype: str) -> None:
    data = _data(case, [1, 4, 3], dtype)
    shapes = [[2, 3]] * 4 + [[2, 2]] * 4
    weights = [_balanced(case, _constant(case, shape, dtype, 0.01)) for shape in shapes]
    bias_dtype = "float32" if dtype == "float32" else "int32"
    scale = None if dtype == "float32" else Quantization([0.0005], [0])
    biases = [case.add([2], bias_dtype, scale, np.ones(2, bias_dtype)) for _ in range(4)]
    states = [
        case.keep(case.add([1, 2], dtype, _known(dtype, 1 / 128))),
        case.keep(
            case.add([1, 2], dtype if dtype == "float32" else "int16", _known("int16", 2.0**-12))
        ),
    ]
    inputs = [data, *weights, -1, -1, -1, *biases, -1, -1, *states]
    result = case.add([1, 4, 2], dtype, _known(dtype, 1 / 128))
    activation = tflite.ActivationFunctionType.TANH
    case.run("UNIDIRECTIONAL_SEQUENCE_LSTM", inputs, [result], FusedActivationFunction=activation)
    inner = [case.add([0], "float32") for _ in range(4)]
    inner.append(case.add([0], dtype, _known(dtype, 1 / 128)))
    case.operators[-1] = replace(case.operators[-1], intermediates=inner)


def _balanced(case: Case, index: int) -> int:
    """A tensor of the case with a zero point of 0."""
    tensor = case.tensors[index]
    if tensor.quantization is not None:
        known = Quantization(tensor.quantization.scales, [0])
        case.tensors[index] = replace(tensor, quantization=known)
    return index


def _variable(case: Case, dtype: str) -> None:
    data = _data(case, [2, 6], dtype)
    handle = case.add([], "resource")
    before, after = (case.add([2, 6], dtype, _known(dtype)) for _ in range(2))
    case.operators += [var_handle("state", handle), read_variable(handle, before)]
    case.run("MAXIMUM", [data, before], [after])
    case.operators.append(assign_variable(handle, after))


def _flow(draw: Callable[[np.random.Generator, Case, str], None]) -> Build:
    return lambda case, dtype: draw(np.random.default_rng(0), case, dtype)


_UNIT = {"int8": (1 / 256, -128), "uint8": (1 / 256, 0), "int16": (1 / 32768, 0)}
_BALANCED = {"int8": (1 / 128, 0), "uint8": (1 / 128, 128), "int16": (1 / 32768, 0)}
_LOGARITHMS = {"int8": (16 / 256, 127), "uint8": (16 / 256, 255)}

BUILDERS: dict[str, Build] = {
    **{name: _plain(name) for name in ("ABS", "ELU", "HARD_SWISH", "LEAKY_RELU", "RELU", "RELU6")},
    **{name: _plain(name) for name in ("CEIL", "FLOOR", "ROUND", "NEG", "SQUARE", "COS", "SIN")},
    **{name: _plain(name, 2.0) for name in ("EXP", "LOG", "RSQRT", "SQRT")},
    "LOGISTIC": _fixed("LOGISTIC", _UNIT),
    "SOFTMAX": _fixed("SOFTMAX", _UNIT, Beta=1.0),
    "TANH": _fixed("TANH", _BALANCED),
    "L2_NORMALIZATION": _fixed("L2_NORMALIZATION", _BALANCED),
    "LOG_SOFTMAX": _fixed("LOG_SOFTMAX", _LOGARITHMS),
    **{name: _pair(name) for name in ("ADD", "SUB", "MUL", "DIV", "SQUARED_DIFFERENCE")},
    **{name: _pair(name) for name in ("FLOOR_DIV", "FLOOR_MOD")},
    **{name: _pair(name, same=True) for name in ("MAXIMUM", "MINIMUM")},
    **{
        name: _pair(name, result="bool")
        for name in ("EQUAL", "NOT_EQUAL", "LESS", "LESS_EQUAL", "GREATER", "GREATER_EQUAL")
    },
    "PADV2": _pad_v2,
    "REDUCE_ALL": _reduce_all,
    "LOGICAL_AND": _logical("LOGICAL_AND", 2),
    "LOGICAL_OR": _logical("LOGICAL_OR", 2),
    "LOGICAL_NOT": _logical("LOGICAL_NOT", 1),
    "ADD_N": _many("ADD_N", [2, 6]),
    "CONCATENATION": _many("CONCATENATION", [4, 6], Axis=0),
    "PACK": _many("PACK", [2, 2, 6], Axis=0, ValuesCount=2),
    "UNPACK": _parts("UNPACK", [6], Axis=0, Num=2),
    "SPLIT": _parts("SPLIT", [2, 3], NumSplits=2),
    "SPLIT_V": _parts("SPLIT_V", [2, 3], NumSplits=2),
    "MEAN": _reduce("MEAN"),
    "SUM": _reduce("SUM"),
    "REDUCE_MAX": _reduce("REDUCE_MAX", same=True),
    "REDUCE_MIN": _reduce("REDUCE_MIN", same=True),
    "ARG_MAX": _place("ARG_MAX"),
    "ARG_MIN": _place("ARG_MIN"),
    "CUMSUM": _moved("CUMSUM", [2, 6], [2, 6], 1),
    **{name: _pool(name) for name in ("AVERAGE_POOL_2D", "MAX_POOL_2D", "L2_POOL_2D")},
    **{name: _layer(name) for name in ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")},
    "TRANSPOSE_CONV": _transpose_conv,
    "BATCH_MATMUL": _batch_matmul,
    "PRELU": _prelu,
    "SELECT_V2": _select,
    "QUANTIZE": _quantize,
    "DEQUANTIZE": _dequantize,
    "CAST": _cast,
    "EMBEDDING_LOOKUP": _embedding,
    "DYNAMIC_UPDATE_SLICE": _update,
    **{name: _made(name) for name in ("SHAPE", "FILL", "ZEROS_LIKE", "BROADCAST_ARGS")},
    "RESHAPE": _moved("RESHAPE", [2, 6], [3, 4], [3, 4]),
    "SQUEEZE": _moved("SQUEEZE", [1, 6], [6]),
    "EXPAND_DIMS": _moved("EXPAND_DIMS", [2, 6], [2, 1, 6], 1),
    "TRANSPOSE": _moved("TRANSPOSE", [2, 6], [6, 2], [1, 0]),
    "PAD": _moved("PAD", [2, 6], [3, 8], [[1, 0], [1, 1]]),
    "MIRROR_PAD": _moved("MIRROR_PAD", [2, 6], [3, 8], [[1, 0], [1, 1]], Mode=0),
    "SLICE": _moved("SLICE", [2, 6], [1, 3], [1, 2], [1, 3]),
    "STRIDED_SLICE": _moved("STRIDED_SLICE", [2, 6], [2, 3], [0, 0], [2, 6], [1, 2]),
    "GATHER": _moved("GATHER", [2, 6], [2, 2], [5, 0], Axis=1),
    "GATHER_ND": _moved("GATHER_ND", [2, 6], [2], [[1, 5], [0, 0]]),
    "BROADCAST_TO": _moved("BROADCAST_TO", [1, 6], [4, 6], [4, 6]),
    "REVERSE_V2": _moved("REVERSE_V2", [2, 6], [2, 6], [1]),
    "DEPTH_TO_SPACE": _moved("DEPTH_TO_SPACE", [1, 2, 2, 8], [1, 4, 4, 2], BlockSize=2),
    "SPACE_TO_DEPTH": _moved("SPACE_TO_DEPTH", [1, 4, 4, 2], [1, 2, 2, 8], BlockSize=2),
    "SPACE_TO_BATCH_ND": _moved(
        "SPACE_TO_BATCH_ND", [1, 4, 4, 2], [4, 2, 2, 2], [2, 2], [[0, 0], [0, 0]]
    ),
    "BATCH_TO_SPACE_ND": _moved(
        "BATCH_TO_SPACE_ND", [4, 2, 2, 2], [1, 4, 4, 2], [2, 2], [[0, 0], [0, 0]]
    ),
    "RESIZE_BILINEAR": _moved("RESIZE_BILINEAR", [1, 4, 4, 2], [1, 8, 6, 2], [8, 6]),
    "RESIZE_NEAREST_NEIGHBOR": _moved(
        "RESIZE_NEAREST_NEIGHBOR", [1, 4, 4, 2], [1, 8, 6, 2], [8, 6]
    ),
    "UNIDIRECTIONAL_SEQUENCE_LSTM": _lstm,
    "IF": _flow(draw_if),
    "WHILE": _flow(draw_while),
    "SVDF": _svdf,
    **dict.fromkeys(("VAR_HANDLE", "READ_VARIABLE", "ASSIGN_VARIABLE"), _variable),
}
"""A small model of each builtin operator that TensorFlow Lite Micro registers.

CALL_ONCE is not drawn apart: it initializes the variables of the others.
"""

_WITHOUT_TYPE = ("LOGICAL_AND", "LOGICAL_OR", "LOGICAL_NOT", "REDUCE_ALL")
VERSIONS = {"BROADCAST_TO": 2}


def case_of(operator: str, dtype: str) -> Case:
    """A model of one operator."""
    case = Case(operator, f"{operator}-{dtype}")
    BUILDERS[operator](case, dtype)
    case.versions.update({k: v for k, v in VERSIONS.items() if k == operator})
    return case


def verdict(operator: str, dtype: str) -> str:
    """What the compiler makes of an operator: one of the constants above, or why it is refused."""
    if operator in _WITHOUT_TYPE and dtype != "float32":
        return ABSENT
    try:
        model = import_tflite(merged([case_of(operator, dtype)]).to_bytes())
    except ModelError as error:
        return f"refused: {error.message.partition('): ')[2] or error.message}"
    nested = lower_nested(model.specs, PORTABLE, "")
    grouped = group_integers(model.module, given=nested.specs)
    if operator in _WITHOUT_TYPE:
        return EXACT
    if grouped.float_operators or nested.float_operators:
        return FALLBACK
    return FLOATS if dtype == "float32" else EXACT


def table() -> str:
    """The verdicts as a table in Markdown."""
    lines = [f"| operator | {' | '.join(TYPES)} |", f"|{' --- |' * (len(TYPES) + 1)}"]
    for operator in sorted(BUILDERS):
        cells = [verdict(operator, dtype) for dtype in TYPES]
        lines.append(f"| {operator} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def page() -> str:
    """The page of the docs with the table as it is now."""
    text = PAGE.read_text(encoding="utf-8")
    return text[: text.index("| operator |")] + table()


PAGE = Path(__file__).parents[2] / "docs/operators.md"
"""Where the table is."""
