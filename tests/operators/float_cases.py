"""Operators over float32 that have kernels of their own, drawn at random."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tests.operators.cases import (
    Case,
    Rng,
    _activation,
    _channels,
    _dilation_of,
    _image,
    _pair_of_shapes,
    _shape,
    _steps_of,
    _window,
    run_pool,
)

TOLERANCE = 1e-5


def _input(rng: Rng, case: Case, shape: Sequence[int], spread: float = 1.0) -> int:
    """An input whose values are about as large as `spread`; sums of them keep their digits."""
    index = case.add_input(rng, shape, "float32", None)
    for sample in case.samples:
        sample[-1] = rng.normal(0, spread, shape).astype(np.float32)
    case.tolerance = TOLERANCE
    return index


def _constant(rng: Rng, case: Case, shape: Sequence[int], spread: float = 1.0) -> int:
    values = rng.normal(0, spread, shape).astype(np.float32)
    return case.add(shape, "float32", None, values)


def _layer(
    rng: Rng, case: Case, data: int, image: Sequence[int], kind: str = "CONV_2D", most: int = 5
) -> tuple[int, list[int]]:
    """A convolution with bias and activation; its result, and the shape of that."""
    window = _window(rng, image, most, dilated=True)
    taps = math.prod(window["taps"])
    options: dict[str, Any] = {}
    if kind == "CONV_2D":
        channels = _channels(rng)
        shape = [channels, *window["taps"], image[3]]
        taps *= image[3]
    else:
        multiplier = int(rng.choice([1, 1, 1, 2, 3]))
        channels = image[3] * multiplier
        shape = [1, *window["taps"], channels]
        options["DepthMultiplier"] = multiplier
    weights = _constant(rng, case, shape, 1 / math.sqrt(taps))
    bias = _constant(rng, case, [channels])
    extents = [image[0], *window["outputs"], channels]
    result = case.add(extents, "float32")
    case.step(
        kind,
        [data, weights, bias],
        [result],
        **_steps_of(window),
        **_dilation_of(window),
        FusedActivationFunction=_activation(rng),
        **options,
    )
    return result, extents


def _convolution(kind: str) -> Callable[[Rng, Case], None]:
    def draw_case(rng: Rng, case: Case) -> None:
        image = _image(rng)
        result, _ = _layer(rng, case, _input(rng, case, image), image, kind)
        case.outputs.append(result)

    return draw_case


def _dense(rng: Rng, case: Case, data: int, inputs: int, rows: int = 1) -> tuple[int, int]:
    """A fully connected layer; its result, and how many outputs it has."""
    outputs = _channels(rng)
    weights = _constant(rng, case, [outputs, inputs], 1 / math.sqrt(inputs))
    bias = _constant(rng, case, [outputs]) if rng.random() < 0.7 else -1
    result = case.add([rows, outputs], "float32")
    case.step(
        "FULLY_CONNECTED",
        [data, weights, bias],
        [result],
        FusedActivationFunction=_activation(rng),
    )
    return result, outputs


def _fully_connected(rng: Rng, case: Case) -> None:
    rows, inputs = int(rng.integers(1, 5)), int(rng.integers(1, 80))
    result, _ = _dense(rng, case, _input(rng, case, [rows, inputs]), inputs, rows)
    case.outputs.append(result)


def _padded_conv_2d(rng: Rng, case: Case) -> None:
    image = _image(rng)
    margins = rng.integers(0, 2, (4, 2), endpoint=True)
    margins[[0, 3]] = 0
    padded = [int(extent) for extent in np.array(image) + margins.sum(axis=1)]
    data = _input(rng, case, image)
    middle = case.add(padded, "float32")
    case.step("PAD", [data, case.constant(margins)], [middle])
    result, _ = _layer(rng, case, middle, padded)
    case.outputs.append(result)


def _pool(operator: str) -> Callable[[Rng, Case], None]:
    def draw_case(rng: Rng, case: Case) -> None:
        image = _image(rng)
        window = _window(rng, image, 6, dilated=False)
        data = _input(rng, case, image)
        run_pool(rng, case, operator, data, window)

    return draw_case


def _reduction(operator: str) -> Callable[[Rng, Case], None]:
    def draw_case(rng: Rng, case: Case) -> None:
        shape = _shape(rng, int(rng.integers(1, 4, endpoint=True)))
        count = int(rng.integers(1, len(shape), endpoint=True))
        axes = sorted(int(axis) for axis in rng.choice(len(shape), count, replace=False))
        keep = bool(rng.random() < 0.5)
        kept = [1 if axis in axes else extent for axis, extent in enumerate(shape)]
        rest = [extent for axis, extent in enumerate(shape) if axis not in axes]
        data = _input(rng, case, shape)
        result = case.add(kept if keep else rest, "float32")
        case.run(operator, [data, case.constant(axes)], [result], KeepDims=keep)

    return draw_case


def _softmax(rng: Rng, case: Case) -> None:
    shape = _shape(rng, int(rng.integers(1, 3, endpoint=True)), 1, 20)
    data = _input(rng, case, shape, float(rng.choice([0.1, 1.0, 10.0])))
    result = case.add(shape, "float32")
    case.run("SOFTMAX", [data], [result], Beta=float(rng.choice([1.0, 1.0, 0.5])))


def _binary(operator: str) -> Callable[[Rng, Case], None]:
    def draw_case(rng: Rng, case: Case) -> None:
        left, right, shape = _pair_of_shapes(rng)
        known = int(rng.choice([0, 1])) if rng.random() < 0.3 else None
        indices = []
        for position, part in enumerate((left, right)):
            make = _constant if position == known else _input
            indices.append(make(rng, case, part))
        if operator == "DIV":
            _lift(case, indices[1])
        result = case.add(shape, "float32")
        activation = _activation(rng)
        options = (
            {} if operator in ("MAXIMUM", "MINIMUM") else {"FusedActivationFunction": activation}
        )
        case.run(operator, indices, [result], **options)

    return draw_case


def _lift(case: Case, index: int) -> None:
    """Let a tensor have values of 1/2 and more only."""
    if index in case.inputs:
        for sample in case.samples:
            sample[-1] = np.abs(sample[-1]) + np.float32(0.5)
        return
    data = case.tensors[index].data
    assert data is not None
    data[...] = np.abs(data) + np.float32(0.5)


def _chain(rng: Rng, case: Case) -> None:
    """Functions of elements after each other, some of which read what others made."""
    shape = _shape(rng, int(rng.integers(1, 4, endpoint=True)))
    made = [_constant(rng, case, shape[-1:]), _input(rng, case, shape)]
    for _ in range(int(rng.integers(2, 6))):
        result = case.add(shape, "float32")
        if rng.random() < 0.5:
            operator = str(rng.choice(["LOGISTIC", "TANH", "RELU", "RELU6", "ABS", "NEG"]))
            case.step(operator, [made[-1]], [result])
        else:
            operator = str(rng.choice(["ADD", "SUB", "MUL"]))
            other = made[int(rng.integers(len(made)))]
            case.step(operator, [made[-1], other], [result])
        made.append(result)
    case.outputs.append(made[-1])


def _network(rng: Rng, case: Case) -> None:
    """Convolutions with a residual sum, a pool, a fully connected layer, softmax."""
    image = [1, *_shape(rng, 2, 4, 10), _channels(rng)]
    data = _input(rng, case, image)
    first, image = _layer(rng, case, data, image, most=3)
    second, image = _layer(rng, case, first, image, "DEPTHWISE_CONV_2D", most=3)
    point = _constant(rng, case, [image[3], 1, 1, image[3]], 1 / math.sqrt(image[3]))
    third = case.add(image, "float32")
    case.step(
        "CONV_2D", [second, point, _constant(rng, case, [image[3]])], [third], StrideH=1, StrideW=1
    )
    total = case.add(image, "float32")
    case.step("ADD", [second, third], [total], FusedActivationFunction=_activation(rng))
    mean = case.add([1, image[3]], "float32")
    case.step("MEAN", [total, case.constant([1, 2])], [mean])
    scores, outputs = _dense(rng, case, mean, image[3])
    chances = case.add([1, outputs], "float32")
    case.run("SOFTMAX", [scores], [chances], Beta=1.0)


FLOATS: dict[str, Callable[[Rng, Case], None]] = {
    "float_conv_2d": _convolution("CONV_2D"),
    "float_depthwise_conv_2d": _convolution("DEPTHWISE_CONV_2D"),
    "float_fully_connected": _fully_connected,
    "float_padded_conv_2d": _padded_conv_2d,
    "float_average_pool_2d": _pool("AVERAGE_POOL_2D"),
    "float_max_pool_2d": _pool("MAX_POOL_2D"),
    "float_mean": _reduction("MEAN"),
    "float_sum": _reduction("SUM"),
    "float_softmax": _softmax,
    "float_add": _binary("ADD"),
    "float_sub": _binary("SUB"),
    "float_mul": _binary("MUL"),
    "float_div": _binary("DIV"),
    "float_maximum": _binary("MAXIMUM"),
    "float_minimum": _binary("MINIMUM"),
    "float_chain": _chain,
    "float_network": _network,
}
"""Fills a case from random numbers, by name."""
