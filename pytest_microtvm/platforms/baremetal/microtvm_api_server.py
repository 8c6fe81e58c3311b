"""The platform `baremetal`: firmware without an operating system, on boards that QEMU emulates.

What differs between boards is data: the CPU's folder in src/, the driver in src/uart/, the memory
map and the toolchain all come from the board's definition.
"""

from __future__ import annotations

import pathlib
from collections.abc import Mapping
from typing import Any

from pytest_microtvm.project import server

# What CpuHalt in src/i386/cpu.c makes QEMU end with.
EXIT_STATUSES = {3: "the firmware gave up, and its log says why"}


class BareMetal(server.MakeProjectHandler):
    """Builds with a cross compiler, runs in an emulator."""

    platform_name = "baremetal"
    firmware = "build/firmware.elf"

    def check_board(self, board: Mapping[str, Any]) -> None:
        """A board needs memory, an emulator, and a CPU and UART that src/ knows."""
        name = board["name"]
        for key in ("memory", "uart", "emulator"):
            if not board.get(key):
                raise server.OptionError(f"board {name} has no {key}: platform baremetal needs it")
        sources = self.directory / "src"
        cpu = board["cpu"]["arch"]
        if not (sources / cpu / "firmware.ld").is_file():
            known = sorted(path.parent.name for path in sources.glob("*/firmware.ld"))
            raise server.OptionError(
                f"board {name}: platform baremetal has no code for the CPU {cpu}",
                cure=f"it knows {', '.join(known)}",
            )
        driver = board["uart"]["driver"]
        if not (sources / "uart" / f"{driver}.c").is_file():
            known = sorted(path.stem for path in sources.glob("uart/*.c"))
            raise server.OptionError(
                f"board {name}: platform baremetal has no UART driver {driver}",
                cure=f"it knows {', '.join(known)}",
            )

    def check_model(self, board: Mapping[str, Any], model: server.ModelMetadata) -> None:
        """Compare what is known before the build with the board's memory."""
        firmware = board["firmware"]
        ram_bytes = (
            model.workspace_bytes
            + model.io_bytes
            + firmware["packet_bytes"]
            + firmware["stack_bytes"]
        )
        needs = [("ram", "RAM", ram_bytes), ("flash", "flash", model.constants_bytes)]
        for kind, label, needed in needs:
            regions = [region["bytes"] for region in board["memory"] if region["kind"] == kind]
            if regions and needed > regions[0]:
                raise server.DoesNotFitError(
                    f"model too large: needs {needed} bytes of {label}, "
                    f"{board['name']} has {regions[0]}",
                    cure="use a smaller model or a larger board",
                )

    def check_tools(self, board: Mapping[str, Any]) -> None:
        """The compiler, make, and the C library's files."""
        super().check_tools(board)
        toolchain = board["toolchain"]
        for path in (*toolchain["includes"], *toolchain["libraries"]):
            if not pathlib.Path(path).exists():
                raise server.ProjectError(
                    f"{path} of the C library is not installed",
                    cure=server.install_cure(toolchain["install"]),
                )

    def make_variables(self, board: Mapping[str, Any]) -> dict[str, str]:
        """The board's part of the Makefile."""
        toolchain = board["toolchain"]
        return {
            **super().make_variables(board),
            "CPU": board["cpu"]["arch"],
            "UART": board["uart"]["driver"],
            "INCLUDES": " ".join(toolchain["includes"]),
            "LIBRARIES": " ".join(toolchain["libraries"]),
        }

    def header_values(
        self, board: Mapping[str, Any], model: server.ModelMetadata
    ) -> dict[str, str]:
        """The board's part of microtvm_project.h."""
        uart = board["uart"]
        macros = {
            **super().header_values(board, model),
            "MICROTVM_UART_BASE": f"0x{uart['base']:x}u",
            "MICROTVM_UART_BAUD": f"{uart['baud']}u",
        }
        if uart["interrupt"] is not None:
            macros["MICROTVM_UART_INTERRUPT"] = f"{uart['interrupt']}u"
        return macros

    def project_files(self, board: Mapping[str, Any]) -> dict[str, str]:
        """The memory map, for the linker."""
        return {"memory.ld": memory_script(board)}

    def start_device(self, board: Mapping[str, Any]) -> server.ChildTransport:
        """Start the emulator; its UART is its standard input and output."""
        emulator = board["emulator"]
        program = server.find_tool(emulator["program"], server.install_cure(emulator["install"]))

        command = [
            program,
            *("-machine", emulator["machine"]),
            *emulator["arguments"],
            *("-display", "none", "-nodefaults", "-no-reboot"),
            *("-chardev", "stdio,id=uart,signal=off", "-serial", "chardev:uart"),
            *("-kernel", str(self.directory / self.firmware)),
        ]
        return server.ChildTransport(command, EXIT_STATUSES)


def memory_script(board: Mapping[str, Any]) -> str:
    """The board's memory as the linker reads it.

    FLASH and RAM are other names of the first region of each kind; a board without flash keeps
    everything in RAM.
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
    lines.append(f"MICROTVM_STACK_BYTES = {board['firmware']['stack_bytes']};")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    server.main(BareMetal(__file__))
