"""An emulator in a board's place: how it is started, and the project options that it takes.

A board says by `emulator.kind` which kind it has: QEMU, or simavr (`simavr.py`).
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .api import EMULATE, Tool
from .options import ProjectOption
from .process import ChildTransport, find_tool
from .project import install_cure
from .simavr import FUNCTIONS_OPTION, LOG_OPTION, simavr_tools, start_simavr

SIMAVR = "simavr"
"""The kind of an emulator that is not QEMU."""

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
        ProjectOption(
            FUNCTIONS_OPTION,
            optional=["open_transport"],
            type="path",
            default="",
            help="What simavr counts the instructions and cycles of: a file of functions.",
        ),
        ProjectOption(
            LOG_OPTION,
            optional=["open_transport"],
            type="path",
            default="",
            help="Where simavr writes these counts.",
        ),
    ]


def emulator_tools(emulator: Mapping[str, Any]) -> list[Tool]:
    """What it takes to run an emulator.

    Args:
        emulator: The table `emulator` of a board's definition.
    """
    if emulator.get("kind") == SIMAVR:
        return simavr_tools(emulator)
    program = emulator["program"]
    return [Tool(program, shutil.which(program), emulator.get("install", ""), EMULATE)]


def start_emulator(
    emulator: Mapping[str, Any],
    firmware: Path,
    options: Mapping[str, Any],
    statuses: Mapping[int, str] | None = None,
) -> ChildTransport:
    """Start an emulator; the board's first UART is its standard input and output.

    Args:
        emulator: The table `emulator` of a board's definition.
        firmware: An ELF file.
        options: Of `open_transport`.
        statuses: What exit statuses mean, for those by which the firmware ends the emulator.

    Raises:
        ProjectError: It is not installed.
        OptionError: It does not serve one of the options.
    """
    if emulator.get("kind") == SIMAVR:
        return start_simavr(emulator, firmware, options, statuses)
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
