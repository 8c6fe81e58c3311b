"""A real board: which one it is, how it is flashed and reset, and its open port.

The facts come from two places: the board's definition says what all boards of its kind have in
common, and the project options say which one is meant and how it is wired up. Every server knows
the options; what it takes to use a real board is loaded when one is used.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .board_keys import BoardKey
from .method_names import BY_PORT, COMMAND, GDB, MASS_STORAGE, METHOD_NAMES
from .options import ProjectOption

if TYPE_CHECKING:
    from .flashing import FlashJob
    from .serial_port import SerialTransport

_GDB_TIMEOUT_S = 3.0
_METHODS = ["flash", "open_transport"]


def serial_port_keys() -> list[BoardKey]:
    """What a platform's table of a board says of the port that a real board talks by."""
    return [
        BoardKey("uart.baud", "int", default=115200, help="Bits per second."),
        BoardKey(
            "uart.reset",
            "str",
            default="",
            choices=("", "dtr", "rts"),
            help="The modem line that resets a real board.",
        ),
    ]


def serial_number_option() -> ProjectOption:
    """MicroTVM's option that tells boards of one kind apart; see `chosen_serial_number`."""
    return ProjectOption(
        "serial_number",
        optional=_METHODS,
        type="list",
        help="The board's serial number, or those of several of which one is taken.",
    )


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
            choices=METHOD_NAMES,
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
        baud: The speed of its port.
        reset_line: The modem line that resets it, "dtr" or "rts"; empty if none does.
        tool_prefix: Goes before the names of the toolchain's programs.
        tool_install: The command that installs these.
        program: What flashes it, in place of the method's program; empty for that.
    """

    def __init__(
        self,
        board: Mapping[str, Any],
        options: Mapping[str, Any],
        project: Path,
        firmware: Path,
        *,
        baud: int,
        reset_line: str = "",
        tool_prefix: str = "",
        tool_install: str = "",
        program: str = "",
    ) -> None:
        flash = dict(board["flash"])
        if options.get("flash_command"):
            flash["command"] = list(options["flash_command"])
        self._board = {**board, "flash": flash}
        self._options = options
        self._method = str(options.get("flash_method") or flash["method"])
        self._project = project
        self._firmware = firmware
        self._baud = int(options.get("baudrate") or baud)
        self._reset_line = reset_line
        self._tool_prefix = tool_prefix
        self._tool_install = tool_install
        self._program = program

    def flash(self) -> None:
        """Write the firmware, verify it where the method can, and reset the board.

        Raises:
            OptionError: The method does not exist, or misses something.
            ProjectError: The firmware did not reach the board.
        """
        from . import flash_methods, flashing, mass_storage

        if self._method == MASS_STORAGE:
            mass_storage.flash_by_copy(self._job())
        elif self._method == COMMAND:
            job = self._job(need_port=True)
            flashing.run_method(flash_methods.users_method(job), job)
        else:
            method = flash_methods.flash_method(self._method)
            flashing.run_method(method, self._job(need_port=self._method in BY_PORT))

    def open(self, *, reset: bool) -> SerialTransport:
        """Open the board's port.

        Args:
            reset: Reset the board as well, if there is a way.

        Raises:
            PortBusyError: Another process has the port.
            ProjectError: It is not there, or the reset failed.
        """
        from .serial_port import SerialTransport

        line = self._reset_line
        by_line = bool(line) and not self._options.get("reset_command")
        if reset and not by_line:
            self._reset()
        port = SerialTransport(self._port(), self._baud, line)
        if reset and by_line:
            port.reset_board(line)
        return port

    def _reset(self) -> None:
        """Reset the board by the user's command, or by its probe if that can be done."""
        command, probe = self._options.get("reset_command"), self._options.get("probe")
        if command:
            from .flashing import reset_by_command

            reset_by_command(command, self._project)
        elif self._method == GDB and probe:
            from .gdb_remote import reset_by_gdb_server

            reset_by_gdb_server(str(probe), _GDB_TIMEOUT_S)
        elif self._method not in (GDB, MASS_STORAGE, COMMAND):
            from . import flash_methods, flashing

            flashing.reset_by_method(flash_methods.flash_method(self._method), self._job())

    def _job(self, *, need_port: bool = False) -> FlashJob:
        from .flashing import FlashJob

        return FlashJob(
            board=self._board,
            project=self._project,
            firmware=self._firmware,
            probe=str(self._options.get("probe") or ""),
            port=self._port() if need_port else "",
            tool_prefix=self._tool_prefix,
            tool_install=self._tool_install,
            program=self._program,
        )

    def _port(self) -> str:
        if self._options.get("port"):
            return str(self._options["port"])
        from .serial_port import find_usb_port

        usb_ids = [self._options["usb"]] if self._options.get("usb") else None
        return find_usb_port(usb_ids or self._board["flash"]["usb_ids"])
