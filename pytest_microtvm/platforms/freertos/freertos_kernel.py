"""What a folder with FreeRTOS is: where its kernel and headers are, its version, its ports."""

from __future__ import annotations

import hashlib
import pathlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pytest_microtvm.project import server

OLDEST = (10, 3)
"""The first release that generated projects build with."""
_LAYOUTS = (
    "",  # the kernel's repository, or the folder Source of others
    "FreeRTOS-Kernel",
    "Source",
    "FreeRTOS/Source",  # the repository FreeRTOS/FreeRTOS
    "Middlewares/Third_Party/FreeRTOS/Source",  # ST's STM32Cube packages
    "components/freertos/FreeRTOS-Kernel",  # Espressif's ESP-IDF
)
"""Where the kernel may be in what a user names."""
_HEADERS = ("include", "include/freertos")  # the second is Espressif's
_VERSION = re.compile(r"#define\s+tskKERNEL_VERSION_(MAJOR|MINOR|BUILD)\s+\(?\s*(\d+)")
_PORTS = "portable/GCC"
_GET_FREERTOS = (
    "clone https://github.com/FreeRTOS/FreeRTOS-Kernel, and set FREERTOS_PATH to its folder"
)
_MAKE_CANNOT = re.compile(r"[\s$#:%\\'\"*?\[\]=;&|<>()`~]")


@dataclass(frozen=True)
class Kernel:
    """A FreeRTOS kernel.

    Attributes:
        folder: The folder that has tasks.c.
        headers: The folder that has FreeRTOS.h.
        version: Major, minor and build number.
    """

    folder: pathlib.Path
    headers: pathlib.Path
    version: tuple[int, ...]

    @classmethod
    def open(cls, path: str | None) -> Kernel:
        """Look at what a user names.

        Args:
            path: What the option freertos_path or FREERTOS_PATH says; None if neither does.

        Raises:
            ProjectError: There is no kernel, it is too old, or make cannot take its path.
        """
        if not path:
            raise server.ProjectError(
                "no FreeRTOS is named: FREERTOS_PATH is not set", cure=_GET_FREERTOS
            )
        named = pathlib.Path(path).expanduser()
        if not named.is_absolute():
            raise server.ProjectError(
                f"FREERTOS_PATH is {path}, which is relative to no folder that is known here",
                cure="give it the whole path of the folder",
            )
        for layout in _LAYOUTS:
            for headers in _HEADERS:
                folder = named / layout
                if (folder / "tasks.c").is_file() and (folder / headers / "FreeRTOS.h").is_file():
                    return cls._of(folder, folder / headers)
        raise server.ProjectError(
            f"FREERTOS_PATH is {named}, in which there is no FreeRTOS kernel: no tasks.c with "
            "include/FreeRTOS.h",
            cure=_GET_FREERTOS,
        )

    @classmethod
    def _of(cls, folder: pathlib.Path, headers: pathlib.Path) -> Kernel:
        if _MAKE_CANNOT.search(str(folder)):
            raise server.ProjectError(
                f"the path of FreeRTOS, {folder}, holds characters that make cannot take",
                cure="name it by a link without them",
            )
        text = (headers / "task.h").read_text(encoding="utf-8", errors="replace")
        numbers = {name: int(number) for name, number in _VERSION.findall(text)}
        version = tuple(numbers.get(name, 0) for name in ("MAJOR", "MINOR", "BUILD"))
        if version < OLDEST:
            raise server.ProjectError(
                f"FreeRTOS {'.'.join(map(str, version))} in {folder} is too old",
                cure=f"use {'.'.join(map(str, OLDEST))} or a later one",
            )
        return cls(folder, headers, version)

    def check_port(self, port: str) -> None:
        """Make sure that the kernel has a port.

        Raises:
            ProjectError: It has not.
        """
        if (self.folder / _PORTS / port / "port.c").is_file():
            return
        ports = self.folder / _PORTS
        known = sorted(path.name for path in ports.iterdir()) if ports.is_dir() else []
        alike = [name for name in known if name.split("_")[0] == port.split("_")[0]]
        if self.headers.name != "include":
            cure = (
                "this is Espressif's, which is built by ESP-IDF alone: take "
                "'microtvm export --format esp-idf-component' there, or name another FreeRTOS"
            )
        else:
            cure = f"ports like it are {', '.join(alike)}" if alike else _GET_FREERTOS
        raise server.ProjectError(
            f"FreeRTOS in {self.folder} has no port {_PORTS}/{port}", cure=cure
        )

    def state(self, port: str) -> str:
        """A hash of all that gets into a firmware with a port."""
        digest = hashlib.sha256()
        files = [*self.folder.glob("*.c"), *self.headers.glob("*.h")]
        files += [path for path in (self.folder / _PORTS / port).rglob("*") if path.is_file()]
        for path in sorted(files):
            digest.update(f"{path.relative_to(self.folder)}\n".encode())
            digest.update(hashlib.sha256(path.read_bytes()).digest())
        return digest.hexdigest()


def port_of(cpu: Mapping[str, Any]) -> str:
    """The port for a CPU, as a folder of `portable/GCC`; empty if none is known."""
    core = str(cpu.get("core") or "")
    if str(cpu["arch"]).startswith("riscv"):
        return "RISC-V"
    family = core.removeprefix("cortex-m").removesuffix("plus").removesuffix("+")
    if not core.startswith("cortex-m"):
        return ""
    if family in ("0", "1"):
        return "ARM_CM0"
    if family in ("23", "33", "35p", "52", "55", "85"):
        return f"ARM_CM{family.upper()}_NTZ/non_secure"
    if family in ("4", "7") and cpu.get("fpu"):
        return {"4": "ARM_CM4F", "7": "ARM_CM7/r0p1"}[family]
    return "ARM_CM3" if family in ("3", "4", "7") else ""
