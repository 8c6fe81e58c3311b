"""QEMU in a board's place: how it is started, and the project options that it takes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .options import ProjectOption
from .process import ChildTransport, find_tool
from .project import install_cure

FIRMWARE = "{firmware}"
"""Stands for the firmware's path in an emulator's arguments."""


def emulator_options() -> list[ProjectOption]:
    """The options of `open_transport` for an emulated board."""
    return [
        ProjectOption(
            "qemu_plugin",
            optional=["open_transport"],
            type="str",
            default="",
            help="A plugin for the emulator, as QEMU's -plugin takes it.",
        ),
        ProjectOption(
            "gdbserver_port",
            optional=["open_transport"],
            type="int",
            help="Start the emulator stopped, with a gdb server at this port of this computer.",
        ),
    ]


def start_emulator(
    emulator: Mapping[str, Any],
    firmware: Path,
    options: Mapping[str, Any],
    statuses: Mapping[int, str] | None = None,
) -> ChildTransport:
    """Start QEMU; the board's first UART is its standard input and output.

    Args:
        emulator: The table `emulator` of a board's definition.
        firmware: An ELF file.
        options: Of `open_transport`.
        statuses: What exit statuses mean, for those by which the firmware ends QEMU.

    Raises:
        ProjectError: It is not installed.
    """
    program = find_tool(emulator["program"], install_cure(emulator["install"]))
    arguments = [with_firmware(argument, str(firmware)) for argument in emulator["arguments"]]
    command = [
        program,
        *("-machine", emulator["machine"]),
        *arguments,
        *("-display", "none", "-nodefaults", "-no-reboot"),
        *("-chardev", "stdio,id=uart,signal=off", "-serial", "chardev:uart"),
    ]
    if arguments == list(emulator["arguments"]):
        command += ["-kernel", str(firmware)]
    if options.get("qemu_plugin"):
        command += ["-plugin", options["qemu_plugin"]]
    if options.get("gdbserver_port"):
        command += ["-gdb", f"tcp:127.0.0.1:{options['gdbserver_port']}", "-S"]
    return ChildTransport(command, statuses)


def with_firmware(argument: str, path: str) -> str:
    """Put the firmware's path into an argument of QEMU's, where a comma ends a value."""
    return argument.replace(FIRMWARE, path.replace(",", ",,"))
