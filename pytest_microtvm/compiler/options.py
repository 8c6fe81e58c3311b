"""How a model is compiled."""

from __future__ import annotations

import os
from dataclasses import dataclass

MEMORY_BYTES = 4 << 30
"""Address space that compiling a model may take, unless another limit is given."""


@dataclass(frozen=True)
class CompileOptions:
    """Options of the compiler; all of them enter the archive's bytes.

    Args:
        name: Names the module, made a C identifier; the stem of the model's file when None.
        simd: Vector instructions that integer kernels are written for: `none`, `dsp`, `helium`, or
            what another package adds (`extensions.CPU_EXTENSIONS`). The archives of our own run
            on every CPU all the same, only slower.
        io_in_arena: Leave room in the arena for inputs and outputs, so that a firmware needs no
            memory of their own for them. An input is lost when the model runs.
    """

    name: str | None = None
    simd: str = "none"
    io_in_arena: bool = False


def export_time_s() -> int:
    """The time that an archive carries, in seconds since 1970.

    It is SOURCE_DATE_EPOCH, or else 0, so that the same model gives the same bytes.
    """
    text = os.environ.get("SOURCE_DATE_EPOCH", "")
    # More does not fit the header of a tar member.
    return min(int(text), 8**11 - 1) if text.isascii() and text.isdigit() else 0
