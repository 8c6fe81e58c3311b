"""Programs that run kernels on the host or on an emulated board, and count the wrong bytes."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pytest_microtvm.boards import Board
from pytest_microtvm.compiler.emit.literals import array_definition
from pytest_microtvm.compiler.naming import KERNEL_INCLUDE
from pytest_microtvm.compiler.program import C_TYPES, Overlap
from pytest_microtvm.compiler.quantized.specs import KernelSource
from tests.boards import toolchain_of
from tests.integer.cases import Int8Array

CHECK = Path(__file__).with_name("check.c")
BARE = Path(__file__).parents[2] / "scripts" / "benchmarks"
"""Has the header for programs without anything else."""
TIMEOUT_S = 300.0
WARNINGS = ("-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-Werror")
GUARD_BYTES = 64

LINKER_SCRIPT = """\
ENTRY(Start)
MEMORY {{
  FLASH (rx) : ORIGIN = {flash.origin}, LENGTH = {flash.bytes}
  RAM (rw) : ORIGIN = {ram.origin}, LENGTH = {ram.bytes}
}}
PHDRS {{ flash PT_LOAD; ram PT_NULL; }}
SECTIONS {{
  .text : {{ KEEP(*(.vectors)) *(.text .text.*) *(.rodata .rodata.*) }} > FLASH :flash
  .stack (NOLOAD) : {{ . += 8192; stack_end = .; }} > RAM :ram
  .bss (NOLOAD) : {{ *(.bss .bss.* COMMON) }} > RAM :ram
  /DISCARD/ : {{ *(.ARM.exidx* .ARM.extab* .comment .note.*) }}
}}
"""


@dataclass(frozen=True)
class Check:
    """A kernel, what goes in, and what has to come out.

    Args:
        kernel: The kernel.
        values: The input.
        expected: The output.
        overlap: How both share memory; None if they do not.
    """

    kernel: KernelSource
    values: Int8Array
    expected: Int8Array
    overlap: Overlap | None = None


def wrong_bytes_on_host(
    checks: Sequence[Check], directory: Path, compiler: Sequence[str]
) -> list[int]:
    """By check, wrong bytes of the output and writes where nothing may be written."""
    _write(checks, directory)
    program = directory / "check"
    _call([*compiler, *WARNINGS, "-DON_HOST", *_sources(directory), "-lm", "-o", str(program)])
    return [int(line) for line in _call([str(program)]).split()]


def wrong_bytes_on_board(
    checks: Sequence[Check], directory: Path, board: Board, optimization: str = "-O2"
) -> list[int]:
    """The same on a board in its emulator."""
    assert board.emulator is not None
    _write(checks, directory)
    regions = {region.kind: region for region in board.memory}
    script = directory / "check.ld"
    script.write_text(LINKER_SCRIPT.format(flash=regions["flash"], ram=regions["ram"]))
    program = directory / "check.elf"
    toolchain = toolchain_of(board)
    _call(
        [
            *(f"{toolchain['prefix']}gcc", *toolchain["flags"], optimization, "-std=gnu99"),
            *(f"-isystem{folder}" for folder in toolchain.get("includes", ())),
            *(*WARNINGS, *_sources(directory), "-nostdlib", "-static", f"-T{script}"),
            *("-Wl,--start-group", *toolchain["libraries"], "-lgcc", "-Wl,--end-group"),
            *("-o", str(program)),
        ]
    )
    emulator = [
        *(board.emulator.program, "-machine", board.emulator.machine),
        *(argument for argument in board.emulator.arguments if argument != "-semihosting"),
        *("-display", "none", "-nodefaults", "-serial", "none", "-chardev", "stdio,id=console"),
        *("-semihosting-config", "enable=on,target=native,chardev=console"),
    ]
    return [int(line) for line in _call([*emulator, "-kernel", str(program)]).split()]


def _sources(directory: Path) -> list[str]:
    return [f"-I{directory}", f"-I{KERNEL_INCLUDE}", f"-I{BARE}", str(CHECK)]


def _call(command: Sequence[str]) -> str:
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=TIMEOUT_S
    )
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}{done.stderr}"
    return done.stdout


def _write(checks: Sequence[Check], directory: Path) -> None:
    """Write kernels.h: kernels, arrays, and the calls of all checks."""
    headers = sorted({header for check in checks for header in check.kernel.headers})
    output_bytes = max(_shared_bytes(check) for check in checks) + GUARD_BYTES
    workspace_bytes = max(check.kernel.workspace_bytes for check in checks) + GUARD_BYTES
    parts = [
        "#include <stddef.h>\n#include <stdint.h>\n#include <string.h>\n",
        *(f'#include "{header}"\n' for header in ("tvmgen_integer.h", *headers)),
        "#define FILLER 85\n#define TVMGEN_ALIGNED __attribute__((aligned(16)))\n",
        f"static int8_t output[{output_bytes}] TVMGEN_ALIGNED;\n",
        f"static uint8_t workspace[{workspace_bytes}] TVMGEN_ALIGNED;\n",
    ]
    calls = []
    for number, check in enumerate(checks):
        name = f"check{number}"
        arrays = [check.values, *check.kernel.constants, check.expected]
        names = [f"{name}_{position}" for position in range(len(arrays))]
        parts += [
            f"static {array_definition(array_name, array.reshape(-1))}"
            for array_name, array in zip(names, arrays, strict=True)
        ]
        parts.append(_function(name, check.kernel))
        source, target = names[0], "output"
        before = after = ""
        if check.overlap is not None:
            distance = f"output + {check.overlap.distance_bytes}"
            source, target = ("output", distance) if check.overlap.is_behind else (distance, target)
            before = f"memcpy({source}, {names[0]}, {check.values.size});"
            size = check.expected.size
            after = f"memmove(output, {target}, {size}); "
            after += f"memset(output + {size}, FILLER, sizeof(output) - {size});"
        arguments = [source, *names[1:-1], target]
        if check.kernel.workspace_bytes:
            arguments.append("workspace")
        calls.append(
            f"Fill(); {before} {name}({', '.join(arguments)}); {after} "
            f"Check({names[-1]}, {check.expected.size}, {check.kernel.workspace_bytes});"
        )
    parts.append("#define CHECKS \\\n" + " \\\n".join(calls) + "\n")
    (directory / "kernels.h").write_text("".join(parts))


def _shared_bytes(check: Check) -> int:
    """The memory for the output, and for the input if it is in the same."""
    if check.overlap is None:
        return check.expected.size
    sizes = [check.values.size, check.expected.size]
    sizes[check.overlap.is_behind] += check.overlap.distance_bytes
    return max(sizes)


def _function(name: str, kernel: KernelSource) -> str:
    parameters = [
        *(f"const {C_TYPES[dtype]} *input{n}" for n, dtype in enumerate(kernel.input_dtypes)),
        *(
            f"const {C_TYPES[str(array.dtype)]} *constant{n}"
            for n, array in enumerate(kernel.constants)
        ),
        f"{C_TYPES[kernel.output_dtype]} *output_",
    ]
    shared = (0, len(parameters) - 1) if kernel.overlaps or kernel.in_place else ()
    parameters = [
        parameter if position in shared else parameter.replace("*", "*__restrict__ ")
        for position, parameter in enumerate(parameters)
    ]
    if kernel.workspace_bytes:
        parameters.append("uint8_t *__restrict__ workspace_")
    # The names that kernels use are those of the buffers as well.
    body = "#define output output_\n#define workspace workspace_\n" + kernel.body
    return (
        f"static void {name}({', '.join(parameters)}) {{\n{body}"
        "#undef output\n#undef workspace\n}\n"
    )
