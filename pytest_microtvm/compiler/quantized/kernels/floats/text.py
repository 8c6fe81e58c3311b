"""Pieces of C that float kernels have in common."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pytest_microtvm.compiler.emit.literals import literal
from pytest_microtvm.compiler.quantized.float_specs import FloatWeights, Range

HEADERS = ("tvmgen_float.h",)


def number(value: float) -> str:
    """A constant of type float."""
    return literal(value, "float32")


def bounded(value: str, bounds: Range) -> str:
    """An expression for a value held in its bounds."""
    if bounds.minimum is not None:
        value = f"microtvm_at_least({value}, {number(bounds.minimum)})"
    if bounds.maximum is not None:
        value = f"microtvm_at_most({value}, {number(bounds.maximum)})"
    return value


@dataclass(frozen=True)
class StoredWeights:
    """How weights are stored, and how C reads them.

    Args:
        weights: As the model has them.
    """

    weights: FloatWeights

    @property
    def c_type(self) -> str:
        """Of an element."""
        return {"float32": "float", "float16": "uint16_t", "int8": "int8_t"}[self._dtype]

    @property
    def _dtype(self) -> str:
        return str(self.weights.values.dtype)

    def stored(self, ordered: Sequence[np.ndarray]) -> np.ndarray:
        """The constant, of parts in the order in which they are read."""
        parts = np.concatenate([part.ravel() for part in ordered])
        return parts.view(np.uint16) if self._dtype == "float16" else parts

    def read(self, element: str) -> str:
        """An expression of type float for an element."""
        if self._dtype == "float32":
            return element
        return f"microtvm_half({element})" if self._dtype == "float16" else f"(float){element}"
