"""Pieces of C that float kernels have in common."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pytest_microtvm.compiler.emit.literals import literal
from pytest_microtvm.compiler.quantized.float_specs import FloatWeights, Range
from pytest_microtvm.compiler.quantized.kernels import parts

Array = npt.NDArray[Any]

HEADERS = ("tvmgen_float_kernels.h",)


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
    """How weights are stored, and how C reads them: never larger than the model has them.

    Args:
        weights: As the model has them.
    """

    weights: FloatWeights

    @property
    def kind(self) -> str:
        """The element type: float32, float16, int8 or int4, of which two are in a byte."""
        values = self.weights.values
        return "int4" if parts.bits_of(values) < 8 else str(values.dtype)

    @property
    def c_type(self) -> str:
        """Of an element."""
        return {"float32": "float", "float16": "uint16_t"}.get(self.kind, "int8_t")

    @property
    def headers(self) -> tuple[str, ...]:
        """What `read` needs beside the headers of all float kernels."""
        return (parts.HEADER,) if self.kind == "int4" else ()

    def stride(self, channels: int) -> int:
        """Elements that a tap of so many output channels takes."""
        return -(-channels // 2) if self.kind == "int4" else channels

    def stored(self, blocks: Sequence[Array]) -> Array:
        """The constant.

        Args:
            blocks: For each block of output channels, shape (taps, channels).
        """
        if self.kind == "int4":
            blocks = [_halved(block) for block in blocks]
        flat: Array = np.concatenate([block.reshape(-1) for block in blocks])
        return flat.view(np.uint16) if self.kind == "float16" else flat

    def read(self, pointer: str, index: int) -> str:
        """An expression of type float for the weight of a channel, given where its tap is."""
        if self.kind == "int4":
            return f"(float){parts.element(pointer, index, 4)}"
        element = f"{pointer}[{index}]"
        if self.kind == "float16":
            return f"microtvm_float_of_half({element})"
        return f"(float){element}" if self.kind == "int8" else element


def _halved(block: Array) -> Array:
    """Numbers of 4 bits, two in a byte, the first in its lower half; each row begins a byte."""
    return np.stack([parts.packed(row, 4) for row in block])
