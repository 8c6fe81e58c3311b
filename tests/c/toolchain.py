"""Compile the runtime and the test programs for this machine."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path

import pytest

import pytest_microtvm

RUNTIME_DIR = Path(pytest_microtvm.__file__).parent / "runtime"
PROGRAMS_DIR = Path(__file__).parent / "programs"

WARNINGS = (
    "-std=c11",
    "-Wall",
    "-Wextra",
    "-Wpedantic",
    "-Werror",
    "-Wconversion",
    "-Wcast-qual",
    "-Wshadow",
    "-Wundef",
    "-Wvla",
    "-Wmissing-prototypes",
    "-Wstrict-prototypes",
)
SANITIZERS = ("-g", "-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")

COMPILE_TIMEOUT_S = 300


def find_compiler(name: str, install: str) -> str:
    """The path of a compiler; without it the test is skipped, saying what to install."""
    path = shutil.which(name)
    if path is None:
        pytest.skip(f"{name} is missing; install it with: {install}")
    return path


def runtime_sources() -> list[Path]:
    return sorted((RUNTIME_DIR / "src").glob("*.c"))


def compile_sources(
    compiler: str, sources: Iterable[Path], output: Path, flags: Sequence[str]
) -> None:
    """Compile, and link unless the flags say otherwise; a diagnostic fails the test."""
    command = [compiler, *WARNINGS, *flags, f"-I{RUNTIME_DIR / 'include'}", "-o", str(output)]
    completed = subprocess.run(
        [*command, *map(str, sources)], capture_output=True, text=True, timeout=COMPILE_TIMEOUT_S
    )
    assert completed.returncode == 0, completed.stderr


def build_runtime(directory: Path) -> Path:
    """Compile the runtime with sanitizers on, to an archive that programs are linked with."""
    compiler = find_compiler("gcc", "apt-get install gcc libc6-dev")
    objects = []
    for source in runtime_sources():
        objects.append(directory / f"{source.stem}.o")
        compile_sources(compiler, [source], objects[-1], [*SANITIZERS, "-c"])
    archive = directory / "runtime.a"
    subprocess.run(["ar", "rcs", archive, *objects], check=True, timeout=COMPILE_TIMEOUT_S)
    return archive


def build_program(sources: Iterable[Path], runtime: Path, output: Path) -> Path:
    """Compile sources with sanitizers on, and link them with the runtime.

    Args:
        sources: They may include headers from inside of the runtime.
        runtime: See `build_runtime`.
        output: The program.
    """
    compiler = find_compiler("gcc", "apt-get install gcc libc6-dev")
    flags = [*SANITIZERS, f"-I{RUNTIME_DIR / 'src'}"]
    compile_sources(compiler, [*sources, runtime], output, flags)
    return output


def fuzz_sources(harness: str) -> list[Path]:
    """The sources of a fuzzing harness, and what it fuzzes."""
    if harness == "graph":
        parts = [
            RUNTIME_DIR / "src" / f"{each}.c"
            for each in ("json", "graph_reader", "graph_executor", "executor")
        ]
    else:
        parts = runtime_sources()
    return [PROGRAMS_DIR.parent / "fuzz" / f"fuzz_{harness}.c", *parts]


def build_wire_tool(directory: Path) -> Path:
    """Compile programs/wire_tool.c, which looks into the runtime.

    Raises:
        subprocess.CalledProcessError: It does not compile.
    """
    source = RUNTIME_DIR / "src"
    parts = [source / f"{name}.c" for name in ("framing", "session", "rpc_packet")]
    command = ["gcc", *WARNINGS, *SANITIZERS, f"-I{RUNTIME_DIR / 'include'}", f"-I{source}"]
    output = directory / "wire_tool"
    command += [str(PROGRAMS_DIR / "wire_tool.c"), *map(str, parts), "-o", str(output)]
    subprocess.run(command, check=True, capture_output=True, text=True, timeout=COMPILE_TIMEOUT_S)
    return output
