"""A program of a person's own around models: gives them memory, runs each, prints its outputs."""

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

LINKER, INTERNAL, ALLOCATOR = "linker", "internal", "allocator"
"""Who gives the memory: arrays that a linker script may place, the library, or an allocator."""

HOST_PORT = """\
#include <stdio.h>
#define PORT_START() 0
static void Print(const char *text) { fputs(text, stdout); }
"""

_HEAD = """\
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "port.h"

#define ALIGNED __attribute__((aligned(16)))

static void PrintBytes(const uint8_t *bytes, size_t count) {
  static const char digits[] = "0123456789abcdef";
  for (size_t i = 0; i < count; ++i) {
    const char text[] = {digits[bytes[i] >> 4], digits[bytes[i] & 15], '\\0'};
    Print(text);
  }
  Print("\\n");
}

"""
_ALLOCATOR = """\
static uint8_t heap[HEAP_BYTES] ALIGNED;
static size_t used;
static void *Allocate(size_t size) {
  void *memory = heap + used;
  used += (size + 15u) / 16u * 16u;
  return used <= sizeof(heap) ? memory : NULL;
}

"""
_MAIN = """\
int main(void) {
  int status = PORT_START();
{statements}  Print(status == 0 ? "status 0\\n" : "failed\\n");
  return status;
}
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


def main_of(libraries: Sequence[ModelLibrary], placement: str = LINKER, shared: str = "") -> str:
    """The program's main file.

    It prints one line of hexadecimal bytes for each output, and last a line with the status.

    Args:
        libraries: The models.
        placement: Who gives the memory.
        shared: The name of the archive whose models take turns in the same pools; empty for memory
            of their own.
    """
    mains = [_main(library) for library in libraries]
    metadata = libraries[0].metadata
    pools = metadata["shared"]["workspace_pools"] if shared else mains[0]["workspace_pools"]
    pools = {name: e for name, e in pools.items() if not e.get("internal") and e["size"]}
    headers = [shared] if shared else [library.name for library in libraries]
    text = "".join(f'#include "tvmgen_{name}.h"\n' for name in headers) + _HEAD
    if placement == ALLOCATOR and pools:
        total = sum(entry["size"] for entry in pools.values())
        text += f"#define HEAP_BYTES {total}\n{_ALLOCATOR}"
    else:
        for name, entry in pools.items():
            array = f"memory_{name}[{entry['macro']}]"
            text += f"{entry['attribute_macro']} static uint8_t {array};\n"
    statements = ""
    for name, entry in pools.items() if placement == ALLOCATOR else ():
        statements += f"  void *memory_{name} = Allocate({entry['macro']});\n"
    for library in libraries:
        text += _definitions(library)
        statements += _statements(library, list(pools))
    return text + _MAIN.replace("{statements}", statements)


def _main(library: ModelLibrary) -> dict[str, Any]:
    [main] = library.metadata["modules"][library.name]["memory"]["functions"]["main"]
    return dict(main)


def _definitions(library: ModelLibrary) -> str:
    """The tensors of a model, and the pools of its constants."""
    name = library.name
    lines = [
        f"static const uint8_t {name}_{spec.c_name}[{spec.size_bytes}] ALIGNED = "
        f"{{{', '.join(map(str, array.tobytes()))}}};"
        for spec, array in zip(library.inputs, random_inputs(library), strict=True)
    ]
    if _is_io_given(library):
        lines += [
            f"static uint8_t {name}_{spec.c_name}[{spec.size_bytes}] ALIGNED;"
            for spec in library.outputs
        ]
    for pool, entry in _main(library).get("constant_pools", {}).items():
        array = f"{name}_{pool}[{entry['macro']}]"
        lines.append(
            f"{entry['attribute_macro']} static const uint8_t {array} = {{{entry['data_macro']}}};"
        )
    return "".join(f"{line}\n" for line in lines)


def _is_io_given(library: ModelLibrary) -> bool:
    return not any("workspace_pool" in entry for entry in _main(library)["inputs"].values())


def _statements(library: ModelLibrary, pools: Sequence[str]) -> str:
    """Statements that run a model and print its outputs."""
    name, prefix = library.name, f"tvmgen_{library.name}"
    own = _main(library)["workspace_pools"]
    given = [pool for pool, entry in own.items() if not entry["internal"]]
    members = {pool: f"memory_{pool}" if pool in pools else "NULL" for pool in given}
    members |= {pool: f"{name}_{pool}" for pool in _main(library).get("constant_pools", {})}
    lines, arguments = [], []
    if members:
        lines.append(f"struct {prefix}_workspace_pools pools;")
        lines += [f"pools.{pool} = {value};" for pool, value in members.items()]
        arguments.append("&pools")
    passed = ", ".join(arguments)
    for kind in ("inputs", "outputs"):
        if _is_io_given(library):
            lines.append(f"struct {prefix}_{kind} {kind};")
        else:
            lines.append(f"struct {prefix}_{kind} {kind} = {prefix}_map_{kind}({passed});")
    for spec in library.inputs:
        data = f"{name}_{spec.c_name}"
        if _is_io_given(library):
            lines.append(f"inputs.{spec.c_name} = {data};")
        else:
            lines.append(f"memcpy(inputs.{spec.c_name}, {data}, sizeof({data}));")
    if _is_io_given(library):
        lines += [f"outputs.{spec.c_name} = {name}_{spec.c_name};" for spec in library.outputs]
        passed = ", ".join(["&inputs", "&outputs", *arguments])
    lines.append(f"status |= {prefix}_run({passed});")
    lines += [
        f"PrintBytes((const uint8_t *)outputs.{spec.c_name}, {spec.size_bytes});"
        for spec in library.outputs
    ]
    return "  {\n" + "".join(f"    {line}\n" for line in lines) + "  }\n"


def link_on_host(root: Path, directory: Path, compiler: Sequence[str] = C99) -> Path:
    """Build `main.c` of a folder with the models of an unpacked archive."""
    sources = sorted(str(path) for path in (root / "codegen/host/src").glob("*_lib*.c"))
    program = directory / "program"
    arguments = [f"-I{directory}", str(directory / "main.c"), *sources, "-lm", "-o", str(program)]
    compile_c(compiler, root, arguments)
    return program


def run_on_host(files: Mapping[str, bytes], directory: Path, placement: str = LINKER) -> list[str]:
    """Build the program for this computer and run it; the lines that it prints."""
    library, root = open_files(files, directory)
    (directory / "port.h").write_text(HOST_PORT)
    (directory / "main.c").write_text(main_of([library], placement))
    program = link_on_host(root, directory)
    done = subprocess.run([program], capture_output=True, text=True, check=True, timeout=60)
    return done.stdout.splitlines()
