"""What integer kernels have to do, in plain data: the form between the lowering and the C.

Tensors are dense and row-major, images NHWC. A real number is `scale * (value - zero_point)`.
Nothing here knows TVM or C.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any

import numpy as np
import numpy.typing as npt


class Rounding(Enum):
    """How an accumulator becomes a value of the output (see `arithmetic`)."""

    DOUBLE = "double"
    """Rounded after the doubling high multiplication, and again after the shift."""
    SINGLE = "single"
    """Rounded once, after multiplication and shift as one, ties away from zero."""
    WIDE = "wide"
    """int64 accumulators times the upper 16 bits of the multiplier, rounded once, ties up."""
    REAL = "real"
    """int64 accumulators times a double, ties away from zero."""


@dataclass(frozen=True)
class Requantization:
    """From int32 accumulators to outputs: `clamp(round(sum * m * 2**(shift - 31)) + zero_point)`.

    Args:
        multipliers: int32, shape (1,) for all channels or (channels,); each 0 or in [2**30, 2**31).
        shifts: int32, the shape of `multipliers`; positive is to the left.
        rounding: How it rounds.
        zero_point: Of the output.
        minimum: Least value of the output; the fused activation is in it.
        maximum: Greatest value of the output.
        dtype: Of the output: int8, uint8 or int16.
        reals: The factors as they are, float64, the shape of `multipliers`; for `Rounding.REAL`.
    """

    multipliers: npt.NDArray[np.int32]
    shifts: npt.NDArray[np.int32]
    rounding: Rounding
    zero_point: int
    minimum: int
    maximum: int
    dtype: str = "int8"
    reals: npt.NDArray[np.float64] | None = None


@dataclass(frozen=True)
class Window:
    """How a kernel of (height, width) slides over an image; all pairs are (vertical, horizontal).

    Args:
        shape: Of the kernel.
        strides: Steps between outputs.
        dilation: Steps between taps.
        padding: Rows above and columns to the left of the image that are not there. Those below
            and to the right follow from the shapes.
    """

    shape: tuple[int, int]
    strides: tuple[int, int] = (1, 1)
    dilation: tuple[int, int] = (1, 1)
    padding: tuple[int, int] = (0, 0)


@dataclass(frozen=True)
class Conv2D:
    """A convolution; one output channel is a row of the weights.

    Args:
        input_shape: (n, height, width, channels).
        output_shape: (n, height, width, channels).
        window: How the kernel slides; taps outside of the image count as the zero point.
        weights: int8, shape (output channels, height, width, input channels), zero point 0.
        bias: int64 or int32, shape (output channels,), in units of the accumulator; None is 0.
        input_zero_point: Of the input.
        requantization: To the output, by output channel.
        input_dtype: int8 or int16.
    """

    input_shape: tuple[int, int, int, int]
    output_shape: tuple[int, int, int, int]
    window: Window
    weights: npt.NDArray[np.int8]
    bias: npt.NDArray[Any] | None
    input_zero_point: int
    requantization: Requantization
    input_dtype: str = "int8"


@dataclass(frozen=True)
class DepthwiseConv2D:
    """A convolution of each channel alone; output channel `c * multiplier + m` reads channel `c`.

    Args:
        input_shape: (n, height, width, channels).
        output_shape: (n, height, width, channels * multiplier).
        window: How the kernel slides; taps outside of the image count as the zero point.
        weights: int8, shape (height, width, output channels), zero point 0.
        bias: int64 or int32, shape (output channels,), in units of the accumulator; None is 0.
        input_zero_point: Of the input.
        requantization: To the output, by output channel.
        input_dtype: int8 or int16.
    """

    input_shape: tuple[int, int, int, int]
    output_shape: tuple[int, int, int, int]
    window: Window
    weights: npt.NDArray[np.int8]
    bias: npt.NDArray[Any] | None
    input_zero_point: int
    requantization: Requantization
    input_dtype: str = "int8"


@dataclass(frozen=True)
class FullyConnected:
    """A matrix of weights times each row of the input.

    Args:
        rows: Rows of the input, shape (rows, inputs); the output has the shape (rows, outputs).
        weights: int8, shape (outputs, inputs).
        weights_zero_point: Of the weights.
        bias: int64 or int32, shape (outputs,), in units of the accumulator; None is 0.
        input_zero_point: Of the input.
        requantization: To the output, by output.
        input_dtype: int8 or int16.
    """

    rows: int
    weights: npt.NDArray[np.int8]
    weights_zero_point: int
    bias: npt.NDArray[Any] | None
    input_zero_point: int
    requantization: Requantization
    input_dtype: str = "int8"


@dataclass(frozen=True)
class AveragePool:
    """Means of windows, over the taps inside of the image; the scale stays.

    Args:
        input_shape: (n, height, width, channels).
        output_shape: (n, height, width, channels).
        window: How it slides; without dilation.
        minimum: Least value of the output.
        maximum: Greatest value of the output.
        dtype: int8, uint8 or int16.
    """

    input_shape: tuple[int, int, int, int]
    output_shape: tuple[int, int, int, int]
    window: Window
    minimum: int
    maximum: int
    dtype: str = "int8"


@dataclass(frozen=True)
class Softmax:
    """Softmax over the last axis; outputs are 256 times the probabilities, less 128 for int8.

    Args:
        rows: All elements by `columns`.
        columns: Extent of the last axis.
        multiplier: Of the factor from steps of the input to 26 bits after the point.
        shift: Of the same, to the left: not negative.
        least_difference: From the greatest element; e to the power of lower ones counts as 0.
        dtype: int8 or uint8.
    """

    rows: int
    columns: int
    multiplier: int
    shift: int
    least_difference: int
    dtype: str = "int8"


Spec = Conv2D | DepthwiseConv2D | FullyConnected | AveragePool | Softmax


@dataclass(frozen=True)
class KernelSource:
    """A kernel in C, as the generators make it.

    Its parameters are the pointers `input0`, `input1`, ... to const, `constant0`, ... to const,
    `output`, all `restrict`, and `workspace` (uint8_t *, aligned to 16 bytes) if it wants any.

    Args:
        input_dtypes: Element type of each input.
        constants: Arrays in flash, laid out as the body reads them; equal ones are stored once.
        output_dtype: Element type of the output.
        body: The statements between the braces, C99.
        workspace_bytes: Scratch memory in the arena.
        in_place: The output may be the same memory as `input0`.
        macs: Multiplications with accumulation, for the per-layer table.
        headers: Headers of `include/` that the body needs beside `tvmgen_integer.h`.
    """

    input_dtypes: tuple[str, ...]
    constants: tuple[npt.NDArray[Any], ...]
    output_dtype: str
    body: str
    workspace_bytes: int = 0
    in_place: bool = False
    macs: int = 0
    headers: tuple[str, ...] = ()

    def has_code_of(self, other: KernelSource) -> bool:
        """Whether one function can be both; constants are given to it."""
        return (
            self.body == other.body
            and self.input_dtypes == other.input_dtypes
            and [array.dtype for array in self.constants]
            == [array.dtype for array in other.constants]
            and self.output_dtype == other.output_dtype
            and self.workspace_bytes == other.workspace_bytes
            and self.in_place == other.in_place
        )
