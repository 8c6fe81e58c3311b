"""Kernels as C functions: signatures, and definitions with a comment above them."""

from __future__ import annotations

from pytest_microtvm.compiler.emit.flash import FLASH, FlashUse
from pytest_microtvm.compiler.emit.literals import comment
from pytest_microtvm.compiler.emit.tidy import WIDTH
from pytest_microtvm.compiler.program import C_TYPES, Kernel


def signature(kernel: Kernel, flash: FlashUse | None = None) -> str:
    """The declaration of a kernel, without its semicolon.

    Args:
        kernel: The kernel.
        flash: What points to constants, where that is known.
    """
    given = flash.positions(kernel) if flash else ()
    parameters = []
    restrict = "TVMGEN_RESTRICT " if kernel.is_generated else ""
    shared = {*kernel.in_place, *(overlap.input for overlap in kernel.overlaps)}
    if shared:
        shared.add(len(kernel.parameters) - 1)
    for position, parameter in enumerate(kernel.parameters):
        c_type = C_TYPES[parameter.dtype]
        if not parameter.is_pointer:
            parameters.append(f"{c_type} {parameter.name}")
        else:
            const = "" if parameter.is_written else "const "
            alone = "" if position in shared else restrict
            const += FLASH if position in given else ""
            parameters.append(f"{const}{c_type} *{alone}{parameter.name}")
    if kernel.workspace_bytes:
        parameters.append(f"uint8_t *{restrict}workspace")
    if kernel.device is not None:
        parameters.append("void *device")
    return function(f"void {kernel.c_name}", parameters or ["void"])


def function(name: str, parameters: list[str]) -> str:
    """A function's name and parameters, on one line or with each parameter on its own.

    Args:
        name: With what is before it.
        parameters: With their types.
    """
    line = f"{name}({', '.join(parameters)})"
    # A semicolon or a brace follows.
    return line if len(line) + 2 <= WIDTH else f"{name}(\n    " + ",\n    ".join(parameters) + ")"


def definition(kernel: Kernel, flash: FlashUse | None = None) -> str:
    """The whole function, with its comment; arguments as of `signature`."""
    body = flash.body(kernel) if flash else kernel.body
    return f"{comment(kernel.comment)}{signature(kernel, flash)} {{\n{body}}}\n"
