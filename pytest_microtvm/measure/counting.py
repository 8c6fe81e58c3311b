"""Counts the instructions of a model and its kernels on an emulated board.

simavr counts by itself, and cycles as well. For QEMU a plugin does it, `counting.c`; it is compiled
with this machine's C compiler when a board first needs it, and kept in the cache. QEMU may have
been built without plugins, or there may be no compiler: then there are no counts, and the reason is
told with the results.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pytest_microtvm.errors import BuildError
from pytest_microtvm.measure.elf import RUN_FUNCTION

OPTION = "qemu_plugin"
"""The project option of `open_transport` that takes a plugin."""

FUNCTIONS_OPTION, LOG_OPTION = "simavr_functions", "simavr_log"
"""Those that simavr takes."""

API_VERSIONS = (1, 2)
"""Of QEMU's plugin interface: up to QEMU 8, and since 9."""

_SOURCE = Path(__file__).with_name("counting.c")
PLUGIN = "counting.so"
"""The name of the compiled plugin."""
_TIMEOUT_S = 60.0


@dataclass(frozen=True)
class Counter:
    """What counts the instructions of one firmware.

    Attributes:
        plugin: The compiled plugin; None for an emulator that counts by itself.
        functions: The file that tells it what to count; see `write_functions`.
        kernels: The names of the kernels, by the numbers that its log has for them.
        costs: The file that tells the plugin what instructions take of cycles; see
            `cycles.write_costs`. None where it is not to estimate them.
    """

    plugin: Path | None
    functions: Path
    kernels: tuple[str, ...]
    costs: Path | None = None

    def project_options(self, log: Path) -> dict[str, str]:
        """The options of `open_transport` that have `log` written."""
        if self.plugin is None:
            return {FUNCTIONS_OPTION: str(self.functions), LOG_OPTION: str(log)}
        values = [f"file={self.plugin}", f"functions={self.functions}", f"log={log}"]
        values += [] if self.costs is None else [f"costs={self.costs}"]
        return {OPTION: ",".join(value.replace(",", ",,") for value in values)}


@dataclass(frozen=True)
class Counts:
    """Instructions of one inference.

    Attributes:
        total: All of them: the executor's own and those of what it calls.
        kernels: (name, instructions) of each call of a kernel, in order.
        cycles: Of the CPU, all of them, counted by simavr or estimated by the plugin; None where
            they are neither.
        kernel_cycles: Those of each call of a kernel, likewise.
    """

    total: int
    kernels: tuple[tuple[str, int], ...]
    cycles: int | None = None
    kernel_cycles: tuple[int, ...] = ()


def parse_counts(text: str, kernels: Sequence[str]) -> Counts:
    """Add up the lines of a log that one inference wrote.

    Args:
        text: Whole lines, as `counting.c` and `simavr.c` describe them.
        kernels: The names of the kernels.
    """
    totals = []
    calls = []
    for line in text.splitlines():
        *words, last = line.split()
        totals.append([int(count) for count in last.split(":")])
        calls += [[int(count) for count in word.split(":")] for word in words]
    sums = [sum(counts) for counts in zip(*totals, strict=True)]
    return Counts(
        total=sums[0],
        kernels=tuple((kernels[number], instructions) for number, instructions, *_ in calls),
        cycles=sums[1] if len(sums) > 1 else None,
        kernel_cycles=tuple(cycles for _, _, *counts in calls for cycles in counts),
    )


def kernels_of(addresses: Mapping[str, int]) -> tuple[str, ...]:
    """The kernels among functions, in the order of their numbers."""
    return tuple(name for name in addresses if name != RUN_FUNCTION)


def write_functions(path: Path, addresses: Mapping[str, int]) -> None:
    """Write which functions to count, for the plugin.

    Args:
        path: The file.
        addresses: By name: that of `RUN_FUNCTION`, and those of the kernels.
    """
    lines = [f"kernel {addresses[name]:#x}" for name in kernels_of(addresses)]
    if RUN_FUNCTION in addresses:
        lines.append(f"run {addresses[RUN_FUNCTION]:#x}")
    path.write_text("".join(f"{line}\n" for line in lines))


def plugin_key(program: str) -> str:
    """A hash of what decides how the plugin for an emulator is compiled, in hexadecimal.

    Args:
        program: The emulator, such as "qemu-system-arm".

    Raises:
        BuildError: It is not installed.
    """
    emulator = Path(_find_emulator(program)).resolve()
    about = emulator.stat()
    digest = hashlib.sha256(_SOURCE.read_bytes())
    digest.update(f"{emulator} {about.st_size} {about.st_mtime_ns}".encode())
    return digest.hexdigest()[:32]


def compile_plugin(directory: Path, program: str) -> None:
    """Compile the plugin for an emulator, as `PLUGIN` in `directory`.

    Raises:
        BuildError: There is no compiler, or the emulator does not take plugins.
    """
    emulator = _find_emulator(program)
    plugin = directory / PLUGIN
    for version in API_VERSIONS:
        _compile(plugin, version)
        trouble = _try(emulator, plugin, directory)
        if not trouble:
            return
    raise BuildError(f"{program} does not take plugins: {trouble}")


def _find_emulator(program: str) -> str:
    emulator = shutil.which(program)
    if emulator is None:
        raise BuildError(f"{program} is not installed")
    return emulator


def _compile(plugin: Path, version: int) -> None:
    command = ["cc", "-std=c11", "-O2", "-shared", "-fPIC", "-fvisibility=hidden"]
    command += [f"-DCOUNTING_PLUGIN_VERSION={version}", "-o", str(plugin), str(_SOURCE)]
    status, output = _run(command)
    if status != 0:
        raise BuildError(f"cc does not compile the plugin: {output}", details=output)


def _try(emulator: str, plugin: Path, directory: Path) -> str:
    """Start the emulator with the plugin and no machine; why that fails, or ""."""
    functions, log = directory / "functions", directory / "log"
    functions.touch()
    options = Counter(plugin, functions, ()).project_options(log)
    command = [emulator, "-machine", "none", "-display", "none", "-nodefaults"]
    command += ["-monitor", "stdio", "-plugin", options[OPTION]]
    status, output = _run(command, "quit\n")
    functions.unlink()
    log.unlink(missing_ok=True)
    return "" if status == 0 else output or f"exit status {status}"


def _run(command: Sequence[str], text: str = "") -> tuple[int, str]:
    """Run a tool; its status and the last line that it complained with."""
    try:
        result = subprocess.run(
            command, input=text, capture_output=True, text=True, timeout=_TIMEOUT_S / 2
        )
    except FileNotFoundError:
        raise BuildError(f"{command[0]} is not installed") from None
    except subprocess.TimeoutExpired:
        return 1, f"{Path(command[0]).name} does not end"
    lines = result.stderr.strip().splitlines()
    return result.returncode, lines[-1] if lines else ""
