"""What the accumulators of a kernel hold, known ahead of time: start values and bounds."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt


def folded_bias(
    weights: npt.NDArray[np.int8], bias: npt.NDArray[Any] | None, input_zero_point: int
) -> npt.NDArray[np.int64]:
    """The bias, with the zero point of the input times the weights taken from it.

    Args:
        weights: A row for each output channel.
        bias: One for each output channel; None is 0.
        input_zero_point: Of the input.
    """
    rows = weights.reshape(len(weights), -1).astype(np.int64)
    start: npt.NDArray[np.int64] = -input_zero_point * rows.sum(axis=1)
    return start if bias is None else start + bias.astype(np.int64)


def bounds(weights: npt.NDArray[np.int8], start: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """By output channel, the greatest magnitude of the sum of int8 inputs times weights.

    It holds for every part of the sum as well.

    Args:
        weights: A row for each output channel.
        start: What the sum begins with.
    """
    rows = np.abs(weights.reshape(len(weights), -1).astype(np.int64))
    result: npt.NDArray[np.int64] = 128 * rows.sum(axis=1) + np.abs(start)
    return result


def wrapped(values: npt.NDArray[np.int64]) -> npt.NDArray[np.int32]:
    """The values modulo 2**32, as accumulators wrap around."""
    return values.astype(np.uint64).astype(np.uint32).view(np.int32)
