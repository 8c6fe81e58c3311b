"""Which pointers of the generated C point to constants, and what is said of these.

Most CPUs read flash as they read RAM. An AVR does not: a constant that stays in flash has a type of
its own there, and so has each pointer to it. `TVMGEN_FLASH` is that part of the type, and nothing
on other CPUs; a pointer that has it may point into RAM as well. Kernels are written without it, and
it is put in here: into the parameters that are given constants, and the local pointers that are
made of these.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence, Set

import numpy as np
import numpy.typing as npt

from pytest_microtvm.compiler.program import Kernel, KernelCall, Program, Storage, StorageKind

FLASH = "TVMGEN_FLASH "

MACRO = """\
/* Where constants are. On an AVR that is flash, which other instructions read: a pointer to them
   has 24 bits, and says by the highest whether it is to flash or RAM. */
#ifndef TVMGEN_FLASH
#if defined(__AVR__) && !defined(__cplusplus)
/* A load from flash amid the arguments of a function that multiplies would destroy them (gcc 5). */
#pragma GCC optimize("no-tree-ter")
#define TVMGEN_FLASH __memx
#define TVMGEN_COPY(to, from, size) microtvm_copy_flash((to), (from), (size))
static inline void microtvm_copy_flash(void *to, const TVMGEN_FLASH void *from, size_t size) {
  for (size_t i = 0; i < size; ++i) {
    ((uint8_t *)to)[i] = ((const TVMGEN_FLASH uint8_t *)from)[i];
  }
}
#else
#define TVMGEN_FLASH
#define TVMGEN_COPY(to, from, size) memcpy((to), (from), (size))
#endif
#endif
"""
"""Its definition, and that of a copy from there."""

_MOST_BYTES = 32767
"""Of an array on an AVR, whose differences of addresses have 16 bits."""

_POINTER = re.compile(r"const (\w+) \*((?:TVMGEN_RESTRICT |const )?)(\w+) = ([^;]*);")
_ASSIGNMENT = re.compile(r"^\s*(\w+) = ([^;=]*);", re.MULTILINE)


def refusal_of_large(constants: Sequence[npt.NDArray[np.generic]]) -> str:
    """What tells the compiler of an AVR that a constant is too large for it; nothing if none is.

    Args:
        constants: Of a program.
    """
    most = max((int(array.nbytes) for array in constants), default=0)
    if most <= _MOST_BYTES:
        return ""
    return (
        "#if defined(__AVR__)\n"
        f'#error "a constant of this model has {most} bytes; on an AVR it may have {_MOST_BYTES}"\n'
        "#endif\n\n"
    )


class FlashUse:
    """What of a program points to constants.

    Args:
        program: The lowered model.
    """

    def __init__(self, program: Program) -> None:
        given: dict[str, set[int]] = {kernel.c_name: set() for kernel in program.functions}
        for call in program.calls:
            if isinstance(call, KernelCall):
                given[program.kernels[call.kernel].c_name] |= {
                    position
                    for position, argument in enumerate(call.arguments)
                    if isinstance(argument, Storage) and argument.kind is StorageKind.CONSTANT
                }
        self._bodies: dict[str, str] = {}
        for kernel in reversed(program.functions):  # those that call others come behind them
            positions = given[kernel.c_name]
            names = {kernel.parameters[position].name for position in positions}
            pointers = _pointers_from(kernel.body, names)
            self._bodies[kernel.c_name] = _qualified(kernel.body, pointers)
            for callee in kernel.callees:
                for arguments in _calls(kernel.body, callee.c_name):
                    given[callee.c_name] |= {
                        position
                        for position, argument in enumerate(arguments)
                        if _refers(argument, pointers)
                    }
        self._given: Mapping[str, Set[int]] = given

    def positions(self, kernel: Kernel) -> Set[int]:
        """The parameters of a kernel that are given constants."""
        return self._given[kernel.c_name]

    def body(self, kernel: Kernel) -> str:
        """The body of a kernel, with what points to constants said of its pointers."""
        return self._bodies[kernel.c_name]


def _pointers_from(body: str, names: Set[str]) -> Set[str]:
    """Those names, and the local pointers that are made of them."""
    pointers = set(names)
    if not names:
        return pointers
    declared = {match[3]: match[4] for match in _POINTER.finditer(body)}
    assigned = [(match[1], match[2]) for match in _ASSIGNMENT.finditer(body)]
    sources = [*declared.items(), *(pair for pair in assigned if pair[0] in declared)]
    while True:
        found = {name for name, value in sources if _refers(value, pointers)} - pointers
        if not found:
            return pointers
        pointers |= found


def _refers(value: str, pointers: Set[str]) -> bool:
    """Whether an expression for an address is made of one of these pointers."""
    return any(name in pointers for name in re.findall(r"(?<![\w*&])(\w+)\b(?!\s*[\[(])", value))


def _qualified(body: str, pointers: Set[str]) -> str:
    if not pointers:
        return body

    def declaration(match: re.Match[str]) -> str:
        if match[3] not in pointers:
            return match[0]
        return f"const {FLASH}{match[1]} *{match[2]}{match[3]} = {match[4]};"

    any_pointer = "|".join(sorted(map(re.escape, pointers)))
    body = _POINTER.sub(declaration, body)
    body = re.sub(
        rf"\(const (\w+) \*\)(?:\(const void \*\))?(?=\(?(?:{any_pointer})\b(?!\[))",
        lambda match: f"(const {FLASH}{match[1]} *)",
        body,
    )
    return re.sub(
        rf"\bmemcpy\((?=[^;]*?, [^;,]*?\b(?:{any_pointer})\b(?!\[))", "TVMGEN_COPY(", body
    )


def _calls(body: str, function: str) -> list[list[str]]:
    """The arguments of each call of a function; none of them has a comma in it."""
    return [match[1].split(",") for match in re.finditer(rf"\b{function}\(([^;]*)\);", body)]
