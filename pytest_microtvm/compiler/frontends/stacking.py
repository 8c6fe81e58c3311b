"""Tensors side by side along a new axis, in Relax."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tvm import relax


def stacked(tensors: Sequence[Any], axis: int) -> Any:
    """Tensors of one shape side by side along a new axis; a single one is only a view."""
    rows = [relax.op.expand_dims(tensor, axis) for tensor in tensors]
    return rows[0] if len(rows) == 1 else relax.op.concat(rows, axis)
