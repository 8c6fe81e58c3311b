"""Writes tvmgen_<m>.h: the C interface of a model, the only header that a firmware includes."""

from __future__ import annotations

from collections.abc import Sequence

from pytest_microtvm.compiler.emit.literals import float_literal
from pytest_microtvm.compiler.graph import ExecutorGraph
from pytest_microtvm.compiler.planning import MemoryPlan
from pytest_microtvm.compiler.program import Port, Program
from pytest_microtvm.mlf.element_types import ALIGNMENT_BYTES

_SIZES = "/* Sizes in bytes. */\n"
_SIZES_AND_PLACES = "/* Sizes in bytes, and places in the workspace (_OFFSET). */\n"
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
_QUANTIZATION = "/* Quantized tensors: real number = _SCALE * (element - _ZERO_POINT). */\n"


class Macros:
    """The names that the header of a model defines.

    Args:
        name: The module's name, a C identifier.
        program: The lowered model.
    """

    def __init__(self, name: str, program: Program) -> None:
        self.prefix = f"tvmgen_{name}"
        self.macro_prefix = f"TVMGEN_{name.upper()}"
        self.inputs: Sequence[Port] = program.model_inputs
        self.outputs: Sequence[Port] = program.model_outputs
        self.state_bytes = program.state_offsets[-1]

    @property
    def ok(self) -> str:
        """The status of a run that succeeded."""
        return f"{self.macro_prefix}_OK"

    @property
    def null_pointer(self) -> str:
        """The status of a run that was given a null pointer."""
        return f"{self.macro_prefix}_ERROR_NULL_POINTER"

    @property
    def pool_size(self) -> str:
        """The size of the workspace."""
        return f"{self.macro_prefix}_WORKSPACE_WORKSPACE_POOL_SIZE"

    @property
    def state_pool_size(self) -> str:
        """The size of what the model keeps from run to run."""
        return f"{self.macro_prefix}_STATE_WORKSPACE_POOL_SIZE"

    @property
    def reset_signature(self) -> str:
        """The declaration of tvmgen_<m>_reset, without its semicolon."""
        pools = f"const struct {self.prefix}_workspace_pools *workspace_pools"
        return f"int32_t {self.prefix}_reset(\n    {pools})"

    def size(self, port: Port) -> str:
        """The macro with the size in bytes of an input or output."""
        return self._of(port, "SIZE")

    def offset(self, port: Port) -> str:
        """The macro with the place of an input or output in the arena, when it has one."""
        return self._of(port, "OFFSET")

    def scale(self, port: Port) -> str:
        """The macro with the scale of an input or output, when it is quantized."""
        return self._of(port, "SCALE")

    def zero_point(self, port: Port) -> str:
        """The macro with the zero point of an input or output, when it is quantized."""
        return self._of(port, "ZERO_POINT")

    def _of(self, port: Port, what: str) -> str:
        return f"{self.macro_prefix}_{port.c_name.upper()}_{what}"


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
        f"  {macros.null_pointer} = -1 /* a struct, a tensor or the workspace */\n"
        "};\n\n"
        f"{_INPUTS_IN_ARENA if is_in_arena else _INPUTS}"
        f"{_struct(f'{prefix}_inputs', macros.inputs, 'const void')}\n"
        f"{_OUTPUTS_IN_ARENA if is_in_arena else _OUTPUTS}"
        f"{_struct(f'{prefix}_outputs', macros.outputs, 'void')}\n"
        f"/* Scratch memory, aligned to {ALIGNMENT_BYTES} bytes; may be NULL when its size is "
        "0. Its\n   contents need not be kept between runs. */\n"
        f"struct {prefix}_workspace_pools {{\n"
        f"  void *workspace; /* {macros.pool_size} bytes */\n"
        f"{_state_member(macros)}"
        "};\n\n"
        f"{_reset_declaration(macros)}"
        f"/* Run the model once. Returns a value of enum {prefix}_status. */\n"
        f"{run_signature(prefix)};\n\n"
        "#ifdef __cplusplus\n"
        "}\n"
        "#endif\n"
    )
    return notice + guarded(f"{macros.macro_prefix}_H_", body)


def run_signature(prefix: str) -> str:
    """The declaration of tvmgen_<m>_run, without its semicolon."""
    return (
        f"int32_t {prefix}_run(\n"
        f"    const struct {prefix}_inputs *inputs,\n"
        f"    const struct {prefix}_outputs *outputs,\n"
        f"    const struct {prefix}_workspace_pools *workspace_pools)"
    )


def guarded(guard: str, body: str) -> str:
    """A header that may be included twice."""
    return f"#ifndef {guard}\n#define {guard}\n\n{body}\n#endif /* {guard} */\n"


def _sizes(macros: Macros, plan: MemoryPlan) -> str:
    ports = [*macros.inputs, *macros.outputs]
    sizes = [(macros.size(port), port.type.size_bytes) for port in ports]
    sizes.append((f"{macros.macro_prefix}_WORKSPACE_SIZE", plan.arena_bytes))
    sizes.append((macros.pool_size, plan.arena_bytes))
    if macros.state_bytes:
        sizes.append((macros.state_pool_size, macros.state_bytes))
    offsets = [*plan.input_offsets, *plan.output_offsets]
    sizes += [
        (macros.offset(port), offset)
        for port, offset in zip(ports if offsets else (), offsets, strict=True)
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


def _state_member(macros: Macros) -> str:
    if not macros.state_bytes:
        return ""
    return (
        "  /* What the model keeps from run to run, aligned likewise: it belongs to one\n"
        "     sequence of inputs, and the function _reset initializes it. */\n"
        f"  void *state; /* {macros.state_pool_size} bytes */\n"
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
