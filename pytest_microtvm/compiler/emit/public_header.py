"""Writes tvmgen_<m>.h: the C interface of a model, the only header that a firmware includes."""

from __future__ import annotations

from collections.abc import Sequence

from pytest_microtvm.compiler.emit.devices import device_declarations
from pytest_microtvm.compiler.emit.literals import float_literal
from pytest_microtvm.compiler.emit.macros import Macros
from pytest_microtvm.compiler.emit.pools import attributes, map_declarations, pool_struct
from pytest_microtvm.compiler.graph import ExecutorGraph
from pytest_microtvm.compiler.planning import MemoryPlan
from pytest_microtvm.compiler.program import Port

_SIZES = "/* Sizes in bytes. */\n"
_SIZES_AND_PLACES = "/* Sizes in bytes, and places in their pools (_OFFSET). */\n"
_INPUTS = "/* Input tensors: row-major, aligned for their element type; only read. */\n"
_INPUTS_IN_ARENA = (
    "/* Input tensors: row-major, aligned for their element type. They may be in the workspace,\n"
    "   each at its own place; what is in them is lost then. */\n"
)
_OUTPUTS = (
    "/* Output tensors: row-major, aligned for their element type; must not overlap the\n"
    "   inputs, each other or the workspace. */\n"
)
_OUTPUTS_IN_ARENA = (
    "/* Output tensors: row-major, aligned for their element type. They may be in the workspace,\n"
    "   each at its own place; elsewhere they must not overlap the inputs, each other or the\n"
    "   workspace. */\n"
)
_IN_POOL = "/* {} tensors: row-major, each at its own place in the pool {}; {}. */\n"
_QUANTIZATION = "/* Quantized tensors: real number = _SCALE * (element - _ZERO_POINT). */\n"


def public_header(notice: str, macros: Macros, plan: MemoryPlan, graph: ExecutorGraph) -> str:
    """The text of the header.

    Args:
        notice: The comment at its top.
        macros: What it defines.
        plan: The model's arena.
        graph: The model as a graph.
    """
    prefix = macros.prefix
    is_in_arena = bool(plan.input_offsets or plan.output_offsets)
    comma, failed = ("", "")
    if macros.device is not None:
        comma, failed = (",", f"  {macros.device_failed} = -2 /* a hook of a device */\n")
    body = (
        "#include <stdint.h>\n\n"
        "#ifdef __cplusplus\n"
        'extern "C" {\n'
        "#endif\n\n"
        f"{_SIZES_AND_PLACES if is_in_arena else _SIZES}"
        f"{_sizes(macros, plan)}\n"
        f"{_quantization(macros)}"
        "/* What the graph executor needs to know to size its memory. */\n"
        f"{_counts(macros, graph)}\n"
        "/* What running a model returns. */\n"
        f"enum {prefix}_status {{\n"
        f"  {macros.ok} = 0,\n"
        f"  {macros.null_pointer} = -1{comma} /* a struct, a tensor or the workspace */\n"
        f"{failed}"
        "};\n\n"
        f"{_tensors_comment(macros, plan, 'Input')}"
        f"{_struct(f'{prefix}_inputs', macros.inputs, 'void' if is_in_arena else 'const void')}\n"
        f"{_tensors_comment(macros, plan, 'Output')}"
        f"{_struct(f'{prefix}_outputs', macros.outputs, 'void')}\n"
        f"{pool_struct(macros)}"
        f"{attributes(macros)}"
        f"{device_declarations(macros)}"
        f"{map_declarations(macros)}"
        f"{_reset_declaration(macros)}"
        f"/* Run the model once. Returns a value of enum {prefix}_status. */\n"
        f"{macros.run_signature};\n\n"
        "/* The same by way of microtvm/context.h: TVMExecute runs it. */\n"
        "struct TVMModel;\n"
        f"extern const struct TVMModel {prefix};\n\n"
        "#ifdef __cplusplus\n"
        "}\n"
        "#endif\n"
    )
    if macros.constant_pools:
        body += f'\n#include "{prefix}_constants.h"\n'
    return notice + guarded(f"{macros.macro_prefix}_H_", body)


def _tensors_comment(macros: Macros, plan: MemoryPlan, kind: str) -> str:
    """What is said above the struct of inputs or outputs."""
    is_input = kind == "Input"
    if plan.io_pool:
        kept = "what is in them is lost in a run" if is_input else "kept until the next run"
        return _IN_POOL.format(kind, plan.io_pool, kept)
    if macros.io_places:
        return _INPUTS_IN_ARENA if is_input else _OUTPUTS_IN_ARENA
    return _INPUTS if is_input else _OUTPUTS


def guarded(guard: str, body: str) -> str:
    """A header that may be included twice."""
    return f"#ifndef {guard}\n#define {guard}\n\n{body}\n#endif /* {guard} */\n"


def _sizes(macros: Macros, plan: MemoryPlan) -> str:
    ports = [*macros.inputs, *macros.outputs]
    sizes = [(macros.size(port), port.type.size_bytes) for port in ports]
    sizes.append((macros.workspace_size, plan.arena_bytes))
    for pool in macros.all_pools:
        sizes.append((macros.pool(pool.info, "SIZE"), pool.size_bytes))
    if macros.state_bytes:
        sizes.append((macros.state_pool_size, macros.state_bytes))
    sizes += [
        (macros.offset(port), macros.io_places[port.c_name][1])
        for port in ports
        if port.c_name in macros.io_places
    ]
    return "".join(f"#define {name} {size}\n" for name, size in sizes)


def _quantization(macros: Macros) -> str:
    lines = []
    for port in (*macros.inputs, *macros.outputs):
        if port.quantization is not None:
            scale = float_literal(float(port.quantization.scale), "float32")
            zero_point = port.quantization.zero_point
            literal = f"({zero_point})" if zero_point < 0 else str(zero_point)
            lines.append(f"#define {macros.scale(port)} {scale}\n")
            lines.append(f"#define {macros.zero_point(port)} {literal}\n")
    return f"{_QUANTIZATION}{''.join(lines)}\n" if lines else ""


def _counts(macros: Macros, graph: ExecutorGraph) -> str:
    return "".join(
        f"#define {macros.macro_prefix}_GRAPH_{name.upper()} {count}\n"
        for name, count in graph.counts.items()
    )


def _reset_declaration(macros: Macros) -> str:
    if not macros.state_bytes:
        return ""
    return (
        "/* Begin a sequence of inputs: give the state its initial value. Needed before the first\n"
        f"   run. Returns a value of enum {macros.prefix}_status. */\n"
        f"{macros.reset_signature};\n\n"
    )


def _struct(name: str, ports: Sequence[Port], kind: str) -> str:
    members = "".join(
        f"  {kind} *{port.c_name}; /* {port.type.dtype} {_shape_text(port.type.shape)} */\n"
        for port in ports
    )
    members = members or "  void *unused;\n"  # C has no empty structs
    return f"struct {name} {{\n{members}}};\n"


def _shape_text(shape: Sequence[int]) -> str:
    return "[" + ", ".join(map(str, shape)) + "]"
