"""Random convolutions and fully connected layers over int8, and what they have to compute.

The reference is TensorFlow Lite's arithmetic written down once more, in 64-bit numbers.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from pytest_microtvm.compiler.quantized.specs import (
    Conv2D,
    Convolution,
    DepthwiseConv2D,
    FullyConnected,
    Requantization,
    Rounding,
    Window,
)

Case = Convolution | FullyConnected
Int8Array = npt.NDArray[np.int8]
Int64Array = npt.NDArray[np.int64]


def random_cases(random: np.random.Generator, count: int) -> list[Case]:
    """Layers of all kinds in turn."""
    makers = (_convolution, _depthwise, _convolution, _depthwise, _fully_connected)
    return [makers[n % len(makers)](random) for n in range(count)]


def point_convolution_into_padding(random: np.random.Generator, strides: tuple[int, int]) -> Conv2D:
    """One tap a pixel, as many outputs as inputs, but with steps: the last ones see padding."""
    return Conv2D(
        input_shape=(1, 6, 6, 8),
        output_shape=(1, 6, 6, 5),
        window=Window((1, 1), strides),
        weights=_weights(random, (5, 1, 1, 8)),
        bias=_bias(random, 5),
        input_zero_point=-40,
        requantization=_requantization(random, 5, 8),
    )


def row_kernel_beside_padding(random: np.random.Generator) -> DepthwiseConv2D:
    """A kernel of one row whose first and last outputs see rows of padding only."""
    return DepthwiseConv2D(
        input_shape=(1, 3, 9, 8),
        output_shape=(1, 6, 7, 8),
        window=Window((1, 3), padding=(2, 0)),
        weights=_weights(random, (1, 3, 8)),
        bias=_bias(random, 8),
        input_zero_point=-40,
        requantization=_requantization(random, 8, 3),
    )


def random_input(random: np.random.Generator, case: Case) -> Int8Array:
    """An input for a case; one in four has only extreme values."""
    shape = input_shape(case)
    if random.integers(4) == 0:
        return random.choice(np.array([-128, 127], np.int8), shape)
    return random.integers(-128, 127, shape, np.int8, endpoint=True)


def input_shape(case: Case) -> tuple[int, ...]:
    """The shape of a case's input."""
    if isinstance(case, FullyConnected):
        return (case.rows, case.weights.shape[1])
    return case.input_shape


def _fully_connected(random: np.random.Generator) -> FullyConnected:
    inputs, outputs = _below(random, 70), _below(random, 20)
    return FullyConnected(
        rows=_below(random, 8),
        weights=_weights(random, (outputs, inputs)),
        weights_zero_point=0,
        bias=_bias(random, outputs),
        input_zero_point=_zero_point(random),
        requantization=_requantization(random, outputs, inputs),
    )


def _convolution(random: np.random.Generator) -> Conv2D:
    channels, outputs = _below(random, 21), _below(random, 12)
    window, input_shape, output_shape = _window(random, channels, outputs)
    taps = window.shape[0] * window.shape[1] * channels
    return Conv2D(
        input_shape=input_shape,
        output_shape=output_shape,
        window=window,
        weights=_weights(random, (outputs, *window.shape, channels)),
        bias=_bias(random, outputs),
        input_zero_point=_zero_point(random),
        requantization=_requantization(random, outputs, taps),
    )


def _depthwise(random: np.random.Generator) -> DepthwiseConv2D:
    channels = _below(random, 21)
    outputs = channels * int(random.choice([1, 1, 1, 2, 3]))
    window, input_shape, output_shape = _window(random, channels, outputs)
    return DepthwiseConv2D(
        input_shape=input_shape,
        output_shape=output_shape,
        window=window,
        weights=_weights(random, (*window.shape, outputs)),
        bias=_bias(random, outputs),
        input_zero_point=_zero_point(random),
        requantization=_requantization(random, outputs, window.shape[0] * window.shape[1]),
    )


def _below(random: np.random.Generator, end: int) -> int:
    return int(random.integers(1, end))


