"""What the accumulators of a kernel hold, known ahead of time: start values and bounds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Sums:
    """The sum of each output channel.

    Args:
        start: int64, what it begins with.
        bounds: int64, the greatest magnitude that it can have, its start and every part of it
            included.
    """

    start: npt.NDArray[np.int64]
    bounds: npt.NDArray[np.int64]

    @classmethod
    def of(
        cls, weights: npt.NDArray[np.int8], bias: npt.NDArray[Any] | None, input_zero_point: int
    ) -> Sums:
        """The sums of int8 inputs times weights.

        They begin with the bias, less the zero point of the input times the weights.

        Args:
            weights: A row for each output channel.
            bias: One for each output channel; None is 0.
            input_zero_point: Of the input.
        """
        rows = weights.reshape(len(weights), -1).astype(np.int64)
        start = -input_zero_point * rows.sum(axis=1)
        if bias is not None:
            start = start + bias.astype(np.int64)
        return cls(start, 128 * np.abs(rows).sum(axis=1) + np.abs(start))

    @property
    def is_constant(self) -> npt.NDArray[np.bool_]:
        """Which channels have no weights but zeros, as pruning leaves them."""
        found: npt.NDArray[np.bool_] = self.bounds == np.abs(self.start)
        return found


def wrapped(values: npt.NDArray[np.int64]) -> npt.NDArray[np.int32]:
    """The values modulo 2**32, as accumulators wrap around."""
    return values.astype(np.uint64).astype(np.uint32).view(np.int32)
