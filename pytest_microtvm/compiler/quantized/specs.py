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

from pytest_microtvm.compiler.program import Chosen, Device, Kernel, Overlap


class Spec:
    """What a kernel has to do: the base of all such descriptions."""


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
    EVEN = "even"
    """Accumulators of up to 48 bits, rounded once, ties to even: as ONNX and PyTorch round."""


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


_Shape = tuple[int, int, int, int]
"""(n, height, width, channels)"""


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

    def rows_seen(self, outputs: int = 1) -> int:
        """Rows that so many rows of outputs read, padding included, from the first to the last."""
        return (outputs - 1) * self.strides[0] + (self.shape[0] - 1) * self.dilation[0] + 1

    def columns_seen(self, outputs: int = 1) -> int:
        """Columns that so many columns of outputs read, likewise."""
        return (outputs - 1) * self.strides[1] + (self.shape[1] - 1) * self.dilation[1] + 1

    def is_inside(self, input_shape: _Shape, output_shape: _Shape) -> bool:
        """Whether no output sees padding."""
        rows, columns = self.rows_seen(output_shape[1]), self.columns_seen(output_shape[2])
        return self.padding == (0, 0) and rows <= input_shape[1] and columns <= input_shape[2]

    def sees_image(self, output_shape: _Shape) -> bool:
        """Whether some output sees more than padding; kernels take that for granted."""
        rows, columns = self.rows_seen(output_shape[1]), self.columns_seen(output_shape[2])
        return self.padding[0] < rows and self.padding[1] < columns

    def split_columns(self, seen: int, width: int) -> tuple[int, int, int]:
        """How many of the first `seen` columns are before, in and after an image of `width`."""
        before = self.padding[1]
        inside = min(seen - before, width)
        return before, inside, seen - before - inside


@dataclass(frozen=True)
class Convolution(Spec):
    """What both kinds of convolutions have: a kernel of weights that slides over an image.

    Args:
        input_shape: (n, height, width, channels).
        output_shape: (n, height, width, channels).
        window: How the kernel slides; taps outside of the image count as the zero point.
        weights: int8, or uint8 for an input of uint8.
        bias: int64 or int32, shape (output channels,), in units of the accumulator; None is 0.
        input_zero_point: Of the input.
        requantization: To the output, by output channel.
        input_dtype: int8, uint8 or int16.
        weights_zero_point: Of the weights; 0 unless the input is uint8.
    """

    input_shape: tuple[int, int, int, int]
    output_shape: tuple[int, int, int, int]
    window: Window
    weights: npt.NDArray[Any]
    bias: npt.NDArray[Any] | None
    input_zero_point: int
    requantization: Requantization
    input_dtype: str = "int8"
    weights_zero_point: int = 0


@dataclass(frozen=True)
class Conv2D(Convolution):
    """A convolution; one output channel is a row of the weights.

    Output channels fall into as many equal groups as the input has times the weights' input
    channels; each group reads its own part of the input's channels. Nearly always that is one. The
    weights have the shape (output channels, height, width, input channels of a group).
    """


@dataclass(frozen=True)
class DepthwiseConv2D(Convolution):
    """A convolution of each channel alone; output channel `c * multiplier + m` reads channel `c`.

    The weights have the shape (height, width, output channels).
    """


@dataclass(frozen=True)
class FullyConnected(Spec):
    """A matrix of weights times each row of the input.

    Args:
        rows: Rows of the input, shape (rows, inputs); the output has the shape (rows, outputs).
        weights: int8, or uint8 for an input of uint8; shape (outputs, inputs).
        weights_zero_point: Of the weights.
        bias: int64 or int32, shape (outputs,), in units of the accumulator; None is 0.
        input_zero_point: Of the input.
        requantization: To the output, by output.
        input_dtype: int8, uint8 or int16.
    """

    rows: int
    weights: npt.NDArray[Any]
    weights_zero_point: int
    bias: npt.NDArray[Any] | None
    input_zero_point: int
    requantization: Requantization
    input_dtype: str = "int8"