def _window(
    random: np.random.Generator, channels: int, outputs: int
) -> tuple[Window, tuple[int, int, int, int], tuple[int, int, int, int]]:
    """A window and the shapes of input and output; one in six has one column, as many one row."""
    shape, size = random.integers(1, 6, 2), random.integers(5, 12, 2)
    for axis in (0, 1):
        if random.integers(6) == 0:
            shape[axis] = size[axis] = 1
    strides, dilation = random.integers(1, 4, 2), random.integers(1, 3, 2)
    reach = [(n - 1) * d + 1 for n, d in zip(shape, dilation, strict=True)]
    dilation = np.where(np.array(reach) <= size, dilation, 1)
    reach = [(n - 1) * d + 1 for n, d in zip(shape, dilation, strict=True)]
    kind = random.integers(3)
    if kind == 0:  # TensorFlow Lite's SAME
        extent = [-(-n // s) for n, s in zip(size, strides, strict=True)]
        padding = [
            max(0, (e - 1) * s + r - n) // 2
            for e, s, r, n in zip(extent, strides, reach, size, strict=True)
        ]
    elif kind == 1:  # a PAD operator before it: outputs may see nothing but what it put behind
        margins = random.integers(0, 5, (2, 2))
        spans = size + margins.sum(axis=0)
        extent = [(n - r) // s + 1 for n, s, r in zip(spans, strides, reach, strict=True)]
        seen = [(e - 1) * s + r for e, s, r in zip(extent, strides, reach, strict=True)]
        # Some output has to see the image.
        padding = [before if before < n else 0 for before, n in zip(margins[0], seen, strict=True)]
    else:
        extent = [(n - r) // s + 1 for n, s, r in zip(size, strides, reach, strict=True)]
        padding = [0, 0]
    batches = _below(random, 3)
    window = Window(_pair(shape), _pair(strides), _pair(dilation), _pair(padding))
    return window, (batches, *_pair(size), channels), (batches, *_pair(extent), outputs)


def _pair(values: npt.ArrayLike) -> tuple[int, int]:
    first, second = np.asarray(values)
    return int(first), int(second)


def _weights(random: np.random.Generator, shape: tuple[int, ...]) -> Int8Array:
    """As trained ones are, or any; now and then with the value that TensorFlow Lite leaves out."""
    kind = random.integers(3)
    if kind == 0:
        return random.integers(-128, 127, shape, np.int8, endpoint=True)
    if kind == 1:
        return random.choice(np.array([-127, 127], np.int8), shape)
    return np.clip(np.round(random.normal(0, 40, shape)), -127, 127).astype(np.int8)


def _bias(random: np.random.Generator, count: int) -> npt.NDArray[np.int32] | None:
    kind = random.integers(8)
    if kind == 0:
        return None
    limit = 2**31 - 1 if kind == 1 else 4000
    return random.integers(-limit, limit, count, np.int32)


def _zero_point(random: np.random.Generator) -> int:
    return int(random.choice([-128, 0, 127, int(random.integers(-128, 128))]))


def _requantization(random: np.random.Generator, channels: int, taps: int) -> Requantization:
    """Factors that spread sums over the range of the output, or any."""
    count = channels if random.integers(2) else 1
    if random.integers(4) == 0:
        reals = 2.0 ** random.uniform(-20, 1.5, count)
    else:
        reals = 2.0 ** random.uniform(-9.5, -6.5) / np.sqrt(taps) * random.uniform(0.2, 2, count)
    fractions, exponents = np.frexp(reals)
    multipliers = np.minimum(np.round(fractions * 2.0**31), 2**31 - 1).astype(np.int32)
    if random.integers(8) == 0:
        multipliers[0] = exponents[0] = 0
    if random.integers(8) == 0:
        multipliers[0] = 2**30
    zero_point = _zero_point(random)
    return Requantization(
        multipliers=multipliers,
        shifts=exponents.astype(np.int32),
        rounding=Rounding.SINGLE if random.integers(3) == 0 else Rounding.DOUBLE,
        zero_point=zero_point,
        minimum=zero_point if random.integers(3) == 0 else -128,
        maximum=min(127, zero_point + 60) if random.integers(4) == 0 else 127,
    )


def expected(case: Case, values: Int8Array) -> Int8Array:
    """The output of a case."""
    centered = values.astype(np.int64) - case.input_zero_point
    weights = case.weights.astype(np.int64)
    if isinstance(case, FullyConnected):
        sums = centered @ weights.T
    elif isinstance(case, Conv2D):
        patches = _patches(case, centered)
        rows = weights.reshape(len(weights), -1)
        sums = patches.reshape(*patches.shape[:3], -1) @ rows.T
    else:
        repeats = case.output_shape[3] // case.input_shape[3]
        sums = (np.repeat(_patches(case, centered), repeats, axis=-1) * weights).sum(axis=(3, 4))
    if case.bias is not None:
        sums = sums + case.bias.astype(np.int64)
    return _requantized(_wrapped(sums), case.requantization)


def _patches(case: Convolution, centered: Int64Array) -> Int64Array:
    """Taps of every output, shape (n, height, width, kernel height, kernel width, channels)."""
    window = case.window
    _, height, width, _ = case.input_shape
    rows = _reach(case.output_shape[1], window, 0)
    columns = _reach(case.output_shape[2], window, 1)
    above, before = window.padding
    padded = np.pad(
        centered,
        [
            (0, 0),
            (above, max(0, rows - above - height)),
            (before, max(0, columns - before - width)),
            (0, 0),
        ],
    )
    taps = np.lib.stride_tricks.sliding_window_view(
        padded[:, :rows, :columns],
        (
            (window.shape[0] - 1) * window.dilation[0] + 1,
            (window.shape[1] - 1) * window.dilation[1] + 1,
        ),
        axis=(1, 2),
    )[
        :,
        :: window.strides[0],
        :: window.strides[1],
        :,
        :: window.dilation[0],
        :: window.dilation[1],
    ]
    return np.moveaxis(taps, 3, 5)


def _reach(extent: int, window: Window, axis: int) -> int:
    """Rows or columns that `extent` outputs read."""
    taps = (window.shape[axis] - 1) * window.dilation[axis]
    return (extent - 1) * window.strides[axis] + taps + 1


def _wrapped(values: Int64Array) -> Int64Array:
    return (values + 2**31) % 2**32 - 2**31


def _requantized(sums: Int64Array, how: Requantization) -> Int8Array:
    channels = sums.shape[-1]
    multipliers = np.broadcast_to(how.multipliers, channels).astype(np.int64)
    shifts = np.broadcast_to(how.shifts, channels).astype(np.int64)
    left, right = np.maximum(shifts, 0), np.maximum(-shifts, 0)
    if how.rounding is Rounding.SINGLE:
        total = 31 - shifts
        # What does not fit 32 bits is undefined in TensorFlow Lite; the kernels cut it off.
        scaled = _wrapped((sums * multipliers + (1 << (total - 1)) - (sums < 0)) >> total)
    else:
        high = (_wrapped(sums << left) * multipliers + (1 << 30)) >> 31
        remainder, half = high & ((1 << right) - 1), ((1 << right) - 1) >> 1
        scaled = (high >> right) + (remainder > half + (high < 0))
    result = np.clip(scaled + how.zero_point, how.minimum, how.maximum)
    return result.astype(np.int8)
