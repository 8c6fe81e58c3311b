"""Writes <m>_lib1.c: the calls of a model's kernels in order, and the functions around them."""

from __future__ import annotations

import re
from collections.abc import Sequence

from pytest_microtvm.compiler.constant_planning import PlannedConstants
from pytest_microtvm.compiler.emit import pools
from pytest_microtvm.compiler.emit.calls import call_statements
from pytest_microtvm.compiler.emit.devices import around
from pytest_microtvm.compiler.emit.flash import FLASH, FlashUse
from pytest_microtvm.compiler.emit.macros import STATE, Macros
from pytest_microtvm.compiler.emit.states import reset_definition
from pytest_microtvm.compiler.emit.tidy import wrapped
from pytest_microtvm.compiler.planning import MemoryPlan, PlannedPool
from pytest_microtvm.compiler.program import (
    CopyCall,
    Kernel,
    Port,
    Program,
    Storage,
    StorageKind,
)


class CallPlan:
    """The call plan of one model.

    Args:
        macros: The names of the model's header.
        program: The lowered model.
        plan: Where its tensors and workspaces are.
        flash: What points to constants.
    """

    def __init__(self, macros: Macros, program: Program, plan: MemoryPlan, flash: FlashUse) -> None:
        self._flash = flash
        self._macros = macros
        self._program = program
        self._plan = plan
        self._is_plain = pools.is_plain(macros)

    def text(self) -> str:
        """The text of the file, without its notice."""
        macros, program = self._macros, self._program
        includes = f'#include "{macros.prefix}.h"\n#include "{macros.prefix}_internal.h"\n'
        if program.states or any(isinstance(call, CopyCall) for call in program.calls):
            includes += "\n#include <string.h>\n"
        calls = [
            line
            for statement in call_statements(program, self._plan, self)
            for line in wrapped(statement, "  ")
        ]
        body = "".join(f"{line}\n" for line in [*self._preamble(calls), *calls])
        signature = pools.execute_signature(macros)
        if not self._is_plain:
            signature = pools.execute_in_signature(macros)
        between = ""
        if macros.device is not None:
            between, signature = f"{signature} {{\n{self._around()}}}\n\n", self._kernels()
        reset = f"\n{reset_definition(macros, program)}" if program.states else ""
        return (
            f"{includes}\n{pools.internal_memory(macros)}"
            f"{signature} {{\n{body}  return 0;\n}}\n\n{between}"
            f"{macros.run_signature} {{\n{self._run_body()}}}\n"
            f"{pools.map_definitions(macros)}{reset}"
        )

    # The calls.

    def _kernels(self) -> str:
        """The declaration of the function that calls the kernels, between a device's hooks."""
        return pools.over_memory(self._macros, "static int32_t run_kernels")

    def _around(self) -> str:
        """The statements that call it."""
        device = self._macros.device
        assert device is not None
        run = "run_kernels(inputs, outputs, memory)"
        lines = around(self._macros.device_failed, device, run, f"memory->{device.name}")
        return "".join(f"  {line}\n" for line in lines)

    def _preamble(self, calls: Sequence[str]) -> list[str]:
        """Local variables for what is used, and a use for what is not."""
        kinds = {s.kind for call in self._program.calls for s in self._program.storages(call)}
        unused = []
        if StorageKind.INPUT not in kinds:
            unused.append("inputs")
        if StorageKind.OUTPUT not in kinds:
            unused.append("outputs")
        if self._is_plain:
            has_workspaces = any(map(self._program.workspace_bytes, self._program.calls))
            if StorageKind.ARENA not in kinds and not has_workspaces:
                unused.append("workspace")
            return [f"  (void){name};" for name in unused]
        lines = []
        text = "\n".join(calls)
        for pool in self._macros.all_pools:
            name = pool.info.name
            if re.search(rf"\b{name}_pool\b", text):
                const = "const " if isinstance(pool, PlannedConstants) else ""
                lines.append(f"  {const}uint8_t *const {name}_pool = memory->{name};")
        uses_device = any(kernel.device for kernel in self._program.kernels.values())
        unused += [] if lines or uses_device else ["memory"]
        return [*lines, *(f"  (void){name};" for name in unused)]

    def via(self, storage: Storage) -> str:
        """A cast of its address."""
        if storage.kind is StorageKind.CONSTANT and self._plan.constant_place(storage.index):
            return "(const void *)"
        return "(void *)" if storage.kind is StorageKind.ARENA else ""

    def space(self, kernel: Kernel, position: int) -> str:
        """The part of the type that says where a parameter points to; or nothing."""
        return FLASH if position in self._flash.positions(kernel) else ""

    def address(self, storage: Storage) -> str:
        """Where a tensor is."""
        if storage.kind is StorageKind.INPUT:
            return f"inputs[{storage.index}]"
        if storage.kind is StorageKind.OUTPUT:
            return f"outputs[{storage.index}]"
        if storage.kind is StorageKind.CONSTANT:
            place = self._plan.constant_place(storage.index)
            if place is None:
                return self._macros.constant(storage.index)
            return f"({_plus(f'{place[0].info.name}_pool', place[1])})"
        return f"({self.at(self._plan.storage_offsets[storage.index])})"

    def at(self, offset: int) -> str:
        """What is at an offset of the arena."""
        if self._is_plain:
            return _plus("workspace", offset)
        pool, local = self._plan.place_of(offset)
        return _plus(f"{pool.info.name}_pool", local)

    # The function that runs them.

    def _run_body(self) -> str:
        macros = self._macros
        offsets = self._program.state_offsets[:-1]
        state = f"workspace_pools->{STATE}" if macros.has_given_state else f"{STATE}_memory"
        states = [f"(uint8_t *){state} + {offset}" for offset in offsets]
        inputs = ", ".join([*self._tensors("inputs", "(void *)(uintptr_t)"), *states])
        outputs = ", ".join([*self._tensors("outputs", ""), *states])
        lines = [
            *self._null_checks(),
            "/* Kernels only read what these point to. */",
            f"void *const input_data[] = {{{inputs or 'NULL'}}};",
            f"void *const output_data[] = {{{outputs or 'NULL'}}};",
        ]
        if self._is_plain:
            memory = pools.address(macros, macros.pools[0].info)
            memory = memory if self._plan.arena_bytes or not macros.internal_pools else "NULL"
            lines.append(f"return {macros.prefix}_execute(input_data, output_data, {memory});")
        else:
            lines.append(f"struct {macros.prefix}_memory memory;")
            for pool in macros.all_pools:
                start = pools.address(macros, pool.info) if pool.size_bytes else "NULL"
                lines.append(f"memory.{pool.info.name} = {start};")
            if macros.device is not None:
                lines.append(f"memory.{macros.device.name} = devices->{macros.device.name};")
            lines.append(f"return {macros.prefix}_execute_in(input_data, output_data, &memory);")
        return "".join(f"{part}\n" for line in lines for part in wrapped(line, "  "))

    def _tensors(self, kind: str, cast: str) -> list[str]:
        """The addresses of inputs or outputs."""
        ports: Sequence[Port] = self._macros.ports(kind)
        if not self._macros.is_io_given:
            return [pools.place_of(self._macros, port) for port in ports]
        cast = "" if self._macros.io_places else cast
        return [f"{cast}{kind}->{port.c_name}" for port in ports]

    def _null_checks(self) -> list[str]:
        macros = self._macros
        pointers = ["inputs", "outputs"] if macros.is_io_given else []
        members = [
            f"{kind}->{port.c_name}"
            for kind in (("inputs", "outputs") if macros.is_io_given else ())
            for port in macros.ports(kind)
        ]
        if macros.has_pools:
            pointers.append("workspace_pools")
            given: list[PlannedPool | PlannedConstants]
            given = [*macros.given_pools, *macros.constant_pools]
            members += [f"workspace_pools->{p.info.name}" for p in given if p.size_bytes]
            members += [f"workspace_pools->{STATE}"] if macros.has_given_state else []
        pointers += ["devices"] if macros.device is not None else []
        return [*self._null_check(pointers), *self._null_check(members)]

    def _null_check(self, pointers: Sequence[str]) -> list[str]:
        if not pointers:
            return []
        condition = " || ".join(f"{pointer} == NULL" for pointer in pointers)
        return [f"if ({condition}) {{", f"  return {self._macros.null_pointer};", "}"]


def _plus(start: str, offset: int) -> str:
    return f"{start} + {offset}" if offset else start
