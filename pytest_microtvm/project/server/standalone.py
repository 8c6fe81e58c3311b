"""The main program of a standalone project: what a person would write first to run a model.

It fills the inputs, runs the model once and prints the outputs. What it prints by is given from
outside, so that it is the same program on a board's console, with a C library's printf, and in
other ecosystems. The text is C and C++.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from .interface import InterfacePool, InterfaceTensor, ModelInterface

FILL_STEP = 37
FILL_START = 11
"""Element i of an input is made of (FILL_STEP * i + FILL_START) % 256; see `_fill_value`."""


class Printing(NamedTuple):
    """How a main program begins, prints and ends; `{}` stands for a value, or for a text.

    Attributes:
        includes: Lines before the model's header.
        text: Prints a text.
        integer: Prints a space and a number.
        real: Likewise, of a float or double.
        end_line: Ends a line.
        failed: What is done after the model failed; `status` is its status.
        start: Statements at the start of the program.
        end: Statements at its end, after success.
        signature: The function that it is.
        after: Lines after that function.
    """

    includes: tuple[str, ...]
    text: str
    integer: str
    real: str
    end_line: str
    failed: tuple[str, ...]
    start: tuple[str, ...] = ()
    end: tuple[str, ...] = ("return 0;",)
    signature: str = "int main(void)"
    after: tuple[str, ...] = ()


CONSOLE = Printing(
    includes=("#include <microtvm/console.h>", "#include <microtvm/platform.h>", ""),
    start=(
        "status = TVMPlatformInitialize();",
        "ConsoleShowLog();",
        "if (status != kTvmErrorNoError) {",
        "  TVMPlatformAbort(status);",
        "}",
    ),
    text='ConsoleText("{}");',
    integer='ConsoleText(" ");\n    ConsoleInteger((int64_t){});',
    real='ConsoleText(" ");\n    ConsoleScientific((double){});',
    end_line="ConsoleEndLine();",
    end=('ConsoleText("done");', "ConsoleEndLine();", "ConsoleClose();", "return 0;"),
    failed=("TVMPlatformAbort(status);",),
)
"""A project's own console."""

SKETCH_CONSOLE = CONSOLE._replace(
    includes=(
        '#include "microtvm_model.h"',
        "",
        "#include <microtvm/console.h>",
        "#include <microtvm/platform.h>",
        "",
        '#include "microtvm_sketch.h"',
        "",
    ),
    signature="void MicroTVMBegin(void)",
    end=('ConsoleText("done");', "ConsoleEndLine();"),
    after=(
        "",
        "void ConsoleWrite(const uint8_t *data, size_t size_bytes) {",
        "  MicroTVMSend(data, size_bytes);",
        "}",
        "",
        "void MicroTVMFeed(const uint8_t *data, size_t size_bytes) {",
        "  (void)data;",
        "  (void)size_bytes;",
        "}",
    ),
)
"""The console of a sketch of Arduino's, beside which the program is."""

PRINTF = Printing(
    includes=("#include <stdio.h>", ""),
    text='printf("{}");',
    integer='printf(" %ld", (long){});',
    real='printf(" %.8e", (double){});',
    end_line='printf("\\n");',
    end=('printf("done\\n");', "return 0;"),
    failed=('printf("the model failed: %ld\\n", (long)status);', "return 1;"),
)
"""A C library's printf."""

ALIGNED = """\
#if defined(__GNUC__)
#define ALIGNED __attribute__((aligned(16)))
#else
#define ALIGNED _Alignas(16)
#endif
"""
ELEMENTS_OF = "#define ELEMENTS_OF(array) (sizeof(array) / sizeof((array)[0]))\n"


def main_source(model: ModelInterface, printing: Printing = CONSOLE) -> str:
    """The text of main.c.

    Args:
        model: The model.
        printing: What it prints by.
    """
    return "\n".join(
        [
            "/* SPDX-License-Identifier: Apache-2.0 */",
            "/* Runs a model once on inputs of a made-up pattern, and prints its outputs: a start",
            " * of a program of your own. */",
            "#include <stddef.h>",
            "#include <stdint.h>",
            "",
            *printing.includes,
            f"#include <{model.prefix}.h>",
            "",
            ALIGNED,
            ELEMENTS_OF,
            *_memory(model),
            *fill_function(_fill(model)),
            "",
            *_print_function(model, printing),
            "",
            *_main(model, printing),
            *printing.after,
            "",
        ]
    )


def fill_function(loops: Iterable[str]) -> list[str]:
    """The function that fills the inputs."""
    return [
        f"/* A pattern in place of what a sensor gives: element i is made of {FILL_STEP} * i + "
        f"{FILL_START}. */",
        "static void FillInputs(void) {",
        *loops,
        "}",
    ]


def fill_loop(tensor: InterfaceTensor, array: str, count: str) -> list[str]:
    """The statements that fill an input."""
    return [
        f"  for (size_t i = 0; i < {count}; ++i) {{",
        f"    const unsigned byte = (unsigned)({FILL_STEP}u * i + {FILL_START}u) % 256u;",
        f"    {array}[i] = {_fill_value(tensor)};",
        "  }",
    ]


def print_loop(tensor: InterfaceTensor, array: str, count: str, printing: Printing) -> list[str]:
    """The statements that print an output."""
    one = printing.real if tensor.dtype.startswith("float") else printing.integer
    return [
        f"  {printing.text.format(tensor.c_name + ':')}",
        f"  for (size_t i = 0; i < {count}; ++i) {{",
        f"    {one.format(array + '[i]')}",
        "  }",
        f"  {printing.end_line}",
    ]


