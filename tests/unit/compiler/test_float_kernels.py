"""Float kernels against NumPy, and against themselves as they are written for other CPUs."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from pytest_microtvm.compiler.quantized.float_specs import (
    Expression,
    FloatConv2D,
    FloatDepthwiseConv2D,
    FloatElementwise,
    FloatOperand,
    FloatPool,
    FloatReduction,
    FloatSoftmax,
    FloatWeights,
    Range,
)
from pytest_microtvm.compiler.quantized.kernels import generate
from pytest_microtvm.compiler.quantized.specs import Window
from tests.unit.compiler.float_kernels import run_kernels

TOLERANCE = 1e-5


def taps_inside(spec, y, x):
    """The numbers of the taps of an output that are inside of the image, and the pixels there."""
    window = spec.window
    for i in range(window.shape[0]):
        for j in range(window.shape[1]):
            row = y * window.strides[0] - window.padding[0] + i * window.dilation[0]
            column = x * window.strides[1] - window.padding[1] + j * window.dilation[1]
            if 0 <= row < spec.input_shape[1] and 0 <= column < spec.input_shape[2]:
                yield i, j, row, column


def bounded(values, bounds):
    low = -np.inf if bounds.minimum is None else bounds.minimum
    high = np.inf if bounds.maximum is None else bounds.maximum
    return np.clip(values, low, high)


def real_weights(spec):
    """What the weights stand for."""
    values = spec.weights.values.astype(np.float64)
    scales = spec.weights.scales
    return values if scales is None else values * scales[:, None, None, None]


def conv2d(spec, image):
    """In double precision."""
    weights = real_weights(spec)
    result = np.zeros(spec.output_shape)
    for y in range(spec.output_shape[1]):
        for x in range(spec.output_shape[2]):
            for i, j, row, column in taps_inside(spec, y, x):
                result[:, y, x] += image[:, row, column].astype(np.float64) @ weights[:, i, j].T
    if spec.bias is not None:
        result += spec.bias
    return bounded(result, spec.bounds)


def outputs_of(extent, taps, stride, dilation, before, after):
    return (extent + before + after - (taps - 1) * dilation - 1) // stride + 1


def pair(rng, low, high) -> tuple[int, int]:
    """Two numbers, each of its own range."""
    first, second = rng.integers(low, high)
    return int(first), int(second)


def draw_window(rng, extents):
    """A window, the rows and columns behind the image that it may see, and how many outputs."""
    while True:
        shape, strides, dilation = (pair(rng, (1, 1), (4, 4)) for _ in range(3))
        if rng.random() < 0.5:
            dilation = (1, 1)
        before, after = (pair(rng, (0, 0), (shape[0] + 2, shape[1] + 2)) for _ in range(2))
        outputs = tuple(map(outputs_of, extents, shape, strides, dilation, before, after))
        window = Window(shape, strides, dilation, before)
        if min(outputs) > 0 and window.sees_image((1, *outputs, 1)):
            return window, outputs


def draw_weights(rng, shape):
    """Weights of all kinds, so large that sums are about 1."""
    size = 1 / math.sqrt(math.prod(shape[1:]))
    kind = str(rng.choice(["float32", "float16", "int8", "int4"]))
    if kind.startswith("float"):
        values = rng.normal(0, size, shape).astype(kind)
        values.flat[0] = 1e-6  # a subnormal float16
        return FloatWeights(values)
    limit = 127 if kind == "int8" else 7
    values = rng.integers(-limit, limit + 1, shape).astype(np.int8)
    values.flat[:1] = -limit - (kind == "int4")
    scales = rng.uniform(0.5, 1.5, rng.choice([1, shape[0]])) * size / limit
    return FloatWeights(values, scales.astype(np.float32))


def draw_conv2d(rng):
    batches, channels, results = (int(n) for n in rng.integers(1, (3, 6, 10)))
    height, width = pair(rng, (1, 1), (9, 9))
    window, (rows, columns) = draw_window(rng, (height, width))
    shape = (results, *window.shape, channels)
    bias = rng.normal(size=results).astype(np.float32) if rng.random() < 0.7 else None
    bounds = [Range(), Range(0.0), Range(0.0, 6.0), Range(-1.0, 1.0)][rng.integers(4)]
    return FloatConv2D(
        (batches, height, width, channels),
        (batches, rows, columns, results),
        window,
        draw_weights(rng, shape),
        bias,
        bounds,
    )


def depthwise_conv2d(spec, image):
    weights = real_weights(spec)[..., 0]
    spread = np.repeat(image.astype(np.float64), len(weights) // image.shape[3], axis=3)
    result = np.zeros(spec.output_shape)
    for y in range(spec.output_shape[1]):
        for x in range(spec.output_shape[2]):
            for i, j, row, column in taps_inside(spec, y, x):
                result[:, y, x] += spread[:, row, column] * weights[:, i, j]
    if spec.bias is not None:
        result += spec.bias
    return bounded(result, spec.bounds)


def draw_depthwise(rng):
    whole = draw_conv2d(rng)
    channels, multiplier = int(rng.integers(1, 12)), int(rng.choice([1, 1, 2, 3, 30]))
    results = channels * multiplier
    bias = None if whole.bias is None else rng.normal(size=results).astype(np.float32)
    return FloatDepthwiseConv2D(
        (*whole.input_shape[:3], channels),
        (*whole.output_shape[:3], results),
        whole.window,
        draw_weights(rng, (results, *whole.window.shape, 1)),
        bias,
        whole.bounds,
    )


def pool(spec, image):
    result = np.zeros(spec.output_shape)
    for y in range(spec.output_shape[1]):
        for x in range(spec.output_shape[2]):
            seen = [image[:, row, column] for _, _, row, column in taps_inside(spec, y, x)]
            if spec.kind == "max":
                result[:, y, x] = np.max(seen, axis=0)
                continue
            count = math.prod(spec.window.shape) if spec.counts_padding else len(seen)
            result[:, y, x] = np.sum(seen, axis=0, dtype=np.float64) / count
    return bounded(result, spec.bounds)


def draw_pool(rng):
    whole = draw_conv2d(rng)
    ends = [
        list(taps_inside(whole, y, x))
        for y in (0, whole.output_shape[1] - 1)
        for x in (0, whole.output_shape[2] - 1)
    ]
    if not all(ends):  # an output that sees nothing
        return draw_pool(rng)
    channels = int(rng.integers(1, 20))
    kind = str(rng.choice(["average", "max"]))
    return FloatPool(
        kind,
        (*whole.input_shape[:3], channels),
        (*whole.output_shape[:3], channels),
        whole.window,
        kind == "average" and rng.random() < 0.3,
        whole.bounds,
    )


def reduction(spec, values):
    parts = values.reshape(spec.rows, spec.extent, spec.columns).astype(np.float64)
    return bounded(getattr(np, spec.kind)(parts, axis=1), spec.bounds)


def draw_reduction(rng):
    kind = str(rng.choice(["mean", "sum", "max", "min"]))
    rows, extent, columns = (int(n) for n in rng.integers(1, 20, 3))
    return FloatReduction(kind, rows, extent, columns)


def softmax(spec, values):
    rows = values.reshape(spec.rows, spec.columns).astype(np.float64)
    powers = np.exp(rows - rows.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def draw_softmax(rng):
    return FloatSoftmax(*pair(rng, (1, 1), (20, 20)))


BINARY = ("add", "subtract", "multiply", "divide", "maximum", "minimum")
UNARY: dict[str, Any] = {
    "abs": np.abs,
    "exp": np.exp,
    "negative": np.negative,
    "rsqrt": lambda x: 1 / np.sqrt(x),
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "silu": lambda x: x / (1 + np.exp(-x)),
    "sqrt": np.sqrt,
    "square": np.square,
    "tanh": np.tanh,
}


def elementwise(spec, *inputs):
    given = iter(inputs)
    operands = [
        (next(given) if operand.values is None else operand.values).astype(np.float64)
        for operand in spec.operands
    ]

    def value_of(expression):
        if expression.function == "operand":
            return operands[int(expression.value)]
        if expression.function == "number":
            return expression.value
        arguments = [value_of(argument) for argument in expression.arguments]
        if expression.function == "leaky_relu":
            return np.where(arguments[0] < 0, arguments[0] * expression.value, arguments[0])
        if expression.function == "at_least":
            return np.maximum(arguments[0], expression.value)
        if expression.function == "at_most":
            return np.minimum(arguments[0], expression.value)
        function = UNARY.get(expression.function) or getattr(np, expression.function)
        return function(*arguments)

    return np.broadcast_to(value_of(spec.function), spec.shape)


def draw_elementwise(rng):
    shape = tuple(int(n) for n in rng.integers(1, 6, rng.integers(1, 5)))
    shapes = [shape, tuple(n if rng.random() < 0.6 else 1 for n in shape), shape[1:]]
    operands: list[FloatOperand] = []
    for part in shapes:
        values = np.abs(rng.normal(size=part)).astype(np.float32) + np.float32(0.5)
        is_known = len(operands) > 0 and rng.random() < 0.5
        operands.append(FloatOperand(part, values if is_known else None))
    function = Expression("operand", value=0)
    for position in (1, 2):
        other = Expression("operand", value=position)
        if rng.random() < 0.3:
            other = Expression("add", [other, Expression("number", value=1.5)])
        function = Expression(str(rng.choice(BINARY)), [function, other])
        if rng.random() < 0.5:
            kind = str(rng.choice([*UNARY, "leaky_relu", "at_least", "at_most"]))
            if kind in ("sqrt", "rsqrt"):  # of what is above 0
                function = Expression("exp", [Expression("tanh", [function])])
            function = Expression(kind, [function], 0.25)
    return FloatElementwise(shape, tuple(operands), function)


DRAWN: dict[str, Any] = {
    "conv2d": (draw_conv2d, conv2d),
    "depthwise_conv2d": (draw_depthwise, depthwise_conv2d),
    "elementwise": (draw_elementwise, elementwise),
    "pool": (draw_pool, pool),
    "reduction": (draw_reduction, reduction),
    "softmax": (draw_softmax, softmax),
}


def inputs_of(rng, spec):
    """Inputs of the shapes that a spec says; those of functions of elements are above 0."""
    if isinstance(spec, FloatElementwise):
        shapes = [operand.shape for operand in spec.operands if operand.values is None]
        return [
            np.abs(rng.normal(size=shape)).astype(np.float32) + np.float32(0.5) for shape in shapes
        ]
    if isinstance(spec, FloatReduction):
        return [rng.normal(size=spec.rows * spec.extent * spec.columns).astype(np.float32)]
    if isinstance(spec, FloatSoftmax):
        return [rng.normal(0, 8, size=spec.rows * spec.columns).astype(np.float32)]
    return [rng.normal(size=spec.input_shape).astype(np.float32)]


@pytest.mark.parametrize("name", DRAWN)
def test_kernels_compute_what_specs_say_and_the_same_bits_for_all_cpus(name, tmp_path):
    draw, reference = DRAWN[name]
    rng = np.random.default_rng(7)
    specs = [draw(rng) for _ in range(24)]
    inputs = [inputs_of(rng, spec) for spec in specs]
    expected = [reference(spec, *given) for spec, given in zip(specs, inputs, strict=True)]
    found = {}
    for simd in ("none", "dsp", "helium"):
        folder = tmp_path / simd
        folder.mkdir()
        sizes = [result.size for result in expected]
        found[simd] = run_kernels(specs, inputs, sizes, simd, folder)
        for spec, right, result in zip(specs, expected, found[simd], strict=True):
            np.testing.assert_allclose(
                result.reshape(right.shape), right, TOLERANCE, TOLERANCE, err_msg=str(spec)
            )
    for first, second in zip(found["none"], found["dsp"], strict=True):
        assert first.tobytes() == second.tobytes()


@pytest.mark.parametrize("simd", ["none", "dsp", "helium"])
def test_an_image_of_one_column_may_have_steps_along_its_rows(simd, tmp_path):
    rng = np.random.default_rng(3)
    weights = FloatWeights(rng.normal(size=(5, 1, 1, 33)).astype(np.float32))
    spec = FloatConv2D((1, 10, 1, 33), (1, 10, 1, 5), Window((1, 1), (1, 3)), weights, None)
    [given] = inputs_of(rng, spec)
    right = conv2d(spec, given)
    [result] = run_kernels([spec], [[given]], [right.size], simd, tmp_path)
    np.testing.assert_allclose(result.reshape(right.shape), right, TOLERANCE, TOLERANCE)


def test_weights_take_no_more_than_the_model_has_for_them():
    rng = np.random.default_rng(1)
    image = (1, 6, 6, 8), (1, 6, 6, 6)
    bytes_of = {}
    for kind, dtype in (("float32", np.float32), ("float16", np.float16), ("int8", np.int8)):
        values = rng.integers(-100, 100, (6, 3, 3, 8)).astype(dtype)
        scales = np.ones(1, np.float32) if kind == "int8" else None
        weights = FloatWeights(values, scales)
        spec = FloatConv2D(*image, Window((3, 3), padding=(1, 1)), weights, None)
        [constant] = generate(spec, "dsp").constants
        bytes_of[kind] = constant.nbytes
        small = replace(
            spec,
            weights=FloatWeights(
                np.trunc(values / np.float32(50)).astype(np.int8), np.ones(1, "f4")
            ),
        )
        [constant] = generate(small, "dsp").constants
        bytes_of["int4"] = constant.nbytes
    count = 6 * 3 * 3 * 8
    assert bytes_of == {
        "float32": 4 * count,
        "float16": 2 * count,
        "int8": count,
        "int4": count // 2,
    }


@pytest.mark.parametrize("function", ["exp", "sigmoid", "tanh"])
def test_functions_are_right_to_the_last_digits_over_all_floats(function, tmp_path):
    rng = np.random.default_rng(3)
    bits = rng.integers(0, 1 << 32, 200_000, dtype=np.uint32)
    values = bits.view(np.float32)
    values = np.concatenate([values[np.isfinite(values)], np.linspace(-110, 95, 99_999)])
    values = values.astype(np.float32)
    spec = FloatElementwise(
        values.shape,
        (FloatOperand(values.shape),),
        Expression(function, [Expression("operand", value=0)]),
    )
    [found] = run_kernels([spec], [[values]], [values.size], "none", tmp_path)
    with np.errstate(over="ignore"):
        right = UNARY[function](values.astype(np.float64)).astype(np.float32)
    infinite = np.isinf(right)
    assert (found[infinite] == right[infinite]).all()
    units = np.spacing(np.abs(right[~infinite]))
    assert (np.abs(found[~infinite] - right[~infinite]) <= 4 * units).all()
    folder = tmp_path / "odd"
    folder.mkdir()
    [odd] = run_kernels(
        [FloatElementwise((3,), (FloatOperand((3,)),), spec.function)],
        [[np.array([np.nan, -np.inf, np.inf], np.float32)]],
        [3],
        "none",
        folder,
    )
    assert np.isnan(odd[0])
    limits = {"exp": (0, np.inf), "sigmoid": (0, 1), "tanh": (-1, 1)}
    assert tuple(odd[1:]) == limits[function]


def test_blocks_are_small_where_a_cpu_has_few_registers():
    rng = np.random.default_rng(1)
    weights = FloatWeights(rng.normal(size=(16, 3, 3, 8)).astype(np.float32))
    image = (1, 12, 12, 8), (1, 12, 12, 16)
    spec = FloatConv2D(*image, Window((3, 3), padding=(1, 1)), weights, None)
    few, many = (
        len(set(re.findall(r"sum\d+_\d+", generate(spec, simd).body))) for simd in ("none", "dsp")
    )
    assert few <= 8
    assert many >= 16
