"""A base for templates whose firmware brings its own drivers: start-up code, UART and timer.

What differs between boards is data: the CPU's folder in src/, the driver in src/uart/, the memory
map and the toolchain all come from the board's definition.
"""

from __future__ import annotations

import pathlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from .api import COUNT_INSTRUCTIONS, DEBUG, EMULATE, FLASH, Tool, TransportTimeouts
from .board_keys import BoardKey
from .devices import DEVICE_KEYS, device_macros
from .emulator import emulator_options, emulator_tools, start_emulator
from .errors import DoesNotFitError, OptionError, ProjectError
from .make_project import MakeProjectHandler, for_shell
from .options import ProjectOption
from .process import DeviceTransport
from .real_board import RealBoard, is_real, real_board_options

if TYPE_CHECKING:
    from .archive import ModelMetadata
    from .project_types import ProjectKind

# What CpuHalt in src/ makes QEMU end with.
EXIT_STATUSES = {3: "the firmware gave up, and its log says why"}


class MicrocontrollerHandler(MakeProjectHandler):
    """A platform that builds with a cross compiler and runs on a real board or in an emulator.

    A template's handler derives from it and sets `platform_name`.
    """

    firmware = "build/firmware.elf"

    _was_opened = False

    def board_keys(self) -> list[BoardKey]:
        """The start-up code, the memory, the C library, and the devices."""
        key = BoardKey
        return [
            *super().board_keys(),
            key("startup", "str", default="", help="The CPU's folder in src/; cpu.arch if empty."),
            key("stack_bytes", "int", default=16384, help="The stack."),
            key("toolchain.includes", "strs", default=[], help="The C library's header folders."),
            key("toolchain.libraries", "strs", default=[], help="Its archives, by path or as -lm."),
            *DEVICE_KEYS,
        ]

    def check_board(self, board: Mapping[str, Any]) -> None:
        """A board needs memory, somewhere to run, and a CPU and UART that src/ knows."""
        super().check_board(board)
        name, table = board["name"], self.table(board)
        platform = f"platform {self.platform_name}"
        for keys in (("memory",), ("emulator", "flash")):
            if not any(board.get(key) for key in keys):
                raise OptionError(f"board {name} has no {' or '.join(keys)}: {platform} needs it")
        startup = self.startup_folder(board)
        known = sorted({path.parent.name for path in self._sources("*/cpu.h")})
        if startup not in known:
            raise OptionError(
                f"board {name}: {platform} has no code for the CPU {startup}",
                cure=f"it knows {', '.join(known)}",
            )
        own_timer = bool(self._sources(f"{startup}/timer.c"))
        if own_timer == bool(table["timer"]):
            trouble = f"the CPU {startup} has its own" if own_timer else "it needs one"
            raise OptionError(f"board {name}: timer: {trouble}")
        for kind, label in (("uart", "UART"), ("timer", "timer")):
            driver = table[kind]["driver"] if table[kind] else ""
            known = sorted({path.stem for path in self._sources(f"{kind}/*.c")})
            if driver and driver not in known:
                raise OptionError(
                    f"board {name}: {platform} has no {label} driver {driver}",
                    cure=f"it knows {', '.join(known)}",
                )

    def _sources(self, pattern: str) -> list[pathlib.Path]:
        """The template's sources that match a pattern."""
        folders = self.template_folders()
        return [path for folder in folders for path in (folder / "src").glob(pattern)]

    def check_kind(self, board: Mapping[str, Any], kind: ProjectKind) -> None:
        """A power monitor needs a pin."""
        if not self.table(board)["pin"]:
            super().check_kind(board, kind)

    def check_model(self, board: Mapping[str, Any], model: ModelMetadata, executor: str) -> None:
        """Compare what is known before the build with the board's memory."""
        table = self.table(board)
        pointer_bytes = 8 if board["cpu"]["arch"].endswith("64") else 4
        ram_bytes = (
            model.ram_bytes(executor, pointer_bytes) + table["packet_bytes"] + table["stack_bytes"]
        )
        needs = [("ram", "RAM", ram_bytes), ("flash", "flash", model.constants_bytes)]
        for kind, label, needed in needs:
            regions = [region["bytes"] for region in board["memory"] if region["kind"] == kind]
            if regions and needed > regions[0]:
                raise DoesNotFitError(
                    f"model too large: needs {needed} bytes of {label}, "
                    f"{board['name']} has {regions[0]}",
                    cure="use a smaller model or a larger board",
                )

    def tools(self, board: Mapping[str, Any]) -> list[Tool]:
        """The compiler, make, the C library's files that have a path, and the emulator."""
        tools = super().tools(board)
        toolchain = self.table(board)["toolchain"]
        for path in (*toolchain["includes"], *toolchain["libraries"]):
            if not path.startswith("-l"):
                found = path if pathlib.Path(path).exists() else None
                tools.append(Tool(path, found, toolchain["install"]))
        if board.get("emulator"):
            tools += emulator_tools(board["emulator"])
        return tools

    def toolchain_files(self, board: Mapping[str, Any]) -> list[Tool]:
        """The C library's archives, those with a name found by the compiler."""
        toolchain = self.table(board)["toolchain"]
        files = []
        for library in toolchain["libraries"]:
            path: str | None = library
            if library.startswith("-l"):
                path = self.find_library(board, f"lib{library[2:]}.a")
            files.append(Tool(library, path, toolchain["install"]))
        return files

    def find_library(self, board: Mapping[str, Any], file_name: str) -> str | None:
        """Where the compiler finds a library for this board's CPU; None if it does not.

        Raises:
            ProjectError: The compiler does not run, or does not take the board's flags.
        """
        flags = self.table(board)["toolchain"]["flags"]
        output = self.compiler_output(board, *flags, f"-print-file-name={file_name}").strip()
        path, *others = output.splitlines()
        if others:  # it complains, and answers nevertheless
            raise ProjectError(
                f"the compiler does not take the flags of {board['name']}: {path}",
                cure="correct toolchain.flags in the definition of the board",
                details=output,
            )
        return path if pathlib.Path(path).is_file() else None  # else it repeats the name

    def abilities(self, board: Mapping[str, Any]) -> tuple[str, ...]:
        """Emulators count instructions and serve gdb; real boards are flashed."""
        abilities: tuple[str, ...] = ()
        if board.get("emulator"):
            abilities += (EMULATE, COUNT_INSTRUCTIONS, DEBUG)
        if board.get("flash"):
            abilities += (FLASH,)
        return abilities

    def make_variables(self, board: Mapping[str, Any]) -> dict[str, str]:
        """The board's part of the Makefile."""
        table = self.table(board)
        toolchain = table["toolchain"]
        return {
            **super().make_variables(board),
            "CPU": self.startup_folder(board),
            "UART": table["uart"]["driver"],
            "TIMER": table["timer"]["driver"] if table["timer"] else "",
            "INCLUDES": for_shell(
                word for folder in toolchain["includes"] for word in ("-isystem", folder)
            ),
            "LIBRARIES": for_shell(toolchain["libraries"]),
        }

    def board_values(self, board: Mapping[str, Any]) -> dict[str, str]:
        """The board's devices."""
        return {**super().board_values(board), **device_macros(self.table(board))}

    def project_files(self, board: Mapping[str, Any]) -> dict[str, str]:
        """The memory map, for the linker."""
        return {"memory.ld": memory_script(board, self.table(board)["stack_bytes"])}

    def project_options(self) -> list[ProjectOption]:
        """The emulator's own option, and those that say which real board is meant."""
        return [
            *super().project_options(),
            *emulator_options(),
            *real_board_options(),
        ]

    def open_transport(self, options: dict[str, Any]) -> TransportTimeouts:
        """Start the emulator or open the board; one that gdb holds has all the time there is."""
        timeouts = super().open_transport(options)
        if options.get("gdbserver_port"):
            return timeouts._replace(session_start_timeout_sec=0.0)
        return timeouts

    def flash(self, options: dict[str, Any]) -> None:
        """Write the firmware to a real board; an emulator is started with it."""
        super().flash(options)
        board = self.project_board()
        if is_real(board, options):
            self._real_board(board, options).flash()

    def start_device(self, board: Mapping[str, Any], options: Mapping[str, Any]) -> DeviceTransport:
        """Open the port of a real board, or start the emulator."""
        if is_real(board, options):
            reset = self._was_opened or bool(options.get("reset", True))
            self._was_opened = True
            return self._real_board(board, options).open(reset=reset)
        return start_emulator(
            board["emulator"], self.directory / self.firmware, options, EXIT_STATUSES
        )

    def _real_board(self, board: Mapping[str, Any], options: Mapping[str, Any]) -> RealBoard:
        table = self.table(board)
        return RealBoard(
            board,
            options,
            self.directory,
            self.built_firmware(),
            baud=table["uart"]["baud"],
            reset_line=table["uart"]["reset"],
            tool_prefix=table["toolchain"]["prefix"],
            tool_install=table["toolchain"]["install"],
        )

    def startup_folder(self, board: Mapping[str, Any]) -> str:
        """The folder in src/ with the CPU's code."""
        return str(self.table(board)["startup"] or board["cpu"]["arch"])


