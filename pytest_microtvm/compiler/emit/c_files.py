"""Writes the C files of a model: the public header, kernels, constants, call plan, descriptions.

    include/tvmgen_<m>.h            the C interface that a firmware calls
    include/tvmgen_<m>_constants.h  what the application fills pools of constants with, if any
    include/tvmgen_<m>_internal.h   kernels and constants, shared by the sources
    include/tvmgen_integer.h        arithmetic of integer kernels, when there are any
    include/tvmgen_float_kernels.h  the same of float kernels
    include/tvmgen_parts.h          what takes weights of 4 and 2 bits apart
    src/<m>_lib0.c                  constants and kernels
    src/<m>_lib1.c                  the call plan and tvmgen_<m>_run (see `call_plan`)
    src/<m>_model.c, <m>_graph.c    descriptions for the runtime (see `descriptions`)
    src/<m>_context.c, <m>_functions.c  what finds a model at run time (see `dispatch`)

All but the last four need only <stdbool.h>, <stddef.h>, <stdint.h>, <math.h> and <string.h>.
"""

from __future__ import annotations

import re
from pathlib import Path

from pytest_microtvm.compiler.emit import pools
from pytest_microtvm.compiler.emit.avr_libm import missing_functions
from pytest_microtvm.compiler.emit.call_plan import CallPlan
from pytest_microtvm.compiler.emit.descriptions import graph_source, model_source
from pytest_microtvm.compiler.emit.dispatch import context_source, functions_source
from pytest_microtvm.compiler.emit.flash import FLASH, MACRO, FlashUse, refusal_of_large
from pytest_microtvm.compiler.emit.functions import definition, signature
from pytest_microtvm.compiler.emit.literals import array_definition
from pytest_microtvm.compiler.emit.macros import Macros
from pytest_microtvm.compiler.emit.origin import Origin
from pytest_microtvm.compiler.emit.public_header import guarded, public_header
from pytest_microtvm.compiler.emit.tir_helpers import HELPERS
from pytest_microtvm.compiler.graph import ExecutorGraph
from pytest_microtvm.compiler.naming import KERNEL_INCLUDE
from pytest_microtvm.compiler.planning import MemoryPlan
from pytest_microtvm.compiler.program import C_TYPES, Program
from pytest_microtvm.mlf.element_types import ALIGNMENT_BYTES

_DOUBLE = re.compile(r"\bdouble\b|\bmicrotvm_requantize_real\b")
_WIDE_DOUBLES = """\
#if defined(__SIZEOF_DOUBLE__) && __SIZEOF_DOUBLE__ < 8
#error "this model computes with doubles of 64 bits, which the compiler does not have"
#endif

"""
_INCLUDED = re.compile(r'^#include "(\w+\.h)"', re.MULTILINE)


class CFiles:
    """The C files of one model.

    Args:
        name: The module's name, a C identifier.
        program: The lowered model.
        plan: Where its tensors, workspaces and constants are.
        graph: The same as a graph.
        origin: Where the model comes from.
    """

    def __init__(
        self, name: str, program: Program, plan: MemoryPlan, graph: ExecutorGraph, origin: Origin
    ) -> None:
        self.macros = Macros(name, program, plan)
        self._flash = FlashUse(program)
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
            f"src/{self._name}_lib1.c": self._notice
            + CallPlan(self.macros, self._program, self._plan, self._flash).text(),
            f"src/{self._name}_model.c": self._notice
            + model_source(self.macros, self._program, self._plan.arena_bytes),
            f"src/{self._name}_context.c": self._notice + context_source(self.macros),
            f"src/{self._name}_functions.c": self._notice
            + functions_source(self.macros, self._program),
            f"src/{self._name}_graph.c": self._notice
            + graph_source(self._name, self._program, self._graph, self._flash),
        }
        if self.macros.constant_pools:
            text = pools.constants_header(self.macros, self._program)
            guard = f"{self._macro_prefix}_CONSTANTS_H_"
            files[f"include/{self._prefix}_constants.h"] = self._notice + guarded(guard, text)
        pending = list(self._kernel_headers)  # and what these include
        while pending:
            source = KERNEL_INCLUDE / pending.pop()  # or the header itself, given by a whole path
            if f"include/{source.name}" in files:
                continue
            text = files[f"include/{source.name}"] = source.read_text(encoding="utf-8")
            pending += [str(source.parent / name) for name in _INCLUDED.findall(text)]
        return files

    @property
    def _kernel_headers(self) -> list[str]:
        """The headers that generated kernels need, if there are any."""
        kernels = [kernel for kernel in self._program.functions if kernel.is_generated]
        headers = {header for kernel in kernels for header in kernel.headers}
        has_integers = any(not kernel.is_float for kernel in kernels)
        return [*(["tvmgen_integer.h"] if has_integers else []), *sorted(headers)]

    # What the sources share.

    def _internal_header(self) -> str:
        constants = "".join(
            f"extern const {FLASH}{C_TYPES[str(array.dtype)]} "
            f"{self.macros.constant(i)}[{array.size}];\n"
            for i, array in enumerate(self._program.constants)
        )
        kernels = "\n".join(
            f"{signature(kernel, self._flash)};\n" for kernel in self._program.functions
        )
        declared = f"{constants}{kernels}{''.join(k.body for k in self._program.functions)}"
        body = (
            "#include <stdbool.h>\n"
            "#include <stddef.h>\n"
            "#include <stdint.h>\n\n"
            f"{_WIDE_DOUBLES if _DOUBLE.search(declared) else ''}"
            f"{refusal_of_large(self._program.constants)}"
            f"{MACRO}\n"
            "#if defined(__AVR__)\n"
            "#define TVMGEN_ALIGNED /* it has an eight-bit bus */\n"
            "#elif defined(__GNUC__)\n"
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
            f"{'' if pools.is_plain(self.macros) else pools.memory_struct(self.macros)}"
            f"{pools.execute_signature(self.macros)};\n\n"
            "#ifdef __cplusplus\n"
            "}\n"
            "#endif\n"
        )
        return self._notice + guarded(f"{self._macro_prefix}_INTERNAL_H_", body)

    def _kernels(self) -> str:
        kernels = self._program.functions
        includes = "#include <math.h>\n"
        if any(kernel.callees for kernel in kernels):
            includes += "#include <string.h>\n"
        helpers = sorted({helper for kernel in kernels for helper in kernel.helpers})
        external = self._program.external
        headers = [*self._kernel_headers, *(external.headers if external else ())]
        integer = "".join(f'#include "{Path(header).name}"\n' for header in headers)
        missing = missing_functions(kernel.body for kernel in kernels)
        parts = [
            f'{self._notice}#include "{self._prefix}_internal.h"\n{integer}\n{includes}{missing}',
            *(
                array_definition(self.macros.constant(i), array, FLASH)
                for i, array in enumerate(self._program.constants)
            ),
            *(HELPERS[helper] for helper in helpers),
            *(definition(kernel, self._flash) for kernel in kernels),
        ]
        return "\n".join(parts)
