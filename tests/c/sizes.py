"""What the runtime takes on a Cortex-M3, and the table of docs/size.md.

usage: python -m tests.c.sizes      prints the table
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from tests.c.toolchain import (
    PROGRAMS_DIR,
    compile_sources,
    find_compiler,
    runtime_sources,
)

PREFIX = "arm-none-eabi-"
INSTALL = "apt-get install gcc-arm-none-eabi"
EXECUTORS = ("aot", "graph", "host_driven")
PACKET_BYTES = 512
TENSOR_BYTES = {"aot": 32, "graph": 33, "host_driven": 0}
"""Memory of tensors and of the graph's table in the probe."""
FLAGS = (
    *("-Os", "-mcpu=cortex-m3", "-mthumb", "-ffreestanding", "-std=c11"),
    *("-ffunction-sections", "-fdata-sections"),
)
TABLE_ROW = re.compile(r"^\| `(\w+)` \| ([\d,]+) \| ([\d,]+) \|$", re.M)


@dataclass(frozen=True)
class Size:
    """In bytes: flash with all constants, RAM without the packet buffer and the tensors."""

    flash: int
    ram: int


def measure(executor: str, directory: Path) -> Size:
    """Link a firmware that does nothing, with nothing of a port or a C library in it."""
    compiler = find_compiler(f"{PREFIX}gcc", INSTALL)
    output = directory / f"{executor}.elf"
    link = ["-nostdlib", "-Wl,--gc-sections,--unresolved-symbols=ignore-all", "-Wl,-e,ProbeMain"]
    compile_sources(
        compiler,
        [PROGRAMS_DIR / "size_probe.c", *runtime_sources()],
        output,
        [*FLAGS, f"-DMICROTVM_EXECUTOR_{executor.upper()}=1", *link, "-Wl,-u,ProbeFault", "-lgcc"],
    )
    listing = subprocess.run(
        [f"{PREFIX}size", output], capture_output=True, text=True, check=True, timeout=30
    ).stdout
    text, data, bss = map(int, listing.splitlines()[1].split()[:3])
    return Size(text + data, data + bss - PACKET_BYTES - TENSOR_BYTES[executor])


def table(sizes: Iterable[tuple[str, Size]]) -> str:
    """The rows of docs/size.md."""
    return "\n".join(f"| `{name}` | {size.flash:,} | {size.ram:,} |" for name, size in sizes)


def documented() -> dict[str, Size]:
    """What docs/size.md says."""
    text = (Path(__file__).parents[2] / "docs" / "size.md").read_text(encoding="utf-8")
    numbers = {
        name: [int(each.replace(",", "")) for each in rest]
        for name, *rest in TABLE_ROW.findall(text)
    }
    return {name: Size(*pair) for name, pair in numbers.items()}


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as build:
        sys.stdout.write(table((each, measure(each, Path(build))) for each in EXECUTORS) + "\n")
