"""Calls of kernels, and copies, as C statements."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from pytest_microtvm.compiler.planning import MemoryPlan
from pytest_microtvm.compiler.program import (
    C_TYPES,
    CopyCall,
    Kernel,
    Program,
    Storage,
    StorageKind,
)


class Places(Protocol):
    """Where tensors and workspaces are, as C expressions."""

    def address(self, storage: Storage) -> str:
        """The address of a tensor."""

    def via(self, storage: Storage) -> str:
        """A cast by way of void, which says that the alignment has been seen to; or nothing."""

    def space(self, kernel: Kernel, position: int) -> str:
        """The part of the type that says where a parameter points to; or nothing."""

    def at(self, offset: int) -> str:
        """The address in the arena of an offset in bytes."""


def call_statements(program: Program, plan: MemoryPlan, places: Places) -> Iterator[str]:
    """The statements of all calls of a program, in their order.

    Args:
        program: The lowered program.
        plan: Where the workspaces of its calls are in the arena.
        places: Where everything is in C.
    """
    for position, call in enumerate(program.calls):
        if isinstance(call, CopyCall):
            source, target = places.address(call.source), places.address(call.target)
            is_constant = call.source.kind is StorageKind.CONSTANT
            copy = "TVMGEN_COPY" if is_constant else "memcpy"
            yield f"{copy}({target}, {source}, {call.target.size_bytes});"
            continue
        kernel = program.kernels[call.kernel]
        arguments = []
        pairs = zip(kernel.parameters, call.arguments, strict=True)
        for number, (parameter, argument) in enumerate(pairs):
            if isinstance(argument, Storage):
                const = "" if parameter.is_written else f"const {places.space(kernel, number)}"
                c_type = f"({const}{C_TYPES[parameter.dtype]} *)"
                arguments.append(f"{c_type}{places.via(argument)}{places.address(argument)}")
            else:
                arguments.append(argument)
        if kernel.workspace_bytes:
            arguments.append(places.at(plan.workspace_offsets[position]))
        if kernel.device is not None:
            arguments.append(f"memory->{kernel.device.name}")
        yield f"{kernel.c_name}({', '.join(arguments)});"
