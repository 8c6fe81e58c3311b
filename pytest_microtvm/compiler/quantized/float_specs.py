"""What float kernels have to do, in plain data: as `specs` says it of integers.

Tensors are dense and row-major, images NHWC, and all of them float32. Weights may be smaller than
that: the kernel makes floats of them where it reads them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pytest_microtvm.compiler.quantized.specs import Spec, Window


@dataclass(frozen=True)
class Range:
    """What results are held between: the fused activation.

    Args:
        minimum: None where there is none.
        maximum: None where there is none.
    """

    minimum: float | None = None
    maximum: float | None = None


UNBOUNDED = Range()


@dataclass(frozen=True)
class FloatWeights:
    """The weights of a layer.

    Args:
        values: float32, float16 or int8; each output channel is a row.
        scales: float32, shape (output channels,) or (1,): what values of int8 are multiples of.
    """

    values: npt.NDArray[Any]
    scales: npt.NDArray[np.float32] | None = None

    @property
    def channels(self) -> int:
        """How many output channels there are."""
        return len(self.values)


@dataclass(frozen=True)
class FloatConvolution(Spec):
    """What both kinds of convolutions have: a kernel of weights that slides over an image.

    Each sum begins as the bias, and products are added to it tap after tap.

    Args:
        input_shape: (n, height, width, channels).
        output_shape: (n, height, width, channels).
        window: How the kernel slides; taps outside of the image count as 0.
        weights: Shape (output channels, height, width, input channels that one of them reads).
        bias: Shape (output channels,); None is 0.
        bounds: Of the results.
    """

    input_shape: tuple[int, int, int, int]
    output_shape: tuple[int, int, int, int]
    window: Window
    weights: FloatWeights
    bias: npt.NDArray[np.float32] | None
    bounds: Range = UNBOUNDED


@dataclass(frozen=True)
class FloatConv2D(FloatConvolution):
    """A convolution; each output channel reads all of the input.

    A fully connected layer is one as well, its rows being pixels.
    """


@dataclass(frozen=True)
class FloatDepthwiseConv2D(FloatConvolution):
    """A convolution of each channel alone: output channel `c * multiplier + m` reads `c`."""


@dataclass(frozen=True)
class FloatPool(Spec):
    """Means or maxima of windows.

    Args:
        kind: "average" or "max".
        input_shape: (n, height, width, channels).
        output_shape: (n, height, width, channels).
        window: How it slides; each output sees some of the image.
        counts_padding: Whether a mean is the sum divided by the size of the window, whatever of it
            is outside; else by the number of taps inside.
        bounds: Of the results.
    """

    kind: str
    input_shape: tuple[int, int, int, int]
    output_shape: tuple[int, int, int, int]
    window: Window
    counts_padding: bool = False
    bounds: Range = UNBOUNDED


@dataclass(frozen=True)
class FloatReduction(Spec):
    """Axes beside each other become one number: shape (rows, extent, columns) to (rows, columns).

    Args:
        kind: "mean", "sum", "max" or "min".
        rows: Product of the extents before the axes.
        extent: Product of their own extents.
        columns: Product of the extents behind them.
        bounds: Of the results.
    """

    kind: str
    rows: int
    extent: int
    columns: int
    bounds: Range = UNBOUNDED


class Expression:
    """A function of elements, one for each operand.

    Args:
        function: Its name, for which there is C in the kernel; or "operand" or "number".
        arguments: What it is a function of.
        value: The operand's position, the number, or the function's own constant.
    """

    def __init__(
        self, function: str, arguments: Sequence[Expression] = (), value: float = 0
    ) -> None:
        self.function = function
        self.arguments = tuple(arguments)
        self.value = value

    def __str__(self) -> str:
        if self.function == "operand":
            return f"x{int(self.value)}"
        if self.function == "number":
            return f"{self.value:g}"
        return f"{self.function}({', '.join(map(str, self.arguments))})"


@dataclass(frozen=True)
class FloatOperand:
    """A tensor that elements are taken of.

    Args:
        shape: Any that broadcasts to the result's.
        values: When they are known, float32.
    """

    shape: tuple[int, ...]
    values: npt.NDArray[np.float32] | None = None


@dataclass(frozen=True)
class FloatElementwise(Spec):
    """A function of each element alone.

    Args:
        shape: Of the result.
        operands: x0, x1, ... in the function.
        function: What is computed.
    """

    shape: tuple[int, ...]
    operands: tuple[FloatOperand, ...]
    function: Expression


@dataclass(frozen=True)
class FloatSoftmax(Spec):
    """Softmax over the last axis.

    Args:
        rows: All elements by `columns`.
        columns: Extent of the last axis.
    """

    rows: int
    columns: int
