"""The main.c of a standalone project: what a person would write first to run a model.

It fills the inputs, runs the model once and prints the outputs. What it prints by is given from
outside, so that it is the same program on a board's console and with a C library's printf.
"""

from __future__ import annotations

from typing import NamedTuple

from .interface import InterfaceTensor, ModelInterface

FILL_STEP = 37
FILL_START = 11
"""Element i of an input is made of (FILL_STEP * i + FILL_START) % 256; see `_fill_value`."""


class Printing(NamedTuple):
    """The statements that a main.c prints by; `{}` stands for a value, or for a C string's text.

    Attributes:
        includes: Lines before the model's header.
        start: Statements at the start of main.
        text: Prints a text.
        integer: Prints a space and a number.
        real: Likewise, of a float or double.
        end_line: Ends a line.
        end: Statements at the end of main, after success.
        failed: Statements after the model failed; `status` is its status.
    """

    includes: tuple[str, ...]
    start: tuple[str, ...]
    text: str
    integer: str
    real: str
    end_line: str
    end: tuple[str, ...]
    failed: tuple[str, ...]


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
    end=('ConsoleText("done");', "ConsoleEndLine();", "ConsoleClose();"),
    failed=("TVMPlatformAbort(status);",),
)
"""A project's own console."""

PRINTF = Printing(
    includes=("#include <stdio.h>", ""),
    start=(),
    text='printf("{}");',
    integer='printf(" %ld", (long){});',
    real='printf(" %.8e", (double){});',
    end_line='printf("\\n");',
    end=('printf("done\\n");',),
    failed=('printf("{name} failed: %ld\\n", (long)status);', "return 1;"),
)
"""A C library's printf."""


def main_source(model: ModelInterface, printing: Printing = CONSOLE) -> str:
    """The text of main.c.

    Args:
        model: The model.
        printing: What it prints by.
    """
    lines = [
        "/* SPDX-License-Identifier: Apache-2.0 */",
        "/* Runs a model once on inputs of a made-up pattern, and prints its outputs: a start for",
        " * a program of your own. */",
        "#include <stddef.h>",
        "#include <stdint.h>",
        "",
        *printing.includes,
        f"#include <{model.prefix}.h>",
        "",
        "#if defined(__GNUC__)",
        "#define ALIGNED __attribute__((aligned(16)))",
        "#else",
        "#define ALIGNED _Alignas(16)",
        "#endif",
        "",
        "#define ELEMENTS_OF(array) (sizeof(array) / sizeof((array)[0]))",
        "",
        "/* What the model works in: nothing of it need be kept between runs"
        f"{', but the state' if model.has_state else ''}. */",
    ]
    lines += [
        f"static ALIGNED uint8_t {pool.name}_pool[{pool.size_macro}];"
        for pool in model.pools
        if pool.size_bytes
    ]
    for kind, tensors in (("input", model.inputs), ("output", model.outputs)):
        lines += ["", f"/* Its {kind}s. */"]
        lines += [
            f"static ALIGNED {tensor.c_type} "
            f"{_array(kind, tensor)}[{tensor.size_macro} / sizeof({tensor.c_type})];"
            for tensor in tensors
        ]
    return "\n".join([*lines, "", *_fill(model), "", *_print(model, printing), ""]) + _main(
        model, printing
    )


def _array(kind: str, tensor: InterfaceTensor) -> str:
    return f"{kind}_{tensor.c_name}"


def _fill(model: ModelInterface) -> list[str]:
    lines = [
        "/* A pattern in place of what a sensor gives: element i is made of 37 * i + 11. */",
        "static void FillInputs(void) {",
    ]
    for tensor in model.inputs:
        array = _array("input", tensor)
        lines += [
            f"  for (size_t i = 0; i < ELEMENTS_OF({array}); ++i) {{",
            f"    const unsigned byte = (unsigned)({FILL_STEP}u * i + {FILL_START}u) % 256u;",
            f"    {array}[i] = {_fill_value(tensor)};",
            "  }",
        ]
    return [*lines, "}"]


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


def _print(model: ModelInterface, printing: Printing) -> list[str]:
    lines = ["static void PrintOutputs(void) {"]
    for tensor in model.outputs:
        array = _array("output", tensor)
        one = printing.real if tensor.dtype.startswith("float") else printing.integer
        lines += [
            f"  {printing.text.format(tensor.c_name + ':')}",
            f"  for (size_t i = 0; i < ELEMENTS_OF({array}); ++i) {{",
            f"    {one.format(array + '[i]')}",
            "  }",
            f"  {printing.end_line}",
        ]
    return [*lines, "}"]


def _main(model: ModelInterface, printing: Printing) -> str:
    prefix = model.prefix
    pools = [
        f".{pool.name} = {f'{pool.name}_pool' if pool.size_bytes else 'NULL'}"
        for pool in model.pools
    ]
    lines = [
        "",
        "int main(void) {",
        *_struct(f"struct {prefix}_workspace_pools pools", pools),
        *_struct(
            f"struct {prefix}_inputs inputs",
            [f".{tensor.c_name} = {_array('input', tensor)}" for tensor in model.inputs],
        ),
        *_struct(
            f"struct {prefix}_outputs outputs",
            [f".{tensor.c_name} = {_array('output', tensor)}" for tensor in model.outputs],
        ),
        "  int32_t status;",
        "",
        *(f"  {line}" for line in printing.start),
        "  FillInputs();",
    ]
    ok = f"{model.macro_prefix}_OK"
    if model.has_state:
        lines += [
            f"  status = {prefix}_reset(&pools); /* begins a sequence of inputs */",
            f"  if (status == {ok}) {{",
            f"    status = {prefix}_run(&inputs, &outputs, &pools);",
            "  }",
        ]
    else:
        lines.append(f"  status = {prefix}_run(&inputs, &outputs, &pools);")
    lines += [
        f"  if (status != {ok}) {{",
        *(f"    {line.replace('{name}', model.name)}" for line in printing.failed),
        "  }",
        "  PrintOutputs();",
        *(f"  {line}" for line in printing.end),
        "  return 0;",
        "}",
    ]
    return "\n".join(lines) + "\n"


def _struct(declaration: str, members: list[str]) -> list[str]:
    if not members:
        return [f"  const {declaration} = {{NULL}};"]
    return [
        f"  const {declaration} = {{",
        *(f"      {member}," for member in members),
        "  };",
    ]
