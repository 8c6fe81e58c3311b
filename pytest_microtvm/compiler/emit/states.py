"""The part of the C interface that is about what a model keeps from run to run."""

from __future__ import annotations

from pytest_microtvm.compiler.emit.macros import STATE, Macros
from pytest_microtvm.compiler.program import Program


def reset_definition(macros: Macros, program: Program) -> str:
    """The function that initializes the states of a model that has some.

    Args:
        macros: The names of the model's header.
        program: The lowered model.
    """
    lines = []
    memory = f"{STATE}_memory"
    if macros.has_given_state:
        memory = f"workspace_pools->{STATE}"
        lines += [
            f"if (workspace_pools == NULL || {memory} == NULL) {{",
            f"  return {macros.null_pointer};",
            "}",
        ]
    lines.append(f"(void)memset({memory}, 0, {macros.state_pool_size});")
    for port, offset, initial in zip(
        program.states, program.state_offsets, program.initial_states, strict=False
    ):
        if initial is not None:
            lines += [
                f"(void)TVMGEN_COPY((uint8_t *){memory} + {offset},",
                f"    {macros.prefix}_data_{initial}, {port.type.size_bytes});",
            ]
    lines.append(f"return {macros.ok};")
    body = "".join(f"  {line}\n" for line in lines)
    return f"{macros.reset_signature} {{\n{body}}}\n"