@dataclass(frozen=True)
class Pool(Spec):
    """Means or maxima of windows, over the taps inside of the image; the scale stays.

    Args:
        kind: "average" or "max".
        input_shape: (n, height, width, channels).
        output_shape: (n, height, width, channels).
        window: How it slides; without dilation.
        minimum: Least value of the output.
        maximum: Greatest value of the output.
        dtype: int8, uint8 or int16.
        even_from: The zero point, where ties are rounded to even numbers of steps from it; None
            where they are rounded away from 0, the zero point as it is.
    """

    kind: str
    input_shape: tuple[int, int, int, int]
    output_shape: tuple[int, int, int, int]
    window: Window
    minimum: int
    maximum: int
    dtype: str = "int8"
    even_from: int | None = None


@dataclass(frozen=True)
class Mean(Spec):
    """The mean over some axes, or the sum.

    Args:
        input_shape: Any.
        axes: Those that are summed over; in order, not negative.
        input_zero_point: Of the input.
        requantization: From the sum to the output; of means, it divides by the number of elements.
        input_dtype: int8, uint8 or int16.
    """

    input_shape: tuple[int, ...]
    axes: tuple[int, ...]
    input_zero_point: int
    requantization: Requantization
    input_dtype: str = "int8"


@dataclass(frozen=True)
class Lookup(Spec):
    """A function of each element alone.

    Args:
        size: Number of elements.
        table: What becomes of each value of the input, from the least on; 256 elements.
        input_dtype: int8 or uint8.
    """

    size: int
    table: npt.NDArray[Any]
    input_dtype: str = "int8"


@dataclass(frozen=True)
class Requantize(Spec):
    """Each element to another scale.

    Args:
        size: Number of elements.
        input_zero_point: Of the input.
        requantization: To the output.
        input_dtype: int8, uint8 or int16.
    """

    size: int
    input_zero_point: int
    requantization: Requantization
    input_dtype: str


@dataclass(frozen=True)
class Quantize(Spec):
    """Each float32 to the nearest value of the output.

    Args:
        size: Number of elements.
        scale: Of the output.
        zero_point: Of the output.
        minimum: Least value of the output.
        maximum: Greatest value of the output.
        dtype: Of the output: int8, uint8 or int16.
        is_even: Whether ties are rounded to even, not away from zero.
    """

    size: int
    scale: np.float32
    zero_point: int
    minimum: int
    maximum: int
    dtype: str
    is_even: bool = False


@dataclass(frozen=True)
class Operand:
    """One side of an arithmetic operator.

    Args:
        shape: Any that broadcasts to the output's.
        zero_point: Of its values.
        multiplier: To the common scale; without meaning for products.
        shift: To the same; not positive.
        values: When they are known.
    """

    shape: tuple[int, ...]
    zero_point: int
    multiplier: int = 0
    shift: int = 0
    values: npt.NDArray[Any] | None = None


@dataclass(frozen=True)
class Arithmetic(Spec):
    """A sum, a difference or a product, element by element.

    Sums and differences are taken in a common scale: each side is shifted to the left, then
    requantized (twice rounded); the sum is requantized once more to the output. Those that are
    rounded to even are the sum of each side times its multiplier, shifted to the right.

    Args:
        kind: "add", "subtract" or "multiply".
        output_shape: Both sides broadcast to it.
        operands: Left and right; at least one is not known.
        left_shift: Bits that the sides of a sum are shifted by; those that the sum is shifted by to
            the right, where it is rounded to even.
        requantization: To the output.
        dtype: Of all: int8, uint8 or int16.
    """

    kind: str
    output_shape: tuple[int, ...]
    operands: tuple[Operand, Operand]
    left_shift: int
    requantization: Requantization
    dtype: str = "int8"


@dataclass(frozen=True)
class Concatenation(Spec):
    """Tensors one after the other along an axis.

    Args:
        rows: Product of the extents before the axis.
        lengths: Of each input, the product of the extents from the axis on.
        tables: Of each input, what becomes of its values (see `Lookup`); None when they stay.
        dtype: Of all.
    """

    rows: int
    lengths: tuple[int, ...]
    tables: tuple[npt.NDArray[Any] | None, ...]
    dtype: str = "int8"


