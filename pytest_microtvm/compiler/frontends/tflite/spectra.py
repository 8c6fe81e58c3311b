"""Tensors of complex numbers while a model is converted: two of floats."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Complex:
    """What a tensor of complex numbers holds.

    Args:
        real: Its real parts, a Relax variable of float32.
        imaginary: Its imaginary ones.
    """

    real: Any
    imaginary: Any
