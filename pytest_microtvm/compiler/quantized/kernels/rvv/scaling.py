"""From accumulators to int8 outputs by RISC-V's vector extension: exactly TFLite's arithmetic.

With m the multiplier and e >= 1 bits to the right, `scaling` has three ways:

    double rounding   floor((y - (y < 0) + 2**(e-1)) / 2**e) + z,  y = floor(s * m / 2**31 + 1/2)
    single rounding   floor((floor(s * m / 2**31) + 2**(e-1)) / 2**e) + z
    line              floor((floor(t * m / 2**32) + o) / 2**e),    t = (s << left) + start

One sequence of instructions does all of them: a product of which the upper 32 bits but one are
kept, rounded to nearest or down; 1 taken from negative ones, or not; an offset; and a shift rounded
to nearest, halves up. A line with the offset o is of that form, since a floor inside of a floor
changes nothing:

    floor((floor(t * m / 2**31) + 2 * o) / 2**(e+1))
        == floor((floor(t * m / 2**31) + (2 * o - 2**e) + 2**e) / 2**(e+1))

The offset is added with saturation: what would be beyond int32 is beyond int8 as well when it has
been shifted by no more than 23 bits.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pytest_microtvm.compiler.quantized.kernels.accumulators import Sums
from pytest_microtvm.compiler.quantized.kernels.c_text import Text
from pytest_microtvm.compiler.quantized.kernels.scaling import plan_scaling
from pytest_microtvm.compiler.quantized.kernels.text import Constants
from pytest_microtvm.compiler.quantized.specs import Requantization, Role, Rounding


@dataclass(frozen=True)
class RvvScaling:
    """How a kernel scales its accumulators.

    Args:
        channels: What differs between channels: int32 of starts, then as many of multipliers.
        shifts: int8, bits to the right of each channel.
        how: The fields of a `microtvm_outputs`.
    """

    channels: npt.NDArray[np.int32]
    shifts: npt.NDArray[np.int8]
    how: tuple[int, ...]

    @property
    def constants(self) -> Constants:
        """What follows the weights: constant1 and constant2."""
        return [self.channels, self.shifts]

    def declare(self, text: Text) -> None:
        """C: `layer` and `how`, which the functions of `tvmgen_integer_rvv.h` take."""
        count = len(self.shifts)
        text.add(
            f"const microtvm_layer layer = {{{count}, constant0, constant1, "
            f"constant1 + {count}, constant2}};",
            f"const microtvm_outputs how = {{{', '.join(map(str, self.how))}}};",
        )

    @staticmethod
    def roles() -> tuple[Role, ...]:
        """What the constants are."""
        return (
            Role("parameters", "what is added to the sum of each output channel; multipliers"),
            Role("shifts", "of each output channel, bits to the right"),
        )


def plan_rvv_scaling(requantization: Requantization, sums: Sums) -> RvvScaling | None:
    """Choose how to scale.

    Args:
        requantization: To int8.
        sums: What is scaled.

    Returns:
        None where these instructions do not do.
    """
    plan = plan_scaling(requantization, sums)
    if plan.line is None and not plan.short:
        return None
    zero_point, limits = requantization.zero_point, (requantization.minimum, requantization.maximum)
    shifts = plan.shifts
    if plan.line is not None:
        line = plan.line
        offset = 2 * line.offset - (1 << line.right)
        shifts = np.full(len(shifts), line.right + 1, np.int8)
        how = (line.left, 0, 0, offset, 0, *limits)
    else:
        is_double = requantization.rounding is Rounding.DOUBLE
        how = (0, int(is_double), int(is_double), 0, zero_point, *limits)
    return RvvScaling(np.concatenate([plan.starts, plan.multipliers]), shifts, how)
