"""The platform `freertos`: the model in a task of the user's own FreeRTOS.

Start-up code, drivers and boards are those of the platform `baremetal`; what this folder has comes
over them.
"""

from __future__ import annotations

import hashlib
import json
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from freertos_kernel import Kernel, port_of

from pytest_microtvm.project import server

SETTINGS_FILE = "freertos.json"
VARIABLE = "FREERTOS_PATH"
OPTION = "freertos_path"
_BASE = "baremetal"
_MTIME = "mtime"
_COMPARE_BEFORE_MTIME = 0x7FF8
"""How far below mtime the first hart's mtimecmp is, where SiFive and QEMU have them."""


class FreeRTOS(server.MicrocontrollerHandler):
    """Firmware whose only task but the idle one runs the model."""

    platform_name = "freertos"
    build_files = ("Makefile", "kernel.mk", "freertos_kernel.py")
    how_to_build = (
        f"Build it with `make {VARIABLE}=FOLDER`, where FOLDER is the one of FreeRTOS that has "
        "tasks.c. src/FreeRTOSConfig.h configures it."
    )

    def __init__(self, server_file: str) -> None:
        super().__init__(server_file)
        self._given: Mapping[str, Any] = {}

    def template_folders(self) -> list[pathlib.Path]:
        """The platform baremetal's folder, and then this one; in a project, which has both, it."""
        if (self.directory / server.MODEL_FILE).exists():
            return [self.directory]
        beside = self.directory.parent / _BASE
        installed = pathlib.Path(server.__file__).parents[2] / "platforms" / _BASE
        return [beside if beside.is_dir() else installed, self.directory]

    # What a board's table holds.

    def board_keys(self) -> list[server.BoardKey]:
        """Those of baremetal, and what the kernel has to know."""
        key = server.BoardKey
        return [
            *super().board_keys(),
            key("port", "str", default="", help="A folder of portable/GCC; else the CPU's."),
            key(
                "tick_clock_hz",
                "int",
                help="The rate of the clock that ticks are made of: SysTick's, or mtime's.",
            ),
            key("mtimecmp", "int", help="RISC-V: the register's address, if not a CLINT's."),
        ]

    def check_board(self, board: Mapping[str, Any]) -> None:
        """A board needs a port, a clock for ticks, and an interrupt of its UART."""
        super().check_board(board)
        name, table = board["name"], self.table(board)
        if not self.port(board):
            raise server.OptionError(
                f"board {name}: platform freertos knows no port for {board['cpu'].get('core')}",
                cure="name one by the key freertos.port",
            )
        if table["uart"]["interrupt"] is None:
            raise server.OptionError(f"board {name}: platform freertos needs uart.interrupt")
        if self.is_riscv(board):
            if not table["timer"] or table["timer"]["driver"] != _MTIME:
                raise server.OptionError(
                    f"board {name}: platform freertos needs the timer driver {_MTIME} on RISC-V"
                )
        elif not table["tick_clock_hz"]:
            raise server.OptionError(f"key freertos.tick_clock_hz of board {name} is missing")

    def port(self, board: Mapping[str, Any]) -> str:
        """The kernel's port, as a folder of `portable/GCC`."""
        return str(self.table(board)["port"] or port_of(board["cpu"]))

    def is_riscv(self, board: Mapping[str, Any]) -> bool:
        """Whether ticks come from the machine timer."""
        return str(board["cpu"]["arch"]).startswith("riscv")

    # Options.

    def project_options(self) -> list[server.ProjectOption]:
        """Those of baremetal, and the kernel."""
        option = server.ProjectOption(
            OPTION,
            optional=["generate_project", "build"],
            type="path",
            default=os.environ.get(VARIABLE),
            help=f"The folder of FreeRTOS, in place of {VARIABLE}: the kernel's repository, or "
            "one that has it, such as ST's packages.",
        )
        return [*super().project_options(), option]

    def kernel(self, board: Mapping[str, Any]) -> Kernel:
        """The FreeRTOS that is meant: by an option, now or when generating, or the environment.

        Raises:
            ProjectError: There is none, or it lacks the board's port.
        """
        path = self.directory / SETTINGS_FILE
        recorded = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
        named = self._given.get(OPTION) or recorded.get(OPTION) or os.environ.get(VARIABLE)
        kernel = Kernel.open(named)
        kernel.check_port(self.port(board))
        return kernel

    # Generating.

    def generate_project(
        self,
        model_library_format_path: pathlib.Path,
        standalone_crt_dir: pathlib.Path,
        project_dir: pathlib.Path,
        options: dict[str, Any],
    ) -> None:
        """Create the project."""
        self._given = options
        super().generate_project(
            model_library_format_path, standalone_crt_dir, project_dir, options
        )

    def project_files(self, board: Mapping[str, Any]) -> dict[str, str]:
        """The memory map, and which FreeRTOS an option chose."""
        chosen = {OPTION: self._given[OPTION]} if self._given.get(OPTION) else {}
        text = json.dumps(chosen, indent=2) + "\n"
        return {**super().project_files(board), SETTINGS_FILE: text}

    def make_variables(self, board: Mapping[str, Any]) -> dict[str, str]:
        """The board's part of the Makefile, and the port."""
        has_fpu = self.is_riscv(board) and board["cpu"].get("fpu")
        return {
            **super().make_variables(board),
            "FREERTOS_PORT": self.port(board),
            # Where FreeRTOSConfig.h does not get: RISC-V's port in assembler.
            "FREERTOS_DEFINITIONS": "-DconfigENABLE_FPU=1" if has_fpu else "",
        }

    def board_values(self, board: Mapping[str, Any]) -> dict[str, str]:
        """The board's devices, and what ticks are made of."""
        table = self.table(board)
        hz = table["tick_clock_hz"]
        macros = super().board_values(board)
        if self.is_riscv(board):
            timer = table["timer"]
            compare = table["mtimecmp"] or timer["base"] - _COMPARE_BEFORE_MTIME
            macros["MICROTVM_TIMER_COMPARE"] = f"0x{compare:x}u"
            hz = hz or timer["hz"]
        macros["MICROTVM_TICK_CLOCK_HZ"] = f"{hz}u"
        return macros

    # What there is on this machine.

    def tools(self, board: Mapping[str, Any]) -> list[server.Tool]:
        """What baremetal takes, and FreeRTOS."""
        try:
            path: str | None = str(self.kernel(board).folder / "tasks.c")
            install = ""
        except server.ProjectError as error:
            path, install = None, str(error.data["cure"])
        return [*super().tools(board), server.Tool("FreeRTOS", path, install)]

    def toolchain_id(self, board: Mapping[str, Any], files: Sequence[server.Tool]) -> str | None:
        """That of the compiler, the state of FreeRTOS, and that of baremetal's files."""
        sources = hashlib.sha256()
        for path in sorted(self.template_folders()[0].rglob("*")):
            if path.is_file() and path.suffix in (".c", ".h", ".S", ".ld", ""):
                sources.update(path.read_bytes())
        kernel = self.kernel(board).state(self.port(board))
        return f"{super().toolchain_id(board, files)}\n{kernel}\n{sources.hexdigest()}"

    def board_query(self, board: dict[str, Any], identify: bool) -> server.BoardSupport:
        """Tell what the platform can do for a board; anew each time, for FreeRTOS may be edited."""
        support = super().board_query(board, identify)
        return support._replace(environment=(VARIABLE, "HOME"), lasting=False)

    # Building.

    def build(self, options: dict[str, Any]) -> None:
        """Compile and link the project this server stands in."""
        self._given = options
        self.kernel(self.project_board())
        super().build(options)

    def make_arguments(self, board: Mapping[str, Any]) -> list[str]:
        """The kernel that is meant."""
        return [f"FREERTOS_KERNEL={self.kernel(board).folder}"]


if __name__ == "__main__":
    server.main(FreeRTOS(__file__))
