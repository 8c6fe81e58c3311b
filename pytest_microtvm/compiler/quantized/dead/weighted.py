"""What layers have in common whose output channels have weights for every input channel."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from pytest_microtvm.compiler.quantized.arithmetic import apply
from pytest_microtvm.compiler.quantized.kernels.common import dense_convolution
from pytest_microtvm.compiler.quantized.specs import (
    Convolution,
    DepthwiseConv2D,
    FullyConnected,
    Requantization,
    Window,
)

MixingSpec = Convolution | FullyConnected
Integers = npt.NDArray[np.int64]

_SUM_LIMIT = 1 << 31


@dataclass(frozen=True)
class Weighted:
    """A layer as a convolution, whatever it is.

    Args:
        weights: Less their zero point; shape (output channels, height, width, input channels).
        bias: One for each output channel.
        input_shape: (n, height, width, channels).
        output_shape: (n, height, width, channels).
        window: How the kernel slides; what it sees outside of the image counts as 0.
    """

    weights: Integers
    bias: Integers
    input_shape: tuple[int, int, int, int]
    output_shape: tuple[int, int, int, int]
    window: Window

    @property
    def used(self) -> npt.NDArray[np.bool_]:
        """Whether an output channel depends on an input channel; shape (outputs, inputs)."""
        return np.asarray(self.weights.any(axis=(1, 2)))

    @property
    def is_inside(self) -> bool:
        """Whether no output sees padding."""
        return self.window.is_inside(self.input_shape, self.output_shape)

    def sums(self, image: Integers, channel: int, outputs: npt.NDArray[np.intp]) -> Integers:
        """What a channel adds to the sums of some output channels.

        Args:
            image: The channel's values less the zero point, of any shape with as many elements as
                the input has pixels.
            channel: Its number.
            outputs: Which output channels.

        Returns:
            Shape (n, height, width, outputs).
        """
        n, height, width, _ = self.input_shape
        plane = image.reshape(n, height, width)
        weights = self.weights[outputs, :, :, channel]
        return slid(plane, self.window, self.output_shape, np.moveaxis(weights, 0, -1))


def slid(
    planes: Integers, window: Window, output_shape: tuple[int, int, int, int], weights: Integers
) -> Integers:
    """One plane under a kernel.

    Args:
        planes: Shape (n, height, width).
        window: How the kernel slides.
        output_shape: Whose height and width is asked for.
        weights: Shape (height, width, any).

    Returns:
        Shape (n, height, width, any).
    """
    n, height, width = planes.shape
    rows, columns = window.rows_seen(output_shape[1]), window.columns_seen(output_shape[2])
    top, left = window.padding
    padded = np.zeros((n, max(rows, top + height), max(columns, left + width)), np.int64)
    padded[:, top : top + height, left : left + width] = planes
    total = np.zeros((n, *output_shape[1:3], weights.shape[2]), np.int64)
    for y in range(window.shape[0]):
        for x in range(window.shape[1]):
            if weights[y, x].any():
                first = y * window.dilation[0], x * window.dilation[1]
                seen = padded[:, first[0] :: window.strides[0], first[1] :: window.strides[1]]
                seen = seen[:, : output_shape[1], : output_shape[2], None]
                total += seen * weights[y, x]
    return total


def weighted(spec: MixingSpec) -> Weighted:
    """A layer as a convolution."""
    if isinstance(spec, FullyConnected):
        spec = replace(dense_convolution(spec), weights_zero_point=spec.weights_zero_point)
    if isinstance(spec, DepthwiseConv2D):
        rows = spec.weights.transpose(2, 0, 1)[..., None]
    else:
        rows = spec.weights
    weights = rows.astype(np.int64) - spec.weights_zero_point
    return Weighted(
        weights,
        bias_of(spec.bias, len(weights)),
        spec.input_shape,
        spec.output_shape,
        spec.window,
    )


def bias_of(bias: npt.NDArray[np.generic] | None, channels: int) -> Integers:
    """A bias as int64; None is 0."""
    return np.zeros(channels, np.int64) if bias is None else bias.astype(np.int64)


def of_channels(requantization: Requantization, channels: npt.NDArray[np.intp]) -> Requantization:
    """A requantization for some of the channels."""
    if requantization.multipliers.size == 1:
        return requantization
    reals = requantization.reals
    if reals is not None and reals.size > 1:
        reals = reals[channels]
    return replace(
        requantization,
        multipliers=requantization.multipliers[channels],
        shifts=requantization.shifts[channels],
        reals=reals,
    )


def scaled(
    sums: Integers, requantization: Requantization, channels: npt.NDArray[np.intp]
) -> Integers | None:
    """Outputs of some channels; None where a sum is more than kernels hold.

    Args:
        sums: Shape (..., channels).
        requantization: Of all channels.
        channels: Which ones the sums are of.
    """
    if np.abs(sums).max(initial=0) >= _SUM_LIMIT:
        return None
    return apply(sums, of_channels(requantization, channels)).astype(np.int64)
