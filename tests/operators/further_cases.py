"""Operators that few models have, drawn at random."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import tflite

from tests.operators.cases import (
    Case,
    Rng,
    _dtype,
    _either,
    _moved,
    _pair_of_shapes,
    _scale,
    _shape,
)
from tests.operators.layer_cases import CLOSE, _rank
from tests.unit.compiler.tflite_models import Quantization

Draw = Callable[[Rng, Case], None]


def _numbers(rng: Rng, case: Case, shape: list[int], low: int, end: int) -> int:
    """An input of int32, from `low` on and below `end`."""
    index = case.add_input(rng, shape, "int32", None)
    for sample in case.samples:
        sample[-1] = rng.integers(low, end, shape).astype(np.int32)
    return index


def _scatter_nd(rng: Rng, case: Case) -> None:
    """Some places are named twice: what is there is added."""
    dtype = _dtype(rng, "float32", "int32")
    shape = _shape(rng, _rank(rng, 1, 3), 1, 4)
    depth, count = _rank(rng, 1, len(shape)), _rank(rng, 1, 5)
    places = _numbers(rng, case, [count, depth], 0, min(shape))
    updates = case.add_input(rng, [count, *shape[depth:]], dtype, None)
    for sample in case.samples:  # sums of bytes stay bytes, and those of floats are exact
        sample[-1] = np.round(np.clip(sample[-1], -20, 20)).astype(dtype)
    case.run("SCATTER_ND", [places, updates, case.constant(shape)], [case.add(shape, dtype)])


def _one_hot(rng: Rng, case: Case) -> None:
    """Some numbers name no place."""
    dtype = str(rng.choice(["float32", "int32", "int8", "bool"]))
    shape, count = _shape(rng, _rank(rng, 0, 3), 1, 4), _rank(rng, 1, 5)
    axis = int(rng.integers(len(shape) + 1))
    data = _numbers(rng, case, shape, -1, count + 1)
    values = [case.add([], dtype, None, np.array(value, dtype)) for value in (1, 0)]
    result = case.add([*shape[:axis], count, *shape[axis:]], dtype)
    stated = -1 if axis == len(shape) else axis
    case.run("ONE_HOT", [data, case.constant(np.int32(count)), *values], [result], Axis=stated)


def _select(rng: Rng, case: Case) -> None:
    """Element by element, row by row, or all of one tensor."""
    dtype, known = _moved(rng)
    shape = _shape(rng, _rank(rng, 1, 3), 1, 5)
    condition = [shape, shape[:1], []][int(rng.integers(3))]
    chosen = case.add_input(rng, condition, "bool", None)
    data = [case.add_input(rng, shape, dtype, known) for _ in range(2)]
    case.run("SELECT", [chosen, *data], [case.add(shape, dtype, known)])


def _bits(rng: Rng, case: Case) -> None:
    dtype = str(rng.choice(["int8", "uint8", "int16", "int32"]))
    left, right, shape = _pair_of_shapes(rng)
    inputs = [case.add_input(rng, extents, dtype, None) for extents in (left, right)]
    operator = str(rng.choice(["BITWISE_XOR", "RIGHT_SHIFT"]))
    for sample in case.samples if operator == "RIGHT_SHIFT" else ():
        sample[-1] = rng.integers(0, 8, right).astype(dtype)
    case.run(operator, inputs, [case.add(shape, dtype)])


def _svdf(rng: Rng, case: Case) -> None:
    """Of floats, and of int8 with a state of int16, as LiteRT has it."""
    rows, inputs, units, rank, memory = (int(n) for n in rng.integers(1, [3, 6, 5, 4, 6]))
    filters = units * rank
    if rng.random() < 0.5:
        case.tolerance = CLOSE
        data = case.add_input(rng, [rows, inputs], "float32", None)
        shapes = [[filters, inputs], [filters, memory], [units]]
        weights = [
            case.add(shape, "float32", None, rng.normal(size=shape).astype(np.float32))
            for shape in shapes
        ]
        state, result = (
            case.add([rows, filters * memory], "float32"),
            case.add([rows, units], "float32"),
        )
        activation = int(rng.choice([tflite.ActivationFunctionType.NONE, 1, 3]))
    else:
        scales = [_scale(rng, low, high) for low, high in ((-7, -4), (-9, -6), (-14, -11))]
        kept, summed = _scale(rng, -12, -9), _scale(rng, -5, -2)
        data = case.add_input(rng, [rows, inputs], "int8", Quantization([scales[0]], [7]))
        weights = [
            case.add(
                shape,
                dtype,
                Quantization([scale], [0]),
                rng.integers(-127, 128, shape).astype(dtype),
            )
            for shape, dtype, scale in (
                ([filters, inputs], "int8", scales[1]),
                ([filters, memory], "int16", scales[2]),
            )
        ]
        bias = Quantization([float(np.float32(kept) * np.float32(scales[2]))], [0])
        values = rng.integers(-2000, 2000, units).astype(np.int32)
        weights.append(case.add([units], "int32", bias, values))
        state = case.add([rows, filters * memory], "int16", Quantization([kept], [0]))
        result = case.add([rows, units], "int8", Quantization([summed], [-128]))
        activation = int(tflite.ActivationFunctionType.RELU)
    inputs_of = [data, *weights, case.keep(state)]
    case.run("SVDF", inputs_of, [result], Rank=rank, FusedActivationFunction=activation)


def _made(rng: Rng, case: Case) -> None:
    """What is known of a tensor's shape, or fills another one."""
    dtype, known = _moved(rng)
    shape = _shape(rng, _rank(rng, 1, 5), 1, 4)
    operator = str(rng.choice(["FILL", "RANK", "SHAPE", "ZEROS_LIKE", "BROADCAST_ARGS"]))
    if operator == "FILL":
        value = case.add_input(rng, [], dtype, known)
        case.run(operator, [case.constant(shape), value], [case.add(shape, dtype, known)])
    elif operator == "BROADCAST_ARGS":
        left, right, _ = _pair_of_shapes(rng)
        inputs = []
        for extents in (left, right):
            inputs.append(case.add_input(rng, [len(extents)], "int32", None))
            for sample in case.samples:
                sample[-1] = np.array(extents, np.int32)
        count = max(len(left), len(right))
        case.run(operator, inputs, [case.add([count], "int32")])
    elif operator == "ZEROS_LIKE":
        number = str(rng.choice(["float32", "int32"]))
        data = case.add_input(rng, shape, number, None)
        case.run(operator, [data], [case.add(shape, number)])
    else:
        data = case.add_input(rng, shape, dtype, known)
        is_shape = operator == "SHAPE"
        options = {"OutType": tflite.TensorType.INT32} if is_shape else {}
        result = case.add([len(shape)] if is_shape else [], "int32")
        case.run(operator, [data], [result], **options)


def _logical_reduction(rng: Rng, case: Case) -> None:
    shape = _shape(rng, _rank(rng, 1, 4), 1, 4)
    axis = int(rng.integers(len(shape)))
    data = case.add_input(rng, shape, "bool", None)
    for sample in case.samples[1:]:
        sample[-1] |= rng.random(shape) < 0.8
    kept = [extent for a, extent in enumerate(shape) if a != axis]
    axes = case.constant([_either(rng, axis, len(shape))])
    operator = str(rng.choice(["REDUCE_ANY", "REDUCE_ALL"]))
    case.run(operator, [data, axes], [case.add(kept, "bool")], KeepDims=False)


FURTHER: dict[str, Draw] = {
    "scatter_nd": _scatter_nd,
    "one_hot": _one_hot,
    "select": _select,
    "bits": _bits,
    "svdf": _svdf,
    "made_of_shapes": _made,
    "logical_reduction": _logical_reduction,
}
"""By the name of the operator."""
