"""What the CPU that a kernel is written for can do."""

from __future__ import annotations

from enum import Enum


class Simd(Enum):
    """Instructions that work on several elements at once; boards say which in `cpu.simd`."""

    NONE = "none"
    """Portable C, blocked for a CPU with about 13 free registers."""
    DSP = "dsp"
    """Arm's DSP extension: two 16-bit products an instruction (Cortex-M4, M7, M33)."""
    HELIUM = "helium"
    """Arm's M-profile vector extension: 16 int8 products an instruction (Cortex-M55)."""
