"""Weights of 4 or 2 bits: several in a byte, as small as the model's file has them.

Kernels take them apart where they read them. Whether weights are such is seen by their values: a
model whose weights fit has them stored so, whatever type its file gives them.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

HEADER = "tvmgen_parts.h"
"""What the expressions of this module need."""


def bits_of(weights: npt.NDArray[Any]) -> int:
    """Bits that each weight needs to be stored: 8 or, of int8, 4 or 2; 8 for all other types."""
    if weights.dtype != np.int8 or not weights.size:
        return 8
    least, greatest = int(weights.min()), int(weights.max())
    if least >= -2 and greatest <= 1:
        return 2
    return 4 if least >= -8 and greatest <= 7 else 8


def packed(values: npt.NDArray[Any], bits: int) -> npt.NDArray[Any]:
    """Numbers of some bits each, from the lowest bits of the first byte on.

    Args:
        values: Of any shape.
        bits: Of each: 2, 4, or 8, which leaves them as they are.

    Returns:
        In one row; the last byte is filled up with zeros.
    """
    flat = values.reshape(-1)
    if bits == 8:
        return flat
    count = 8 // bits
    filled = np.zeros(-(-flat.size // count) * count, np.uint8)
    filled[: flat.size] = flat.view(np.uint8) & ((1 << bits) - 1)
    shifted = filled.reshape(-1, count) << np.arange(0, 8, bits, dtype=np.uint8)
    whole: npt.NDArray[np.uint8] = np.bitwise_or.reduce(shifted, axis=1).astype(np.uint8)
    return whole.view(np.int8)


def packed_words(values: npt.NDArray[Any], bits: int) -> npt.NDArray[np.int32]:
    """The same, filled up to whole words of 32 bits; `bits` is 2 or 4."""
    row = packed(values, bits)
    return np.pad(row, (0, -row.size % 4)).view("<i4").astype(np.int32)


def element(pointer: str, index: int, bits: int, unit: int = 8) -> str:
    """An expression for what is at an index that is known.

    Args:
        pointer: To int8, or to words of 32 bits.
        index: Of the number, not of its byte.
        bits: Of each number.
        unit: Bits of what the pointer points to.
    """
    whole = f"{pointer}[{index * bits // unit}]"
    return whole if bits == unit else f"microtvm_part({whole}, {index * bits % unit}, {bits})"


def element_at(pointer: str, index: str, bits: int) -> str:
    """The same for an index that an expression gives, not negative."""
    if bits == 8:
        return f"{pointer}[{index}]"
    count = 8 // bits
    return f"microtvm_part({pointer}[({index}) / {count}], ({index}) % {count} * {bits}, {bits})"


def layout(bits: int) -> str:
    """Ends the description of how weights are laid out."""
    return "" if bits == 8 else f"; {8 // bits} weights in a byte, from its lowest bits on"
