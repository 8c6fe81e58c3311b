"""What float kernels have to do, in plain data: as `specs` says it of integers.

Tensors are dense and row-major, images NHWC, and all of them float32. Weights may be smaller than
that: the kernel makes floats of them where it reads them.
"""

from __future__ import annotations

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
        scales: float32, shape (output channels,): what the values of int8 are multiples of.
    """

    values: npt.NDArray[Any]
    scales: npt.NDArray[np.float32] | None = None

    @property
    def channels(self) -> int:
        """How many output channels there are."""
        return len(self.values)


@dataclass(frozen=True)
class FloatConv2D(Spec):
    """A convolution; each sum begins as the bias, and products are added to it tap after tap.

    A fully connected layer is one as well, its rows being pixels.

    Args:
        input_shape: (n, height, width, channels).
        output_shape: (n, height, width, channels).
        window: How the kernel slides; taps outside of the image count as 0.
        weights: Shape (output channels, height, width, input channels).
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
class FloatSoftmax(Spec):
    """Softmax over the last axis.

    Args:
        rows: All elements by `columns`.
        columns: Extent of the last axis.
    """

    rows: int
    columns: int
