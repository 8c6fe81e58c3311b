"""The runtime compiles without a warning for every kind of machine and stays small."""

from __future__ import annotations

import graphlib
import re
import subprocess
from pathlib import Path

import pytest

from tests.c.toolchain import (
    RUNTIME_DIR,
    WARNINGS,
    compile_sources,
    find_compiler,
    runtime_sources,
)

MAKEFILES = sorted((RUNTIME_DIR.parent / "platforms").glob("*/Makefile"))

# Prefix of the tools, flags, and the Debian package.
MACHINES = {
    "x86-64": ("", ["-fno-pic"], "gcc"),
    "i686": ("i686-linux-gnu-", ["-fno-pic"], "gcc-i686-linux-gnu"),
    "cortex-m3": ("arm-none-eabi-", ["-mcpu=cortex-m3", "-mthumb"], "gcc-arm-none-eabi"),
}
C_LIBRARY = {"memcpy", "memset", "memcmp"}
PORT = {
    "TVMPlatformAbort",
    "TVMPlatformFormatMessage",
    "TVMPlatformTimerStart",
    "TVMPlatformTimerStop",
}

# What firmware.h needs to know.
PROJECT = [
    *("-DMICROTVM_EXECUTOR_GRAPH=1", "-DMICROTVM_MODEL=model", "-DMICROTVM_GRAPH=graph"),
    *("-DMICROTVM_IO_BYTES=0u", "-DMICROTVM_WORKSPACE_BYTES=0u", "-DMICROTVM_POOL_BYTES=16u"),
    *("-DMICROTVM_GRAPH_NODES=1u", "-DMICROTVM_GRAPH_ENTRIES=1u", "-DMICROTVM_GRAPH_STEPS=0u"),
    *("-DMICROTVM_GRAPH_ARGUMENTS=0u", "-DMICROTVM_PACKET_BYTES=256u"),
    '-DMICROTVM_BUILD_ID=""',
]

MAX_STACK_BYTES = 320  # of one function; the graph executor reads its graph there


def compile_runtime(machine: str, directory: Path, optimization: str) -> list[Path]:
    prefix, flags, package = MACHINES[machine]
    compiler = find_compiler(f"{prefix}gcc", f"apt-get install {package}")
    objects = []
    for source in runtime_sources():
        objects.append(directory / f"{source.stem}.o")
        compile_sources(
            compiler,
            [source],
            objects[-1],
            ["-c", optimization, "-ffreestanding", "-fstack-usage", *flags],
        )
    return objects


def run_tool(machine: str, tool: str, *arguments: str | Path) -> str:
    command = [MACHINES[machine][0] + tool, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=30).stdout


@pytest.mark.parametrize(
    ("machine", "optimization"), [("x86-64", "-O3"), ("i686", "-O2"), ("cortex-m3", "-Os")]
)
def test_compiles_clean_and_needs_next_to_nothing(
    machine: str, optimization: str, tmp_path: Path
) -> None:
    objects = compile_runtime(machine, tmp_path, optimization)
    symbols = run_tool(machine, "nm", *objects)
    defined = set(re.findall(r"^[0-9a-f]+ [TDBRC] (\S+)$", symbols, re.M))
    undefined = set(re.findall(r"^ +U (\S+)$", symbols, re.M))
    assert undefined - defined == C_LIBRARY | PORT
    # No variables but those by which TVMLogf and MicroTVMFault find the link, what
    # TVMGetLastError tells, and what the CPU counted; constants carry addresses at most.
    assert set(re.findall(r"^[0-9a-f]+ [bBC] (\S+)$", symbols, re.M)) == {
        "log_function",
        "log_context",
        "fault_writer",
        "fault_reporting",
        "last_status",
        "cycles",
    }
    assert not re.findall(r"^[0-9a-f]+ [DG] (\S+)$", symbols, re.M)
    assert_has_no_circles(machine, objects)
    if machine == "cortex-m3":
        assert_needs_little_stack(objects)


def assert_has_no_circles(machine: str, objects: list[Path]) -> None:
    """Each source file calls only those below it, and so do those that it calls."""
    symbols = {path: run_tool(machine, "nm", path) for path in objects}
    owners = {
        name: path
        for path, text in symbols.items()
        for name in re.findall(r"^[0-9a-f]+ [TDBRC] (\S+)$", text, re.M)
    }
    calls = {
        path.stem: {
            owners[name].stem for name in re.findall(r" U (\S+)$", text, re.M) if name in owners
        }
        for path, text in symbols.items()
    }
    order = list(graphlib.TopologicalSorter(calls).static_order())  # raises where there is a circle
    assert order.index("rpc_packet") < order.index("rpc_server")


def assert_needs_little_stack(objects: list[Path]) -> None:
    stacks = [
        line.split("\t")
        for path in objects
        for line in path.with_suffix(".su").read_text().splitlines()
    ]
    assert {kind for _, _, kind in stacks} == {"static"}
    assert max(int(stack_bytes) for _, stack_bytes, _ in stacks) <= MAX_STACK_BYTES


@pytest.mark.parametrize("makefile", MAKEFILES, ids=lambda path: path.parent.name)
def test_firmware_is_compiled_with_the_same_warnings(makefile: Path) -> None:
    text = makefile.read_text(encoding="utf-8").replace("\\\n", "")
    (flags,) = re.findall(r"^WARNINGS := (.*)$", text, re.M)
    assert {"-std=c11", "-Werror", *flags.split()} == {*WARNINGS, "$(WARNINGS_AS_ERRORS)"}


@pytest.mark.parametrize("language", ["c++", "c"])
def test_headers_stand_alone(language: str, tmp_path: Path) -> None:
    compiler = find_compiler("gcc", "apt-get install gcc libc6-dev")
    if language == "c++":
        compiler = find_compiler("g++", "apt-get install g++")
    headers = sorted((RUNTIME_DIR / "include" / "microtvm").glob("*.h"))
    assert len(headers) >= 12
    for header in headers:
        if header.name == "firmware.h" and language == "c++":
            continue  # for a port's main.c
        command = [compiler, "-x", language, "-Wall", "-Wextra", "-Wpedantic", "-Werror"]
        command += ["-fsyntax-only", f"-I{RUNTIME_DIR / 'include'}", *PROJECT, "-"]
        text = f"#include <microtvm/{header.name}>\n#include <microtvm/{header.name}>\n"
        completed = subprocess.run(command, input=text, capture_output=True, text=True, timeout=30)
        assert completed.returncode == 0, completed.stderr