def memory_script(board: Mapping[str, Any], stack_bytes: int) -> str:
    """The board's memory as the linker reads it.

    FLASH and RAM are other names of the first region of each kind; a board without flash keeps
    everything in RAM. A further region of RAM has the pools of memory of its name.
    """
    lines = ["/* The board's memory; generated. */", "MEMORY {"]
    first: dict[str, str] = {}
    for region in board["memory"]:
        attributes = "rx" if region["kind"] == "flash" else "rwx"
        lines.append(
            f"  {region['name']} ({attributes}) : "
            f"ORIGIN = 0x{region['origin']:08x}, LENGTH = {region['bytes']}"
        )
        first.setdefault(region["kind"], region["name"])
    lines += ["}"]
    for alias, name in (("FLASH", first.get("flash", first["ram"])), ("RAM", first["ram"])):
        if name != alias:
            lines.append(f'REGION_ALIAS("{alias}", {name});')
    lines.append(f"MICROTVM_STACK_BYTES = {stack_bytes};")
    for region in board["memory"]:
        if region["kind"] == "ram" and region["name"] != first["ram"]:
            name = region["name"]
            sections = f"*(.bss.tvmgen_*_{name})"
            lines.append(f"SECTIONS {{ .{name} (NOLOAD) : {{ {sections} }} > {name} :ram }}")
    return "\n".join(lines) + "\n"
