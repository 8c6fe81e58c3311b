"""Turns what a device reports of a fault into an error that a person can read."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pytest_microtvm.errors import BuildError, TargetError
from pytest_microtvm.measure.symbols import SourceLocation, locate

_REGISTERS_A_LINE = 4


def explain_fault(registers: Mapping[str, str], program: Path | None = None) -> TargetError:
    """Make the error of a fault.

    Args:
        registers: As the device reports them; see `wire.session.Fault`.
        program: The firmware as ELF, to find the function, file and line by.

    Returns:
        An error whose details hold the registers.
    """
    message = f"the device crashed: {registers.get('kind', 'fault')}"
    if _number(registers, "address") is not None:
        message += f" at address {registers['address']}"
    pc = _number(registers, "pc")
    if pc is not None:
        message += f" in {_place(pc, program) or registers['pc']}"
    values = [f"{name} {value}" for name, value in registers.items() if name != "kind"]
    lines = [
        "registers: " + "  ".join(values[start : start + _REGISTERS_A_LINE])
        for start in range(0, len(values), _REGISTERS_A_LINE)
    ]
    return TargetError(message, operation="call", details="\n".join(lines))


def _number(registers: Mapping[str, str], name: str) -> int | None:
    try:
        return int(registers[name], 0)
    except (KeyError, ValueError):
        return None


def _place(pc: int, program: Path | None) -> SourceLocation | None:
    if program is None:
        return None
    try:
        return locate(program, pc)
    except BuildError:
        return None  # the registers are worth showing all the same
