"""Writes the C files of a model: the public header, kernels, constants, call plan, descriptions.

    include/tvmgen_<m>.h            the C interface that a firmware calls
    include/tvmgen_<m>_internal.h   kernels and constants, shared by the sources
    include/tvmgen_integer.h        arithmetic of integer kernels, when there are any
    src/<m>_lib0.c                  constants and kernels
    src/<m>_lib1.c                  the call plan and tvmgen_<m>_run
    src/<m>_model.c, <m>_graph.c    descriptions for the runtime (see `descriptions`)

All but the last two need only <stdbool.h>, <stddef.h>, <stdint.h>, <math.h> and <string.h>.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from pytest_microtvm.compiler.emit.descriptions import graph_source, model_source
from pytest_microtvm.compiler.emit.functions import definition, signature
from pytest_microtvm.compiler.emit.literals import array_definition
from pytest_microtvm.compiler.emit.origin import Origin
from pytest_microtvm.compiler.emit.public_header import (
    Macros,
    guarded,
    public_header,
    run_signature,
)
from pytest_microtvm.compiler.emit.states import reset_definition
from pytest_microtvm.compiler.emit.tidy import wrapped
from pytest_microtvm.compiler.emit.tir_helpers import HELPERS
from pytest_microtvm.compiler.graph import ExecutorGraph
from pytest_microtvm.compiler.planning import MemoryPlan
from pytest_microtvm.compiler.program import (
    C_TYPES,
    CopyCall,
    KernelCall,
    Program,
    Storage,
    StorageKind,
)
from pytest_microtvm.mlf.element_types import ALIGNMENT_BYTES

INTEGER_INCLUDE = Path(__file__).parents[1] / "quantized" / "include"
"""The headers of integer kernels."""

_INCLUDED = re.compile(r'^#include "(\w+\.h)"', re.MULTILINE)


class CFiles:
    """The C files of one model.

    Args:
        name: The module's name, a C identifier.
        program: The lowered model.
        plan: Where its tensors and workspaces are in the arena.
        graph: The same as a graph.
        origin: Where the model comes from.
    """

    def __init__(
        self, name: str, program: Program, plan: MemoryPlan, graph: ExecutorGraph, origin: Origin
    ) -> None:
        self.macros = Macros(name, program)
        self._notice = origin.notice()
        self._prefix = f"tvmgen_{name}"
        self._macro_prefix = f"TVMGEN_{name.upper()}"
        self._name = name
        self._program = program
        self._plan = plan
        self._graph = graph

    def files(self) -> dict[str, str]:
        """Contents by path below `codegen/host`."""
        files = {
            f"include/{self._prefix}.h": public_header(
                self._notice, self.macros, self._plan, self._graph
            ),
            f"include/{self._prefix}_internal.h": self._internal_header(),
            f"src/{self._name}_lib0.c": self._kernels(),
            f"src/{self._name}_lib1.c": self._call_plan(),
            f"src/{self._name}_model.c": self._notice
            + model_source(self._name, self._program, self._plan.arena_bytes),
            f"src/{self._name}_graph.c": self._notice
            + graph_source(self._name, self._program, self._graph),
        }
        pending = list(self._integer_headers)  # and what these include
        while pending:
            source = INTEGER_INCLUDE / pending.pop()  # or the header itself, given by a whole path
            if f"include/{source.name}" in files:
                continue
            text = files[f"include/{source.name}"] = source.read_text(encoding="utf-8")
            pending += [str(source.parent / name) for name in _INCLUDED.findall(text)]
        return files

    @property
    def _integer_headers(self) -> list[str]:
        """The headers that integer kernels need, if there are any."""
        kernels = [kernel for kernel in self._program.kernels.values() if kernel.is_integer]
        headers = {header for kernel in kernels for header in kernel.headers}
        return ["tvmgen_integer.h", *sorted(headers)] if kernels else []

    # What the sources share.

    def _constant_name(self, index: int) -> str:
        return f"{self._prefix}_data_{index}"

    def _internal_header(self) -> str:
        constants = "".join(
            f"extern const {C_TYPES[str(array.dtype)]} {self._constant_name(i)}[{array.size}];\n"
            for i, array in enumerate(self._program.constants)
        )
        kernels = "\n".join(f"{signature(kernel)};\n" for kernel in self._program.kernels.values())
        body = (
            "#include <stdbool.h>\n"
            "#include <stddef.h>\n"
            "#include <stdint.h>\n\n"
            "#if defined(__GNUC__)\n"
            f"#define TVMGEN_ALIGNED __attribute__((aligned({ALIGNMENT_BYTES})))\n"
            "#else\n"
            "#define TVMGEN_ALIGNED\n"
            "#endif\n"
            "#if defined(__GNUC__)\n"
            "#define TVMGEN_RESTRICT __restrict__\n"
            "#elif !defined(__cplusplus)\n"
            "#define TVMGEN_RESTRICT restrict\n"
            "#else\n"
            "#define TVMGEN_RESTRICT\n"
            "#endif\n\n"
            "#ifdef __cplusplus\n"
            'extern "C" {\n'
            "#endif\n\n"
            f"{constants}\n{kernels}\n"
            f"int32_t {self._prefix}_execute(void *const *inputs, void *const *outputs,\n"
            "    uint8_t *workspace);\n\n"
            "#ifdef __cplusplus\n"
            "}\n"
            "#endif\n"
        )
        return self._notice + guarded(f"{self._macro_prefix}_INTERNAL_H_", body)

    def _kernels(self) -> str:
        kernels = self._program.kernels.values()
        helpers = sorted({helper for kernel in kernels for helper in kernel.helpers})
        integer = "".join(f'#include "{Path(header).name}"\n' for header in self._integer_headers)
        parts = [
            f'{self._notice}#include "{self._prefix}_internal.h"\n{integer}\n#include <math.h>\n',
            *(
                array_definition(self._constant_name(i), array)
                for i, array in enumerate(self._program.constants)
            ),
            *(HELPERS[helper] for helper in helpers),
            *(definition(kernel) for kernel in kernels),
        ]
        return "\n".join(parts)

    # The call plan.

    def _call_plan(self) -> str:
        prefix = self._prefix
        includes = f'#include "{prefix}.h"\n#include "{prefix}_internal.h"\n'
        if self._program.states or any(isinstance(c, CopyCall) for c in self._program.calls):
            includes += "\n#include <string.h>\n"
        calls = "".join(
            f"{line}\n"
            for position, call in enumerate(self._program.calls)
            for line in wrapped(self._call(position, call), "  ")
        )
        unused = self._unused_parameters()
        inputs = [port.c_name for port in self._program.model_inputs]
        outputs = [port.c_name for port in self._program.model_outputs]
        has_states = bool(self._program.states)
        reset = f"\n{reset_definition(self.macros, self._program)}" if has_states else ""
        return (
            f"{self._notice}{includes}\n"
            f"int32_t {prefix}_execute(void *const *inputs, void *const *outputs,\n"
            f"    uint8_t *workspace) {{\n{unused}{calls}  return 0;\n}}\n\n"
            f"{run_signature(prefix)} {{\n"
            f"{self._run_body(inputs, outputs)}}}\n{reset}"
        )

    def _run_body(self, inputs: Sequence[str], outputs: Sequence[str]) -> str:
        pointers = ["inputs", "outputs", "workspace_pools"]
        members = [f"inputs->{name}" for name in inputs] + [f"outputs->{name}" for name in outputs]
        members += ["workspace_pools->workspace"] if self._plan.arena_bytes else []
        offsets = self._program.state_offsets[:-1]
        members += ["workspace_pools->state"] if offsets else []
        states = [f"(uint8_t *)workspace_pools->state + {offset}" for offset in offsets]
        input_data = _members("inputs", inputs, states, "(void *)(uintptr_t)")
        lines = [
            *self._null_check(pointers),
            *self._null_check(members),
            "/* Kernels only read what these point to. */",
            f"void *const input_data[] = {{{input_data}}};",
            f"void *const output_data[] = {{{_members('outputs', outputs, states)}}};",
            f"return {self._prefix}_execute("
            "input_data, output_data, (uint8_t *)workspace_pools->workspace);",
        ]
        return "".join(f"{part}\n" for line in lines for part in wrapped(line, "  "))

    def _null_check(self, pointers: Sequence[str]) -> list[str]:
        condition = " || ".join(f"{pointer} == NULL" for pointer in pointers)
        return [f"if ({condition}) {{", f"  return {self.macros.null_pointer};", "}"]

    def _unused_parameters(self) -> str:
        kinds = {s.kind for call in self._program.calls for s in self._program.storages(call)}
        unused = []
        if StorageKind.INPUT not in kinds:
            unused.append("inputs")
        if StorageKind.OUTPUT not in kinds:
            unused.append("outputs")
        has_workspaces = any(map(self._program.workspace_bytes, self._program.calls))
        if StorageKind.ARENA not in kinds and not has_workspaces:
            unused.append("workspace")
        return "".join(f"  (void){name};\n" for name in unused)

    def _call(self, position: int, call: KernelCall | CopyCall) -> str:
        if isinstance(call, CopyCall):
            source, target = self._address(call.source), self._address(call.target)
            return f"memcpy({target}, {source}, {call.target.size_bytes});"
        kernel = self._program.kernels[call.kernel]
        arguments = []
        for parameter, argument in zip(kernel.parameters, call.arguments, strict=True):
            if isinstance(argument, Storage):
                const = "" if parameter.is_written else "const "
                c_type = f"({const}{C_TYPES[parameter.dtype]} *)"
                # A cast by way of void says that the alignment has been seen to.
                via = "(void *)" if argument.kind is StorageKind.ARENA else ""
                arguments.append(f"{c_type}{via}{self._address(argument)}")
            else:
                arguments.append(argument)
        if kernel.workspace_bytes:
            arguments.append(_at(self._plan.workspace_offsets[position]))
        return f"{kernel.c_name}({', '.join(arguments)});"

    def _address(self, storage: Storage) -> str:
        if storage.kind is StorageKind.INPUT:
            return f"inputs[{storage.index}]"
        if storage.kind is StorageKind.OUTPUT:
            return f"outputs[{storage.index}]"
        if storage.kind is StorageKind.CONSTANT:
            return self._constant_name(storage.index)
        return f"({_at(self._plan.storage_offsets[storage.index])})"


def _at(offset: int) -> str:
    return f"workspace + {offset}" if offset else "workspace"


def _members(struct: str, names: Iterable[str], states: Iterable[str], cast: str = "") -> str:
    return ", ".join([*(f"{cast}{struct}->{name}" for name in names), *states]) or "NULL"
