"""What tensors of an archive are made of: element types, their sizes, the alignment of memory."""

from __future__ import annotations

from collections.abc import Mapping

DTYPE_BYTES: Mapping[str, int] = {
    "bool": 1,
    "int8": 1,
    "uint8": 1,
    "int16": 2,
    "uint16": 2,
    "int32": 4,
    "uint32": 4,
    "float32": 4,
    "int64": 8,
    "uint64": 8,
    "float64": 8,
}
"""Element types of tensors as NumPy names them, and the bytes of one element."""

ALIGNMENT_BYTES = 16
"""Alignment of the arena, of every tensor in it and of every constant; the runtime and Project API
servers, which stand alone, have the same number."""
