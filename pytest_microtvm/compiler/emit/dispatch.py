"""Writes what finds a model at run time: its descriptor, and its functions by name.

    src/<m>_context.c     tvmgen_<m>, the model for TVMExecute
    src/<m>_functions.c   tvmgen_<m>_functions, a table from names to functions

They need runtime/include.
"""

from __future__ import annotations

from pytest_microtvm.compiler.emit.descriptions import definition
from pytest_microtvm.compiler.emit.literals import string_literal
from pytest_microtvm.compiler.emit.macros import Macros
from pytest_microtvm.compiler.emit.tidy import wrapped
from pytest_microtvm.compiler.program import Program


def context_source(macros: Macros) -> str:
    """The text of <m>_context.c."""
    arguments: list[str] = []
    unused: list[str] = []
    if macros.is_io_given:
        arguments += [f"(const struct {macros.prefix}_{kind} *){kind}" for kind in _KINDS]
    else:
        unused += _KINDS
    lines = []
    if macros.has_pools:
        lines.append(_pools(macros))
        arguments.append("pools")
    if macros.device is not None:
        device = macros.device.name
        lines += [
            f"struct {macros.prefix}_devices devices;",
            f"devices.{device} = context == NULL ? NULL : "
            f"TVMFindDevice(context, {macros.device_id});",
        ]
        arguments.append("&devices")
    elif not macros.has_pools:
        unused.append("context")
    lines = [*(f"(void){name};" for name in unused), *lines]
    lines.append(f"return {macros.prefix}_run({', '.join(arguments)});")
    fields = [
        string_literal(macros.name),
        *(str(len(macros.ports(kind)) if macros.is_io_given else 0) for kind in _KINDS),
        str(macros.num_given_pools),
        "0" if macros.device is None else "1",
        "execute",
        "reset" if macros.state_bytes else "NULL",
    ]
    return (
        f'#include "{macros.prefix}.h"\n\n#include <stddef.h>\n\n#include <microtvm/context.h>\n\n'
        "static int32_t execute(const void *inputs, const void *outputs,\n"
        f"    const struct TVMContext *context) {{\n{_body(lines)}}}\n\n"
        f"{_reset(macros)}{definition(f'struct TVMModel {macros.prefix}', fields)}"
    )


def _reset(macros: Macros) -> str:
    """The function that gives the model its initial state; nothing for one without a state."""
    if not macros.state_bytes:
        return ""
    lines = [_pools(macros)] if macros.has_pools else ["(void)context;"]
    lines.append(f"return {macros.prefix}_reset({'pools' if macros.has_pools else ''});")
    return f"static int32_t reset(const struct TVMContext *context) {{\n{_body(lines)}}}\n\n"


def _pools(macros: Macros) -> str:
    """The declaration of the pools, which the context has."""
    pools = f"const struct {macros.prefix}_workspace_pools *"
    return (
        f"{pools}pools = context == NULL ? NULL : ({pools})(const void *)"
        "context->memory_layout.workspaces;"
    )


def _body(statements: list[str]) -> str:
    return "".join(f"{part}\n" for line in statements for part in wrapped(line, "  "))


def functions_source(macros: Macros, program: Program) -> str:
    """The text of <m>_functions.c."""
    interface = ["run"]
    interface += ["reset"] if macros.state_bytes else []
    interface += ["map_inputs", "map_outputs"] if macros.io_places else []
    functions = {f"{macros.prefix}_{name}": "kTVMFuncInterface" for name in interface}
    functions |= {kernel.c_name: "kTVMFuncKernel" for kernel in program.kernels.values()}
    data = {f"{macros.prefix}_model": "MicroTVMModel", f"{macros.prefix}_graph": "MicroTVMGraph"}
    rows = {
        **{name: f"(TVMFunction){name}, NULL, {kind}" for name, kind in functions.items()},
        **{name: f"NULL, &{name}, kTVMFuncData" for name in data},
    }
    declared = "".join(f"extern const {kind} {name};\n" for name, kind in data.items())
    table = "".join(f"    {{{string_literal(name)}, {rows[name]}}},\n" for name in sorted(rows))
    return (
        f'#include "{macros.prefix}.h"\n#include "{macros.prefix}_internal.h"\n\n'
        "#include <stddef.h>\n\n#include <microtvm/functions.h>\n#include <microtvm/model.h>\n\n"
        f'#ifdef __cplusplus\nextern "C" {{\n#endif\n\n{declared}\n'
        "#ifdef __cplusplus\n}\n#endif\n\n"
        "/* By name, in the order of their bytes. */\n"
        f"static const TVMFunc funcs[] = {{\n{table}}};\n\n"
        f"{definition(f'TVMFuncRegistry {macros.prefix}_functions', [str(len(rows)), 'funcs'])}"
    )


_KINDS = ("inputs", "outputs")
