"""Quantized tensors, as recognition and the tables of kernels speak of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pytest_microtvm.compiler.program import Quantization

__all__ = ["Activation", "Array", "Quantization", "Weights"]

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Activation:
    """A quantized tensor that is computed.

    Args:
        expression: The variable that holds its values.
        shape: Its extents.
        dtype: Of the values.
        quantization: The same for all elements.
    """

    expression: Any
    shape: tuple[int, ...]
    dtype: str
    quantization: Quantization


@dataclass(frozen=True)
class Weights:
    """A quantized tensor that is known.

    Its elements stand for `scales * (values - zero_points)`; all three have its shape.
    """

    values: Array
    scales: npt.NDArray[np.float32]
    zero_points: npt.NDArray[np.int64]

    def centered(self) -> Weights:
        """The same without zero points, as int16, where these differ; itself where they do not."""
        middle = self.zero_points.reshape(-1)[:1]
        if (self.zero_points == middle).all() or self.values.dtype.itemsize > 1:
            return self
        values = (self.values - self.zero_points).astype(np.int16)
        return Weights(values, self.scales, np.zeros_like(self.zero_points))

    def moved(self, move: Any) -> Weights:
        """`move` applied to each of the arrays."""
        return Weights(move(self.values), move(self.scales), move(self.zero_points))