def _memory(model: ModelInterface) -> list[str]:
    """The arrays that the program has."""
    lines = []
    pools = [pool for pool in model.pools if pool.size_bytes]
    if pools:
        but = ", but the state" if model.has_state else ""
        lines += [
            f"/* What the model works in: nothing of it need be kept between runs{but}. */",
            *(_pool_array(pool) for pool in pools),
            "",
        ]
    if _owns_io(model):
        for kind, tensors in (("input", model.inputs), ("output", model.outputs)):
            lines.append(f"/* Its {kind}s. */")
            lines += [
                f"static ALIGNED {tensor.c_type} "
                f"{kind}_{tensor.c_name}[{tensor.size_macro} / sizeof({tensor.c_type})];"
                for tensor in tensors
            ]
            lines.append("")
    else:
        prefix = model.prefix
        lines += [
            "/* Its inputs and outputs are in its pools. */",
            *_pools_struct(model),
            f"static struct {prefix}_inputs inputs;",
            f"static struct {prefix}_outputs outputs;",
            "",
        ]
    return lines


def _pool_array(pool: InterfacePool) -> str:
    attribute = pool.attribute_macro or "ALIGNED"
    if pool.data_macro:
        return (
            f"{attribute} static const uint8_t {pool.name}_pool[{pool.size_macro}] = "
            f"{{{pool.data_macro}}};"
        )
    return f"{attribute} static uint8_t {pool.name}_pool[{pool.size_macro}];"


def _pools_struct(model: ModelInterface) -> list[str]:
    given = "workspace_pools" in model.run_parameters
    return [f"static struct {model.prefix}_workspace_pools pools;"] if given else []


def _owns_io(model: ModelInterface) -> bool:
    """Whether the program has arrays for inputs and outputs, which have no places in the pools."""
    return not model.has_io_places


def _fill(model: ModelInterface) -> list[str]:
    lines = []
    for tensor in model.inputs:
        if _owns_io(model):
            array = f"input_{tensor.c_name}"
            lines += fill_loop(tensor, array, f"ELEMENTS_OF({array})")
        else:
            array = f"(({tensor.c_type} *)inputs.{tensor.c_name})"
            lines += fill_loop(tensor, array, f"{tensor.size_macro} / sizeof({tensor.c_type})")
    return lines


def _fill_value(tensor: InterfaceTensor) -> str:
    """The element that is made of `byte`, from 0 to 255.

    Bytes get their whole range, floats -1 to 1; integers of other sizes, which may be indices,
    get 0 and 1.
    """
    if tensor.dtype in ("float32", "float64"):
        suffix = "f" if tensor.dtype == "float32" else ""
        cast = "float" if tensor.dtype == "float32" else "double"
        return f"(({cast})byte - 128.0{suffix}) / 128.0{suffix}"
    if tensor.dtype == "int8":
        return "(int8_t)((int)byte - 128)"
    if tensor.dtype == "uint8":
        return "(uint8_t)byte"
    return f"({tensor.c_type})(byte % 2u)"


def _print_function(model: ModelInterface, printing: Printing) -> list[str]:
    lines = ["static void PrintOutputs(void) {"]
    for tensor in model.outputs:
        if _owns_io(model):
            array = f"output_{tensor.c_name}"
            count = f"ELEMENTS_OF({array})"
        else:
            array = f"((const {tensor.c_type} *)outputs.{tensor.c_name})"
            count = f"{tensor.size_macro} / sizeof({tensor.c_type})"
        lines += print_loop(tensor, array, count, printing)
    return [*lines, "}"]


def _main(model: ModelInterface, printing: Printing) -> list[str]:
    prefix = model.prefix
    has_pools = "workspace_pools" in model.run_parameters
    owns_io = _owns_io(model)
    structs = []
    if has_pools and owns_io:
        structs.append(f"struct {prefix}_workspace_pools pools;")
    if owns_io:
        structs += [f"struct {prefix}_inputs inputs;", f"struct {prefix}_outputs outputs;"]
    structs += [f"struct {prefix}_devices devices;"] if model.devices else []
    members = []
    for device in model.devices:
        members.append(f"devices.{device} = NULL; /* for drivers that need no instance */")
    for pool in model.pools if has_pools else ():
        members.append(f"pools.{pool.name} = {f'{pool.name}_pool' if pool.size_bytes else 'NULL'};")
    if owns_io:
        for kind, tensors in (("input", model.inputs), ("output", model.outputs)):
            members += [f"{kind}s.{each.c_name} = {kind}_{each.c_name};" for each in tensors]
            members += [] if tensors else [f"{kind}s.unused = NULL;"]
    else:
        pools = "&pools" if has_pools else ""
        members += [f"{kind} = {prefix}_map_{kind}({pools});" for kind in ("inputs", "outputs")]
    names = {"workspace_pools": "&pools"}
    arguments = ", ".join(names.get(each, f"&{each}") for each in model.run_parameters)
    ok = f"{model.macro_prefix}_OK"
    run = f"status = {prefix}_run({arguments});"
    calls = [run]
    if model.has_state:
        given = "&pools" if any(pool.name == "state" for pool in model.pools) else ""
        calls = [
            f"status = {prefix}_reset({given}); /* begins a sequence of inputs */",
            f"if (status == {ok}) {{",
            f"  {run}",
            "}",
        ]
    return [
        f"{printing.signature} {{",
        *_indented(structs),
        "  int32_t status;",
        "",
        *_indented(printing.start),
        *_indented(members),
        "  FillInputs();",
        *_indented(calls),
        f"  if (status != {ok}) {{",
        *_indented(_indented(printing.failed)),
        "  }",
        "  PrintOutputs();",
        *_indented(printing.end),
        "}",
    ]


def _indented(lines: Sequence[str]) -> list[str]:
    return [f"  {line}" for line in lines]
