"""A program of a person's own around a model: gives it memory, runs it, prints its outputs."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pytest_microtvm.mlf.library import ModelLibrary, extract_library, open_library, write_library
from tests.unit.compiler.native import C99, compile_c

Array = npt.NDArray[Any]

LINKER, INTERNAL, ALLOCATOR = PLACEMENTS = ("linker", "internal", "allocator")
"""Who gives the memory: arrays that a linker script may place, the library, or an allocator."""

_TEMPLATE = """\
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "tvmgen_{name}.h"
#include "port.h"

#if defined(__GNUC__)
#define ALIGNED __attribute__((aligned(16)))
#endif

{definitions}
static void PrintBytes(const uint8_t *bytes, size_t count) {{
  static const char digits[] = "0123456789abcdef";
  for (size_t i = 0; i < count; ++i) {{
    const char text[] = {{digits[bytes[i] >> 4], digits[bytes[i] & 15], '\\0'}};
    Print(text);
  }}
  Print("\\n");
}}

int main(void) {{
{statements}
}}
"""


def open_files(files: Mapping[str, bytes], directory: Path) -> tuple[ModelLibrary, Path]:
    """Write an archive and unpack it; what it says, and where it is."""
    directory.mkdir(parents=True, exist_ok=True)
    write_library(directory / "model.tar", files)
    extract_library(directory / "model.tar", directory / "model")
    return open_library(directory / "model.tar"), directory / "model"


def random_inputs(library: ModelLibrary, seed: int = 0) -> list[Array]:
    """Inputs of a model."""
    source = np.random.default_rng(seed)
    return [
        source.integers(-128, 128, spec.shape).astype(spec.dtype)
        if spec.dtype == "int8"
        else source.random(spec.shape).astype(spec.dtype)
        for spec in library.inputs
    ]


def main_of(library: ModelLibrary, inputs: Sequence[Array], placement: str = LINKER) -> str:
    """The program's main file.

    It prints one line of hexadecimal bytes for each output, and last a line with the status.
    """
    [main] = library.metadata["modules"][library.name]["memory"]["functions"]["main"]
    prefix = f"tvmgen_{library.name}"
    definitions, statements = [], []
    pools = {
        name: entry
        for name, entry in main["workspace_pools"].items()
        if not entry["internal"] and entry["size"]
    }
    if placement == ALLOCATOR:
        total = sum(entry["size"] for entry in pools.values())
        definitions += [
            f"static uint8_t heap[{total or 1}] ALIGNED;",
            "static size_t used;",
            "static void *Allocate(size_t size) {",
            "  void *memory = heap + used;",
            "  used += (size + 15u) / 16u * 16u;",
            "  return used <= sizeof(heap) ? memory : NULL;",
            "}",
        ]
    members = {}
    for name, entry in pools.items():
        if placement == ALLOCATOR:
            members[name] = f"Allocate({entry['macro']})"
        else:
            definitions.append(
                f"{entry['attribute_macro']} uint8_t memory_{name}[{entry['macro']}];"
            )
            members[name] = f"memory_{name}"
    for name, entry in main.get("constant_pools", {}).items():
        definitions.append(
            f"{entry['attribute_macro']} static const uint8_t constants_{name}[{entry['macro']}] = "
            f"{{{entry['data_macro']}}};"
        )
        members[name] = f"constants_{name}"
    arguments = []
    is_io_given = not any("workspace_pool" in e for e in main["inputs"].values())
    for kind, specs in (("inputs", library.inputs), ("outputs", library.outputs)):
        if not is_io_given:
            continue
        statements.append(f"struct {prefix}_{kind} {kind};")
        arguments.append(f"&{kind}")
        for spec in specs:
            const = "const " if kind == "inputs" else ""
            definitions.append(
                f"static {const}uint8_t {spec.c_name}_data[{spec.size_bytes}] ALIGNED"
            )
            definitions[-1] += f" = {{{_values(inputs, specs, spec)}}};" if const else ";"
            statements.append(f"{kind}.{spec.c_name} = {spec.c_name}_data;")
    if members:
        statements.append(f"struct {prefix}_workspace_pools pools;")
        statements += [f"pools.{name} = {value};" for name, value in members.items()]
        arguments.append("&pools")
    if not is_io_given:
        pools_argument = "&pools" if members else ""
        for kind in ("inputs", "outputs"):
            statements.append(
                f"struct {prefix}_{kind} {kind} = {prefix}_map_{kind}({pools_argument});"
            )
        for spec in library.inputs:
            definitions.append(
                f"static const uint8_t {spec.c_name}_data[{spec.size_bytes}] = "
                f"{{{_values(inputs, library.inputs, spec)}}};"
            )
            statements.append(
                f"memcpy(inputs.{spec.c_name}, {spec.c_name}_data, {spec.size_bytes});"
            )
        arguments = ["&pools"] if members else []
    statements.append(f"const int32_t status = {prefix}_run({', '.join(arguments)});")
    statements += [
        f"PrintBytes((const uint8_t *)outputs.{spec.c_name}, {spec.size_bytes});"
        for spec in library.outputs
    ]
    statements += ['Print(status == 0 ? "status 0\\n" : "failed\\n");', "return status;"]
    return _TEMPLATE.format(
        name=library.name,
        definitions="".join(f"{line}\n" for line in definitions),
        statements="\n".join(f"  {line}" for line in statements),
    )


def _values(inputs: Sequence[Array], specs: Sequence[Any], spec: Any) -> str:
    return ", ".join(map(str, inputs[specs.index(spec)].tobytes()))


HOST_PORT = """\
#include <stdio.h>
static void Print(const char *text) { fputs(text, stdout); }
"""


def run_on_host(
    files: Mapping[str, bytes],
    directory: Path,
    placement: str = LINKER,
    compiler: Sequence[str] = C99,
    seed: int = 0,
) -> list[str]:
    """Build the program for this computer and run it; the lines that it prints."""
    library, root = open_files(files, directory)
    (directory / "port.h").write_text(HOST_PORT)
    source = directory / "main.c"
    source.write_text(main_of(library, random_inputs(library, seed), placement))
    sources = sorted(str(path) for path in (root / "codegen/host/src").glob("*_lib*.c"))
    program = directory / "program"
    flags = ["-O1", "-ffunction-sections", "-fdata-sections", "-Wl,--gc-sections"]
    compile_c(
        [*compiler, *flags, f"-I{directory}"],
        root,
        [str(source), *sources, "-lm", "-o", str(program)],
    )
    done = subprocess.run([program], capture_output=True, text=True, check=True, timeout=60)
    return done.stdout.splitlines()
