"""A real board: which one it is, how it is flashed and reset, and its open port.

The facts come from two places: the board's definition says what all boards of its kind have in
common, and the project options say which one is meant and how it is wired up.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .api import ProjectOption
from .flash_methods import COMMAND, MASS_STORAGE, METHODS, flash_method, users_method
from .flashing import FlashJob, reset_by_command, reset_by_method, run_method
from .mass_storage import flash_by_copy
from .serial_port import SerialTransport, find_usb_port, usb_ids_of

_METHODS = ["flash", "open_transport"]


def real_board_options() -> list[ProjectOption]:
    """The options that say which board is meant; all may be missing."""
    return [
        ProjectOption(
            "port",
            optional=_METHODS,
            type="str",
            help="The board's serial port: a device, socket://host:port or rfc2217://host:port.",
        ),
        ProjectOption(
            "usb",
            optional=_METHODS,
            type="str",
            help="In place of port: vid:pid or vid:pid:serial, to find the port by.",
        ),
        ProjectOption(
            "baudrate", optional=_METHODS, type="int", help="In place of the board's uart.baud."
        ),
        ProjectOption(
            "probe",
            optional=_METHODS,
            type="str",
            help="The debug probe: a gdb server's address, a serial number, a volume's folder.",
        ),
        ProjectOption(
            "flash_method",
            optional=_METHODS,
            type="str",
            choices=(*METHODS, MASS_STORAGE, COMMAND),
            help="In place of the board's flash.method.",
        ),
        ProjectOption(
            "flash_command",
            optional=_METHODS,
            type="list",
            help="In place of the board's flash.command.",
        ),
        ProjectOption(
            "reset_command", optional=_METHODS, type="list", help="A command that resets the board."
        ),
        ProjectOption(
            "reset",
            optional=["open_transport"],
            type="bool",
            default=True,
            help="Reset the board when its port is opened; not needed right after it was flashed.",
        ),
    ]


def is_real(board: Mapping[str, Any], options: Mapping[str, Any]) -> bool:
    """Whether a real board is meant: it has no emulator, or the options say which one it is."""
    if not board.get("flash"):
        return False
    return not board.get("emulator") or any(options.get(name) for name in ("port", "usb", "probe"))


class RealBoard:
    """One board on the desk.

    Args:
        board: Its definition.
        options: Project options.
        project: The project's folder.
        firmware: The project's ELF file.
    """

    def __init__(
        self, board: Mapping[str, Any], options: Mapping[str, Any], project: Path, firmware: Path
    ) -> None:
        flash = dict(board["flash"])
        if options.get("flash_command"):
            flash["command"] = list(options["flash_command"])
        self._board = {**board, "flash": flash}
        self._options = options
        self._method = str(options.get("flash_method") or flash["method"])
        self._project = project
        self._firmware = firmware

    def flash(self) -> None:
        """Write the firmware, verify it where the method can, and reset the board.

        Raises:
            OptionError: The method does not exist, or misses something.
            ProjectError: The firmware did not reach the board.
        """
        if self._method == MASS_STORAGE:
            flash_by_copy(self._job())
        elif self._method == COMMAND:
            job = self._job(need_port=True)
            run_method(users_method(job), job)
        else:
            method = flash_method(self._method)
            run_method(method, self._job(need_port=self._method == "esptool"))

    def open(self, *, reset: bool) -> SerialTransport:
        """Open the board's port.

        Args:
            reset: Reset the board as well, if there is a way.

        Raises:
            PortBusyError: Another process has the port.
            ProjectError: It is not there, or the reset failed.
        """
        uart = self._board["uart"]
        line = str(uart.get("reset") or "")
        command = self._options.get("reset_command")
        if reset and command:
            reset_by_command(command, self._project)
        elif reset and not line and self._method in METHODS:
            reset_by_method(flash_method(self._method), self._job())
        port = SerialTransport(
            self._port(), int(self._options.get("baudrate") or uart["baud"]), line
        )
        if reset and line and not command:
            port.reset_board(line)
        return port

    def _job(self, *, need_port: bool = False) -> FlashJob:
        return FlashJob(
            board=self._board,
            project=self._project,
            firmware=self._firmware,
            probe=str(self._options.get("probe") or ""),
            port=self._port() if need_port else "",
        )

    def _port(self) -> str:
        return str(self._options.get("port") or "") or find_usb_port(
            usb_ids_of(self._board, self._options)
        )
