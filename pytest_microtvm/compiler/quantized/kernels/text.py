"""Pieces of C that several kernels need."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from pytest_microtvm.compiler.quantized.specs import Requantization, Rounding

Constants = list[npt.NDArray[Any]]

REQUANTIZATIONS = {
    Rounding.DOUBLE: "microtvm_requantize",
    Rounding.SINGLE: "microtvm_requantize_single",
    Rounding.WIDE: "microtvm_requantize_wide",
    Rounding.EVEN: "microtvm_requantize_even",
}
"""By the way of rounding, the function of `tvmgen_integer.h` that scales a sum."""


class HasValues(Protocol):
    """What a kernel reads: a constant, or else an input."""

    @property
    def values(self) -> npt.NDArray[Any] | None:
        """When they are known."""


def sources(operands: Iterable[HasValues], constants: Constants) -> tuple[list[str], int]:
    """The arrays in C that hold operands, and how many of them are inputs.

    Args:
        operands: In their order.
        constants: Gets the values of those that are known.
    """
    names, inputs = [], 0
    for operand in operands:
        if operand.values is None:
            names.append(f"input{inputs}")
            inputs += 1
        else:
            names.append(f"constant{len(constants)}")
            constants.append(operand.values)
    return names, inputs


def body(text: str) -> str:
    """The statements of a kernel, each line indented by the braces it stands between."""
    lines = []
    depth = 1
    is_continued = False
    for line in filter(None, map(str.strip, text.splitlines())):
        depth -= line.startswith("}")
        lines.append("  " * depth + ("    " if is_continued else "") + line + "\n")
        depth += line.endswith("{")
        is_continued = not line.endswith((";", "{", "}"))
    return "".join(lines)


def centered(value: str, zero_point: int) -> str:
    """An expression of 32 bits for `value - zero_point`, fit to be a factor."""
    wide = f"(int32_t){value}"
    if zero_point == 0:
        return wide
    return f"({wide} - {zero_point})" if zero_point > 0 else f"({wide} + {-zero_point})"


def by_bits(table: npt.NDArray[Any], dtype: str) -> npt.NDArray[Any]:
    """A table of all values of `dtype`, from the least on, in the order of their bits."""
    return np.roll(table, 128) if dtype == "int8" else table


def requantized(
    requantization: Requantization,
    value: str,
    channel: str,
    constants: Constants,
    is_wide: bool = False,
) -> str:
    """An expression of type int32_t that makes an output of a sum.

    Args:
        requantization: How.
        value: An expression for the sum.
        channel: An expression for the output channel.
        constants: Factors by channel are appended to them.
        is_wide: Whether the sum may be beyond int32_t; what is, is taken for its end.
    """
    if is_wide and requantization.rounding in (Rounding.DOUBLE, Rounding.SINGLE):
        value = f"microtvm_saturate32({value})"
    if requantization.rounding is Rounding.REAL:
        if requantization.reals is None:
            raise AssertionError("real factors are missing")
        scale = _factor(requantization.reals, channel, constants)
        scaled = f"microtvm_requantize_real({value}, {scale})"
    else:
        multiplier = _factor(requantization.multipliers, channel, constants)
        shift = _factor(requantization.shifts.astype(np.int8), channel, constants)
        function = REQUANTIZATIONS[requantization.rounding]
        if is_wide and requantization.rounding is Rounding.EVEN:
            function += "_wide"
        scaled = f"{function}({value}, {multiplier}, {shift})"
    return clamped(scaled, requantization)


def clamped(scaled: str, requantization: Requantization) -> str:
    """An expression for an output, given its distance from the zero point."""
    if requantization.zero_point:
        scaled += f" + {requantization.zero_point}"
    if requantization.dtype == "int32":
        return scaled
    return f"microtvm_clamp({scaled}, {requantization.minimum}, {requantization.maximum})"


def _factor(values: npt.NDArray[Any], channel: str, constants: Constants) -> str:
    if values.size == 1:
        value = values.reshape(-1)[0]
        return repr(float(value)) if values.dtype == np.float64 else str(int(value))
    constants.append(values)
    return f"constant{len(constants) - 1}[{channel}]"
