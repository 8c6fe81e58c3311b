"""The runtime compiles without a warning for every kind of machine and stays small."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from tests.c.toolchain import RUNTIME_DIR, compile_sources, find_compiler, runtime_sources

# Prefix of the tools, flags, and the Debian package.
MACHINES = {
    "x86-64": ("", [], "gcc"),
    "i686": ("i686-linux-gnu-", ["-fno-pic"], "gcc-i686-linux-gnu"),
    "cortex-m3": ("arm-none-eabi-", ["-mcpu=cortex-m3", "-mthumb"], "gcc-arm-none-eabi"),
}
C_LIBRARY = {"memcpy", "memset", "memcmp"}
PORT = {"TVMPlatformFormatMessage", "TVMPlatformTimerStart", "TVMPlatformTimerStop"}

MAX_FLASH_BYTES = 12 * 1024
MAX_RAM_BYTES = 1024  # beyond the packet buffer: both objects, both variables
MAX_STACK_BYTES = 160  # of one function; TVMLogf has its buffer there

OBJECT_SIZES = """
#include <microtvm/rpc_server.h>
char server_bytes[sizeof(MicroTVMRpcServer)];
char executor_bytes[sizeof(MicroTVMAotExecutor)];
"""


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


@pytest.mark.parametrize("optimization", ["-Os", "-O3"])
@pytest.mark.parametrize("machine", MACHINES)
def test_compiles_clean_and_needs_next_to_nothing(
    machine: str, optimization: str, tmp_path: Path
) -> None:
    objects = compile_runtime(machine, tmp_path, optimization)
    symbols = run_tool(machine, "nm", *objects)
    defined = set(re.findall(r"^[0-9a-f]+ [TDBRC] (\S+)$", symbols, re.M))
    undefined = set(re.findall(r"^ +U (\S+)$", symbols, re.M))
    assert undefined - defined == C_LIBRARY | PORT
    # No variables but the two by which TVMLogf finds its sink; constants carry addresses at most.
    assert set(re.findall(r"^[0-9a-f]+ [bBC] (\S+)$", symbols, re.M)) == {
        "log_function",
        "log_context",
    }
    assert not re.findall(r"^[0-9a-f]+ [DG] (\S+)$", symbols, re.M)


def test_fits_a_small_microcontroller(tmp_path: Path) -> None:
    objects = compile_runtime("cortex-m3", tmp_path, "-Os")
    sizes = [line.split() for line in run_tool("cortex-m3", "size", *objects).splitlines()[1:]]
    text, data, bss = (sum(int(size[column]) for size in sizes) for column in range(3))
    probe = tmp_path / "probe.c"
    probe.write_text(OBJECT_SIZES)
    compile_sources(
        find_compiler("arm-none-eabi-gcc", "apt-get install gcc-arm-none-eabi"),
        [probe],
        tmp_path / "probe.o",
        ["-c", "-mcpu=cortex-m3", "-mthumb", "-ffreestanding"],
    )
    listing = run_tool("cortex-m3", "nm", "-S", tmp_path / "probe.o")
    objects_bytes = sum(int(size, 16) for size in re.findall(r"^\S+ (\S+) [BC] ", listing, re.M))
    assert objects_bytes > 200
    stacks = [
        line.split("\t")
        for path in objects
        for line in path.with_suffix(".su").read_text().splitlines()
    ]
    assert {kind for _, _, kind in stacks} == {"static"}
    assert max(int(stack_bytes) for _, stack_bytes, _ in stacks) <= MAX_STACK_BYTES
    assert text + data <= MAX_FLASH_BYTES
    assert data + bss + objects_bytes <= MAX_RAM_BYTES


@pytest.mark.parametrize("language", ["c++", "c"])
def test_headers_stand_alone(language: str, tmp_path: Path) -> None:
    compiler = find_compiler("gcc", "apt-get install gcc libc6-dev")
    if language == "c++":
        compiler = find_compiler("g++", "apt-get install g++")
    headers = sorted((RUNTIME_DIR / "include" / "microtvm").glob("*.h"))
    assert len(headers) >= 7
    for header in headers:
        command = [compiler, "-x", language, "-Wall", "-Wextra", "-Wpedantic", "-Werror"]
        command += ["-fsyntax-only", f"-I{RUNTIME_DIR / 'include'}", "-"]
        text = f"#include <microtvm/{header.name}>\n#include <microtvm/{header.name}>\n"
        completed = subprocess.run(command, input=text, capture_output=True, text=True, timeout=30)
        assert completed.returncode == 0, completed.stderr