@dataclass(frozen=True)
class Resize(Spec):
    """An image of another size.

    Args:
        kind: "nearest", or "bilinear" in fixed point with 10 bits after the point.
        input_shape: (n, height, width, channels).
        output_shape: (n, height, width, channels).
        align_corners: The corner pixels of both images are the same places.
        half_pixel_centers: A pixel is where its center is, not its corner.
        dtype: int8, uint8 (nearest) or int16.
    """

    kind: str
    input_shape: tuple[int, int, int, int]
    output_shape: tuple[int, int, int, int]
    align_corners: bool
    half_pixel_centers: bool
    dtype: str = "int8"


@dataclass(frozen=True)
class Softmax(Spec):
    """Softmax over the last axis; outputs are the probabilities over the range of their type.

    Args:
        rows: All elements by `columns`.
        columns: Extent of the last axis.
        multiplier: Of the factor from steps of the input to 26 bits after the point.
        shift: Of the same, to the left: not negative.
        least_difference: From the greatest element; e to the power of lower ones counts as 0.
        dtype: Of the input, int8 or uint8.
        output_dtype: The same, or int16 for int8.
    """

    rows: int
    columns: int
    multiplier: int
    shift: int
    least_difference: int
    dtype: str
    output_dtype: str


@dataclass(frozen=True)
class Role:
    """What a constant of a kernel is.

    Args:
        name: Of the parameter in C.
        layout: How it is laid out, for the kernel's comment.
    """

    name: str
    layout: str


@dataclass(frozen=True)
class KernelSource:
    """A kernel in C, as the generators make it.

    Its parameters are the pointers `input0`, `input1`, ... to const, `constant0`, ... to const,
    `output`, `output1`, ..., all `restrict`, and `workspace` (uint8_t *, aligned to 16 bytes) if it
    wants any.

    Args:
        input_dtypes: Element type of each input.
        constants: Arrays in flash, laid out as the body reads them; equal ones are stored once.
        output_dtype: Element type of the output; of the first one where there are several.
        body: The statements between the braces, C99.
        workspace_bytes: Scratch memory in the arena.
        in_place: Numbers of inputs that the output may take the memory of, one at a time.
        overlaps: How the output may share memory with an input otherwise.
        macs: Multiplications with accumulation, for the per-layer table; None where that is known
            at run time only.
        headers: Headers that the body needs beside `tvmgen_integer.h`: names of files of
            `include/`, or whole paths of others.
        roles: What the constants are, in their order; those without a role keep their number.
        more_outputs: Element types of further outputs.
        callees: Kernels that the body calls by their C names.
        is_verbatim: Whether the body is left as it is: a user wrote it, comments and all.
        external: The name of the library that it is of; empty where it is ours.
        device: The accelerator that runs it: the body may use `device`, a void *.
        is_float: Whether it computes over floats, and needs no header beside `headers`.
        chosen: How it was written, where that was open.
    """

    input_dtypes: tuple[str, ...]
    constants: tuple[npt.NDArray[Any], ...]
    output_dtype: str
    body: str
    workspace_bytes: int = 0
    in_place: tuple[int, ...] = ()
    overlaps: tuple[Overlap, ...] = ()
    macs: int | None = 0
    headers: tuple[str, ...] = ()
    roles: tuple[Role, ...] = ()
    more_outputs: tuple[str, ...] = ()
    callees: tuple[Kernel, ...] = ()
    is_verbatim: bool = False
    external: str = ""
    device: Device | None = None
    is_float: bool = False
    chosen: Chosen | None = None

    @property
    def output_dtypes(self) -> tuple[str, ...]:
        """Element type of each output."""
        return (self.output_dtype, *self.more_outputs)

    def has_code_of(self, other: KernelSource) -> bool:
        """Whether one function can be both; constants are given to it."""
        return (
            self.body == other.body
            and self.input_dtypes == other.input_dtypes
            and [array.dtype for array in self.constants]
            == [array.dtype for array in other.constants]
            and self.output_dtypes == other.output_dtypes
            and self.workspace_bytes == other.workspace_bytes
            and (self.in_place, self.overlaps) == (other.in_place, other.overlaps)
        )


@dataclass(frozen=True)
class Written(Spec):
    """A kernel whose C is there.

    Args:
        source: The kernel.
        facts: Lines that say what it computes.
    """

    source: KernelSource
    facts: tuple[str, ...]
