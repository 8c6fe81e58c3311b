"""Float kernels against NumPy, and against themselves as they are written for other CPUs."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest

from pytest_microtvm.compiler.quantized.float_specs import FloatConv2D, FloatWeights, Range
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


def conv2d(spec, image):
    """In double precision."""
    weights = spec.weights.values.astype(np.float64)
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
        before, after = (pair(rng, (0, 0), shape) for _ in range(2))
        outputs = tuple(map(outputs_of, extents, shape, strides, dilation, before, after))
        window = Window(shape, strides, dilation, before)
        if min(outputs) > 0 and window.sees_image((1, *outputs, 1)):
            return window, outputs


def draw_conv2d(rng):
    batches, channels, results = (int(n) for n in rng.integers(1, (3, 6, 10)))
    height, width = pair(rng, (1, 1), (9, 9))
    window, (rows, columns) = draw_window(rng, (height, width))
    shape = (results, *window.shape, channels)
    weights = rng.normal(0, 1 / math.sqrt(math.prod(shape[1:])), shape).astype(np.float32)
    bias = rng.normal(size=results).astype(np.float32) if rng.random() < 0.7 else None
    bounds = [Range(), Range(0.0), Range(0.0, 6.0), Range(-1.0, 1.0)][rng.integers(4)]
    return FloatConv2D(
        (batches, height, width, channels),
        (batches, rows, columns, results),
        window,
        FloatWeights(weights),
        bias,
        bounds,
    )


DRAWN = {"conv2d": (draw_conv2d, conv2d)}


@pytest.mark.parametrize("name", DRAWN)
def test_kernels_compute_what_specs_say_and_the_same_bits_for_all_cpus(name, tmp_path):
    draw, reference = DRAWN[name]
    rng = np.random.default_rng(7)
    specs = [draw(rng) for _ in range(40)]
    inputs = [[rng.normal(size=spec.input_shape).astype(np.float32)] for spec in specs]
    sizes = [math.prod(spec.output_shape) for spec in specs]
    found = {}
    for simd in ("none", "dsp"):
        folder = tmp_path / simd
        folder.mkdir()
        found[simd] = run_kernels(specs, inputs, sizes, simd, folder)
        for spec, (image,), result in zip(specs, inputs, found[simd], strict=True):
            expected = reference(spec, image)
            np.testing.assert_allclose(
                result.reshape(expected.shape), expected, TOLERANCE, TOLERANCE, err_msg=str(spec)
            )
    for first, second in zip(found["none"], found["dsp"], strict=True):
        assert first.tobytes() == second.tobytes()


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
