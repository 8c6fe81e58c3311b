"""Writes the C files that describe a model to the runtime.

    src/<m>_model.c   the model: its tensors, its arena, the function that runs it
    src/<m>_graph.c   the model as a graph: the kernels and constants by name, and the JSON

They need runtime/include. What a firmware does not refer to, the linker leaves out when it collects
sections.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pytest_microtvm.compiler.emit.devices import around
from pytest_microtvm.compiler.emit.flash import FLASH, FlashUse
from pytest_microtvm.compiler.emit.literals import array_initializer, string_literal
from pytest_microtvm.compiler.emit.macros import Macros
from pytest_microtvm.compiler.emit.pools import execute_in_one_arena, is_plain
from pytest_microtvm.compiler.emit.tidy import wrapped
from pytest_microtvm.compiler.graph import ExecutorGraph, GraphFunction
from pytest_microtvm.compiler.program import C_TYPES, Program, TensorType, dtype_bytes

# Type codes of DLPack.
_DTYPE_CODES = {"int": 0, "uint": 1, "float": 2, "bool": 6}


def model_source(macros: Macros, program: Program, arena_bytes: int) -> str:
    """The text of <m>_model.c.

    Args:
        macros: The names of the model's header.
        program: The lowered model.
        arena_bytes: The size of its arena.
    """
    prefix = macros.prefix
    shapes = _Shapes()
    inputs = _table(
        "MicroTVMTensorInfo inputs",
        [_tensor_info(port.name, port.type, shapes) for port in program.inputs],
    )
    outputs = _table(
        "MicroTVMTensorInfo outputs",
        [_tensor_info(port.name, port.type, shapes) for port in program.outputs],
    )
    fields = [
        string_literal(macros.name),
        str(len(program.inputs)),
        str(len(program.outputs)),
        "inputs" if program.inputs else "NULL",
        "outputs",
        str(arena_bytes),
        f"{prefix}_execute",
        str(len(program.states)),
        "initial_states" if program.states else "NULL",
    ]
    initial = ""
    if program.states:
        names = (
            "NULL" if constant is None else f"{prefix}_data_{constant}"
            for constant in program.initial_states
        )
        initial = f"static const {FLASH}void *const initial_states[] = {{{', '.join(names)}}};\n"
    includes, one_arena = _includes(prefix), ""
    if not is_plain(macros):
        includes = f'#include "{prefix}.h"\n{includes}'
        one_arena = f"{execute_in_one_arena(macros)}"
    return (
        f"{includes}\n{one_arena}{shapes.text()}{inputs}{outputs}{initial}"
        f"{definition(f'MicroTVMModel {prefix}_model', fields)}"
    )


def graph_source(name: str, program: Program, graph: ExecutorGraph, flash: FlashUse) -> str:
    """The text of <m>_graph.c.

    Args:
        name: The module's name.
        program: The lowered model.
        graph: The same as a graph.
        flash: What points to constants.
    """
    prefix = f"tvmgen_{name}"
    functions = graph.functions
    calls = "".join(_call(f"call_{i}", function, flash) for i, function in enumerate(functions))
    sizes = "".join(
        "\n".join(wrapped(f"static const uint32_t bytes_{i}[] = {{{_list(function)}}};")) + "\n"
        for i, function in enumerate(functions)
        if function.argument_bytes
    )
    kernels = _table(
        "MicroTVMKernel kernels",
        [
            f"{string_literal(function.name)}, {len(function.argument_bytes)}, "
            f"{function.num_outputs}, {function.kernel.workspace_bytes}, call_{i}, "
            + (f"bytes_{i}" if function.argument_bytes else "NULL")
            for i, function in enumerate(functions)
        ],
    )
    shapes = _Shapes()
    constants = _table(
        "MicroTVMConstant constants",
        [
            f"{{{_tensor_info(node, TensorType(tuple(array.shape), str(array.dtype)), shapes)}}}, "
            f"{prefix}_data_{i}"
            for i, (node, array) in enumerate(
                zip(graph.constant_names, program.constants, strict=True)
            )
        ],
    )
    copying = "#include <string.h>\n" if any(f.in_place for f in functions) else ""
    copying += f'#include "{prefix}.h"\n' if program.device is not None else ""
    text = graph.text.encode("ascii")
    fields = [
        "graph_json",
        str(len(text)),
        str(graph.num_nodes),
        str(graph.num_entries),
        str(len(graph.storages)),
        str(len(functions)),
        "kernels" if functions else "NULL",
        str(len(program.constants)),
        "constants" if program.constants else "NULL",
    ]
    return (
        f"{_includes(prefix)}{copying}\n"
        "/* executor-config/graph of the archive. String literals of this length are not C99. */\n"
        f"static const {FLASH}char graph_json[{len(text)}] = {{\n"
        f"{array_initializer(np.frombuffer(text, np.int8))}\n}};\n\n"
        f"{shapes.text()}{constants}{calls}{sizes}{kernels}"
        f"{definition(f'MicroTVMGraph {prefix}_graph', fields)}"
    )


class _Shapes:
    """Constant arrays of extents, each written once."""

    def __init__(self) -> None:
        self._names: dict[tuple[int, ...], str] = {}

    def name(self, shape: tuple[int, ...]) -> str:
        """A C expression for `shape`."""
        return self._names.setdefault(shape, f"shape_{len(self._names)}") if shape else "NULL"

    def text(self) -> str:
        """The definitions of all shapes that were asked for."""
        return "".join(
            f"static const int32_t {name}[] = {{{', '.join(map(str, shape))}}};\n"
            for shape, name in self._names.items()
        )


def _includes(prefix: str) -> str:
    return f'#include "{prefix}_internal.h"\n\n#include <microtvm/model.h>\n'


def _tensor_info(name: str, ty: TensorType, shapes: _Shapes) -> str:
    kind = ty.dtype.rstrip("0123456789")
    return (
        f"{string_literal(name)}, {ty.size_bytes}, {len(ty.shape)}, {_DTYPE_CODES[kind]}, "
        f"{8 * dtype_bytes(ty.dtype)}, {shapes.name(ty.shape)}"
    )


def _table(declaration: str, rows: Sequence[str]) -> str:
    """A constant array; nothing when it would be empty, which is not C."""
    if not rows:
        return ""
    lines = "".join(f"    {{{row}}},\n" for row in rows)
    return f"static const {declaration}[] = {{\n{lines}}};\n\n"


def definition(declaration: str, fields: Sequence[str]) -> str:
    """A constant that other files see; in C++, only a declaration before it makes it so."""
    lines = "".join(f"    {field},\n" for field in fields)
    return (
        "#ifdef __cplusplus\n"
        'extern "C" {\n'
        "#endif\n\n"
        f"extern const {declaration};\n"
        f"const {declaration} = {{\n{lines}}};\n\n"
        "#ifdef __cplusplus\n"
        "}\n"
        "#endif\n"
    )


def _list(function: GraphFunction) -> str:
    return ", ".join(map(str, function.argument_bytes))


def _call(name: str, function: GraphFunction, flash: FlashUse) -> str:
    """The C function that calls a kernel with an array of pointers."""
    kernel = function.kernel
    given = flash.positions(kernel)
    lines = [] if function.argument_bytes else ["(void)args;"]
    lines += [] if kernel.workspace_bytes else ["(void)workspace;"]
    for source, target in function.in_place:
        lines += [
            f"if (args[{target}] != args[{source}]) {{",
            f"  memcpy(args[{target}], args[{source}], {function.argument_bytes[target]});",
            "}",
        ]
    arguments = []
    pairs = zip(kernel.parameters, function.parameters, strict=True)
    for position, (parameter, argument) in enumerate(pairs):
        if isinstance(argument, int):
            const = "" if parameter.is_written else "const "
            value = f"args[{argument}]"
            if position in given:
                const, value = f"{const}{FLASH}", f"MICROTVM_CONSTANT({value}, constants)"
            arguments.append(f"({const}{C_TYPES[parameter.dtype]} *){value}")
        else:
            arguments.append(argument)
    if kernel.workspace_bytes:
        arguments.append("workspace")
    if kernel.device is None:
        lines += [f"{kernel.c_name}({', '.join(arguments)});", "return 0;"]
    else:
        run = f"({kernel.c_name}({', '.join([*arguments, 'NULL'])}), 0)"
        lines += around("-2", kernel.device, run, "NULL")
    body = "".join(f"{part}\n" for line in lines for part in wrapped(line, "  "))
    return f"static int32_t {name}(void *const *args, uint8_t *workspace) {{\n{body}}}\n\n"
