"""What kernels do whose results are the nearest values, ties to even: for ONNX and PyTorch.

As `specs`, in plain data. TFLite has fixed-point approximations of its own for the same operators.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pytest_microtvm.compiler.quantized.specs import Requantization, Spec


@dataclass(frozen=True)
class SoftmaxByTable(Spec):
    """Softmax along an axis.

    Args:
        rows: Product of the extents before the axis.
        columns: Extent of the axis.
        step: Product of the extents behind it.
        exponentials: uint32, 31 bits after the point: e to the power of minus each number of steps
            below the greatest element; of int16, of each 256th.
        fine: The same of the numbers below 256, for int16; None else.
        multiplier: Of the factor from probabilities to steps of the output.
        shift: Of the same, 0 to 61.
        zero_point: Of the output.
        dtype: Of input and output.
    """

    rows: int
    columns: int
    step: int
    exponentials: npt.NDArray[np.uint32]
    fine: npt.NDArray[np.uint32] | None
    multiplier: int
    shift: int
    zero_point: int
    dtype: str


@dataclass(frozen=True)
class LayerNormalization(Spec):
    """Rows less their mean, divided by their deviation, times a factor and plus an offset.

    Args:
        rows: All elements by `columns`.
        columns: Elements of a row.
        epsilon: What is added to the variance, times 256 and the square of `columns`, in steps of
            the input.
        root_bits: Bits of the greatest normalized element before the point.
        factors: int32, one for each column, with `shift` bits after the point.
        offsets: int64, the same.
        shift: 1 to 62.
        zero_point: Of the output.
        dtype: Of input and output.
    """

    rows: int
    columns: int
    epsilon: int
    root_bits: int
    factors: npt.NDArray[np.int32]
    offsets: npt.NDArray[np.int64]
    shift: int
    zero_point: int
    dtype: str


@dataclass(frozen=True)
class Taps:
    """Where the elements of an axis of an interpolated image come from.

    Args:
        first: int32, the element before, for each of the output.
        second: int32, the element behind.
        weights: int32, of the element behind.
    """

    first: npt.NDArray[np.int32]
    second: npt.NDArray[np.int32]
    weights: npt.NDArray[np.int32]


@dataclass(frozen=True)
class Interpolated(Spec):
    """An image of another size, its pixels interpolated between four.

    Args:
        input_shape: (n, height, width, channels).
        output_shape: (n, height, width, channels).
        rows: Of the height.
        columns: Of the width.
        input_zero_point: Of the input.
        bits: After the point of weights.
        requantization: From the weighted sum, with twice as many bits after the point.
        dtype: Of input and output.
    """

    input_shape: tuple[int, int, int, int]
    output_shape: tuple[int, int, int, int]
    rows: Taps
    columns: Taps
    input_zero_point: int
    bits: int
    requantization: Requantization
    dtype: str


WEIGHT_BITS = {"int8": 18, "uint8": 18, "int16": 15}
"""After the point of the weights of an interpolation, so that sums have less than 48 bits."""

TABLE_BITS = 31
"""After the point of exponentials."""


def exponentials(scale: float, every: int = 1) -> npt.NDArray[Any]:
    """The powers of e to minus 0, `every`, 2 * `every`, ... steps of a scale: 256 of them."""
    powers = np.exp(-float(scale) * every * np.arange(256, dtype=np.float64))
    table: npt.NDArray[Any] = np.rint(np.ldexp(powers, TABLE_BITS)).astype(np.uint32)
    return table
