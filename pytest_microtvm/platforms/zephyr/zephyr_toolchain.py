"""Which compilers build a board's firmware, and which C library has the math functions."""

from __future__ import annotations

import os
import shlex
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest_microtvm.project import server

CROSS_COMPILE = "cross-compile"
GNU_ARM = "gnuarmemb"
HOST = "host"
TOOLCHAIN_FILE = "toolchain.cmake"
SDK = "zephyr"
_SDK_FOLDERS = ("~", "~/.local", "~/.local/opt", "~/bin", "/opt", "/usr", "/usr/local")
"""Where Zephyr looks for an SDK that was not registered."""
_REGISTRY = "~/.cmake/packages/Zephyr-sdk"
_PICOLIBC_BY_DEFAULT = (3, 5)
"""Since this release the SDK's own picolibc is what builds use."""
_ASK_TIMEOUT_S = 30.0
_CURE = (
    "install the Zephyr SDK, or name other compilers: toolchain_variant=cross-compile "
    "cross_compile=PREFIX, or ZEPHYR_TOOLCHAIN_VARIANT and CROSS_COMPILE"
)


@dataclass(frozen=True)
class Toolchain:
    """The compilers that are used.

    Attributes:
        variant: What Zephyr calls them: "zephyr" (its SDK), "cross-compile", "gnuarmemb", "host".
        prefix: Goes before the names of their programs, with the folder; empty where Zephyr knows.
        compiler: The C compiler; None where only Zephyr knows it, or where it is not there.
        settings: Lines for Kconfig that choose the C library.
        includes: Header folders of the C library for models, where it is not that of the build.
        libraries: Its archives.
        own_libraries: The folder of the compiler's own library, where it finds another one by
            Zephyr's options; empty where it does not.
    """

    variant: str
    prefix: str = ""
    compiler: str | None = None
    settings: tuple[str, ...] = ()
    includes: tuple[str, ...] = ()
    libraries: tuple[str, ...] = ()
    own_libraries: str = ""

    def cmake_text(self) -> str:
        """The text of `TOOLCHAIN_FILE`; what is given to CMake itself counts more."""
        lines = ["# Generated: the compilers and the C library; included by CMakeLists.txt."]
        chosen = {"ZEPHYR_TOOLCHAIN_VARIANT": self.variant}
        if self.variant == CROSS_COMPILE:
            chosen["CROSS_COMPILE"] = self.prefix
        for name, value in chosen.items():
            lines.append(f'set({name} {quoted(value)} CACHE STRING "Chosen for this project.")')
        for setting in self.settings:
            lines.append(f"list(APPEND MICROTVM_SETTINGS {quoted(setting)})")
        for name, values in (("LIBC_INCLUDES", self.includes), ("LIBC", self.libraries)):
            lines += [f"list(APPEND MICROTVM_{name} {quoted(value)})" for value in values]
        if self.own_libraries:
            lines.append(f"set(MICROTVM_COMPILER_LIBRARY {quoted(self.own_libraries)})")
        return "\n".join(lines) + "\n"


def quoted(value: str) -> str:
    """A word of a CMake file, as it is whatever characters it holds."""
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("$", "\\$")
    return '"' + escaped.replace(";", "\\;") + '"'


def choose_toolchain(
    board: Mapping[str, Any], options: Mapping[str, Any], version: tuple[int, int, int]
) -> Toolchain:
    """Choose the compilers for a board.

    The options decide, then Zephyr's own variables, then whether there is an SDK; else it is the
    board's compilers, those of its table.

    Args:
        board: The board's definition.
        options: Of the project; `toolchain_variant` and `cross_compile` matter.
        version: Zephyr's.

    Raises:
        ProjectError: There are none.
    """
    table = board["zephyr"]["toolchain"]
    if board["cpu"]["arch"] == HOST:
        return Toolchain(HOST, compiler=shutil.which("gcc"))
    variant = options.get("toolchain_variant") or os.environ.get("ZEPHYR_TOOLCHAIN_VARIANT")
    prefix = str(options.get("cross_compile") or "")
    if not variant:
        variant = CROSS_COMPILE if prefix or not sdk_folder() else SDK
    if variant == CROSS_COMPILE:
        return _cross_compile(board, table, prefix or os.environ.get("CROSS_COMPILE", ""))
    if variant == SDK and sdk_folder() is None:
        raise server.ProjectError("the Zephyr SDK is not installed", cure=_CURE)
    if variant == SDK and version >= _PICOLIBC_BY_DEFAULT:
        return Toolchain(SDK)
    return Toolchain(str(variant), settings=_newlib(board))


def _cross_compile(board: Mapping[str, Any], table: Mapping[str, Any], given: str) -> Toolchain:
    """The compilers of a prefix, or those of the board; CROSS_COMPILE is for one architecture."""
    own = str(table["prefix"])
    prefix = given if given and (not own or Path(given).name == Path(own).name) else own
    if not prefix:
        raise server.ProjectError(
            f"no compiler is known for board {board['name']}: there is no Zephyr SDK", cure=_CURE
        )
    compiler = shutil.which(f"{prefix}gcc")
    if compiler is not None:  # Zephyr looks into no PATH
        prefix = compiler.removesuffix("gcc")
    if not table["libraries"]:
        return Toolchain(CROSS_COMPILE, prefix, compiler, _newlib(board))
    own_library = ""
    if table["flags"] and compiler is not None:
        own_library = _own_library(compiler, table["flags"])
    return Toolchain(
        CROSS_COMPILE,
        prefix,
        compiler,
        tuple(table["kconfig"]),
        tuple(table["includes"]),
        tuple(table["libraries"]),
        str(Path(own_library).parent) if own_library else "",
    )


def _own_library(compiler: str, flags: Sequence[str]) -> str:
    """The library of the compiler's own functions."""
    command = [compiler, *flags, "-print-libgcc-file-name"]
    status, output = server.run_tool(command, Path("/"), _ASK_TIMEOUT_S)
    if status != 0 or not output.strip():
        raise server.ProjectError(
            f"the compiler {compiler} does not run",
            cure=f"try '{shlex.join(command)}'",
            details=output,
        )
    return output.strip()


def _newlib(board: Mapping[str, Any]) -> tuple[str, ...]:
    """Newlib with all its math functions; its heap is not used."""
    lines = ["CONFIG_NEWLIB_LIBC=y", "CONFIG_NEWLIB_LIBC_MIN_REQUIRED_HEAP_SIZE=0"]
    if board["cpu"]["arch"] == "arm":
        lines.append("CONFIG_NEWLIB_LIBC_NANO=n")
    return tuple(lines)


def sdk_folder() -> Path | None:
    """Where the Zephyr SDK is, as Zephyr itself looks for it; None if it is not installed."""
    named = os.environ.get("ZEPHYR_SDK_INSTALL_DIR")
    candidates = [Path(named)] if named else []
    registry = Path(_REGISTRY).expanduser()
    if registry.is_dir():
        for entry in sorted(registry.iterdir()):
            candidates.append(Path(entry.read_text(encoding="utf-8", errors="replace").strip()))
    for place in _SDK_FOLDERS:
        candidates += sorted(Path(place).expanduser().glob("zephyr-sdk*"), reverse=True)
    for folder in candidates:
        for root in (folder, folder.parent):  # a registered one is its folder cmake
            if (root / "sdk_version").is_file():
                return root
    return None
