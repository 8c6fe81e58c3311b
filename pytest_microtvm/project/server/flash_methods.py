"""The methods by which boards are flashed, by the names that a board's `flash.method` has.

The words that signs look for are those of the versions in Debian 12 (GDB 13, OpenOCD 0.12, stlink
1.7, dfu-util 0.11) and on PyPI (pyOCD 0.44, esptool 5.6, west 1.5).
"""

from __future__ import annotations

import re
from pathlib import Path

from .errors import OptionError
from .flashing import FlashJob, FlashMethod, Sign
from .method_names import GDB, METHOD_NAMES

_HERE = Path(__file__).absolute().parent
_PLACEHOLDER = re.compile(r"\{(\w+)\}")
_GDB_CONNECT_S = 3
_PLUG_IN = "plug it in, and name its serial number as the probe of the lab if there are several"
_NOT_WHAT_WAS_WRITTEN = "the flash of {board} does not hold what was written to it"
_POWER = "does the board have power, and is its probe connected to it?"


def flash_method(name: str) -> FlashMethod:
    """A method by its name.

    Raises:
        OptionError: There is no method of this name.
    """
    if name not in METHODS:
        raise OptionError(
            f"there is no flash method {name!r}", cure=f"choose from {', '.join(METHOD_NAMES)}"
        )
    return METHODS[name]


def _gdb(job: FlashJob) -> list[str]:
    if not job.probe:
        raise OptionError(
            f"board {job.board['name']} is flashed by gdb, but its probe is not named",
            cure='name the address of its gdb server as the probe of the lab, "localhost:3333"',
        )
    settings = ("confirm off", "pagination off", "remotetimeout 10")
    return [
        *("-nx", "-batch"),
        *(word for setting in settings for word in ("-ex", f"set {setting}")),
        *("-ex", f"set tcp connect-timeout {_GDB_CONNECT_S}"),
        *job.settings["arguments"],
        *("-ex", f"target extended-remote {job.probe}"),
        *("-x", str(_HERE / "flash.gdb"), str(job.firmware)),
    ]


def _openocd(job: FlashJob, commands: str) -> list[str]:
    probe = f"adapter serial {job.probe}" if job.probe else ""
    # Several of them may run at a time, and nobody is to connect to them.
    ports = "gdb_port disabled; tcl_port disabled; telnet_port disabled"
    return [
        *("-f", _target(job, "openocd", "board/st_nucleo_f7.cfg")),
        *("-c", ports),
        *(("-c", probe) if probe else ()),
        *job.settings["arguments"],
        *("-c", commands),
    ]


def _pyocd(job: FlashJob, command: str) -> list[str]:
    return [
        *(command, "--no-wait", "--target", _target(job, "pyocd", "stm32f746zg")),
        *(("--uid", job.probe) if job.probe else ()),
        *job.settings["arguments"],
    ]


def _st_flash(job: FlashJob) -> list[str]:
    return [
        *(("--serial", job.probe) if job.probe else ()),
        *job.settings["arguments"],
    ]


def _esptool(job: FlashJob) -> list[str]:
    if not job.port:
        raise OptionError(f"board {job.board['name']} is flashed over its port, which is unknown")
    chip = _target(job, "esptool", "esp32c3")
    arguments = list(job.settings["arguments"]) or ["0x0"]
    return [
        *("--chip", chip, "--port", job.port, "--baud", "460800", "--after", "hard-reset"),
        *("write-flash", *arguments, str(job.image("bin"))),
    ]


def _dfu_util(job: FlashJob) -> list[str]:
    return [
        *("--device", _target(job, "dfu-util", "0483:df11")),
        *(("--serial", job.probe) if job.probe else ()),
        *(job.settings["arguments"] or ("--alt", "0")),
        *("--dfuse-address", f"0x{job.start_address:08x}:leave"),
        *("--download", str(job.image("bin"))),
    ]


def _west(job: FlashJob) -> list[str]:
    return [
        *("flash", "--build-dir", str(job.firmware.parent), "--skip-rebuild"),
        *(("--runner", job.settings["target"]) if job.settings["target"] else ()),
        *(("--dev-id", job.probe) if job.probe else ()),
        *job.settings["arguments"],
    ]


def _arduino_cli(job: FlashJob) -> list[str]:
    table = job.board.get("arduino")
    if not table:
        raise OptionError(
            f"board {job.board['name']} is flashed by arduino-cli, but not for the platform "
            "arduino",
            cure="choose the platform arduino, or another flash.method",
        )
    return [
        *("upload", "--fqbn", table["fqbn"], "--port", job.port),
        *("--input-dir", str(job.firmware.parent)),
        *job.settings["arguments"],
    ]


def _target(job: FlashJob, program: str, example: str) -> str:
    target = str(job.settings["target"])
    if not target:
        raise OptionError(
            f"board {job.board['name']} has no flash.target: {program} needs it",
            cure=f'give it in the definition, for example "{example}"',
        )
    return target


def users_method(job: FlashJob) -> FlashMethod:
    """The command of a board's `flash.command`, with its placeholders filled in.

    Raises:
        OptionError: The board has no flash.command, or the command has an unknown placeholder.
    """
    values = {"probe": job.probe, "port": job.port, "board": str(job.board["name"])}
    values["project"] = str(job.project)

    def value(match: re.Match[str]) -> str:
        name = match[1]
        if name in ("elf", "hex", "bin", "uf2"):
            return str(job.image(name))
        if name not in values:
            known = ", ".join(f"{{{known}}}" for known in ("elf", "hex", "bin", "uf2", *values))
            raise OptionError(
                f"board {job.board['name']}: flash.command has the unknown placeholder {match[0]}",
                cure=f"there are {known}",
            )
        return values[name]

    command = [_PLACEHOLDER.sub(value, word) for word in job.settings["command"]]
    if not command:
        raise OptionError(
            f"board {job.board['name']} has no flash.command", cure="give it in the definition"
        )
    return FlashMethod(programs=(command[0],), install="", flash=lambda _job: command[1:])


METHODS = {
    GDB: FlashMethod(
        programs=("{prefix}gdb", "gdb-multiarch"),
        install="apt-get install gdb-multiarch",
        flash=_gdb,
        proof=r": matched\.",
        signs=(
            Sign("MIS-MATCHED", _NOT_WHAT_WAS_WRITTEN),
            Sign(
                r"Connection (refused|timed out)|could not connect|No such file or directory\.$",
                "no gdb server answers at {probe}",
                "start the probe's gdb server, or correct the probe of the lab",
            ),
            Sign(
                r"[Rr]emote connection closed|[Rr]emote communication error|Connection reset"
                r"|Remote replied unexpectedly|Broken pipe",
                "the gdb server at {probe} broke the connection off",
                _POWER,
            ),
        ),
    ),
    "openocd": FlashMethod(
        programs=("openocd",),
        install="apt-get install openocd",
        flash=lambda job: _openocd(job, f"program {{{job.firmware}}} verify reset exit"),
        proof=r"\*\* Verified OK \*\*",
        signs=(
            Sign(r"\*\* Verify Failed \*\*", _NOT_WHAT_WAS_WRITTEN),
            Sign(
                "Error: open failed|unable to find a matching|unable to open .* device"
                "|No J-Link device found",
                "openocd finds no probe ({probe})",
                _PLUG_IN,
            ),
            Sign("LIBUSB_ERROR_ACCESS", "openocd may not use the probe", "add udev rules for it"),
            Sign(
                r"target voltage may be too low|init mode failed|Error connecting DP"
                r"|Invalid ACK|scan chain interrogation failed",
                "openocd reaches the probe, but not the chip of {board}",
                _POWER,
            ),
        ),
        reset=lambda job: _openocd(job, "init; reset run; shutdown"),
    ),
    "pyocd": FlashMethod(
        programs=("pyocd",),
        install="pip install pyocd",
        flash=lambda job: [*_pyocd(job, "load"), "--format", "elf", str(job.firmware)],
        signs=(
            Sign(
                "No connected debug probe|No available debug probes|No target device available",
                "pyocd finds no probe ({probe})",
                _PLUG_IN,
            ),
            Sign(
                "is not recognized|not a recognized target",
                "pyocd does not know the target of {board}",
                "install its pack, as `pyocd pack install` does, or correct flash.target",
            ),
            Sign("No ACK|unexpected ACK", "pyocd reaches the probe, but not the chip", _POWER),
        ),
        reset=lambda job: _pyocd(job, "reset"),
    ),
    "st-flash": FlashMethod(
        programs=("st-flash",),
        install="apt-get install stlink-tools",
        flash=lambda job: [
            *_st_flash(job),
            *("--reset", "--format", "ihex", "write", str(job.image("hex"))),
        ],
        proof="Flash written and verified",
        signs=(
            Sign("Couldn't find any ST-Link", "st-flash finds no probe ({probe})", _PLUG_IN),
            Sign("Failed to connect to target", "st-flash reaches the probe, but no chip", _POWER),
            Sign("Verification of flash failed", _NOT_WHAT_WAS_WRITTEN),
        ),
        reset=lambda job: [*_st_flash(job), "reset"],
    ),
    "esptool": FlashMethod(
        programs=("esptool",),
        install="pip install esptool",
        flash=_esptool,
        proof="Hash of data verified",
        signs=(
            Sign(
                "Could not open|port is busy or doesn't exist",
                "esptool cannot open the port {port}",
                "plug the board in, and end what else uses its port",
            ),
            Sign(
                "Failed to connect to",
                "the boot loader of {board} does not answer at {port}",
                "hold its boot button while it is reset",
            ),
        ),
    ),
    "dfu-util": FlashMethod(
        programs=("dfu-util",),
        install="apt-get install dfu-util",
        flash=_dfu_util,
        proof="File downloaded successfully",
        statuses=(0, 74),  # 74: the board left so fast that it did not say goodbye
        signs=(
            Sign(
                "No DFU capable USB device available",
                "dfu-util finds no board ({probe}) in its boot loader",
                "plug it in, and reset it into its boot loader",
            ),
            Sign("Cannot open DFU device", "dfu-util may not use the board", "add udev rules"),
        ),
    ),
    "west": FlashMethod(
        programs=("west",),
        install="pip install west",
        flash=_west,
        signs=(
            Sign(
                'unknown command "flash"',
                "west does not run inside a Zephyr workspace",
                "set ZEPHYR_BASE",
            ),
        ),
    ),
    "arduino-cli": FlashMethod(
        programs=("arduino-cli",),
        install="as its documentation says, and the board's core by `arduino-cli core install`",
        flash=_arduino_cli,
        signs=(
            Sign(
                r"[Dd]evice or resource busy|[Pp]ort busy|[Rr]esource temporarily unavailable",
                "the port {port} is busy",
                "end what else uses it, such as a serial monitor",
            ),
            Sign(
                r"[Pp]ermission denied",
                "the port {port} may not be opened",
                "let your user open it, on Debian by: sudo adduser $USER dialout",
            ),
            Sign(
                r"[Nn]o such file or directory|no upload port|can't open device"
                r"|cannot open port|port not found",
                "there is no board at the port {port}",
                "plug it in, and name its port",
            ),
            Sign(
                r"[Pp]latform .* not (?:found|installed)|platform not installed",
                "arduino-cli has no core for {board}",
                "install it by `arduino-cli core install PACKAGE:CORE`",
            ),
            Sign(
                r"not in sync|programmer is not responding|No device found on"
                r"|timed? ?out|not responding",
                "the boot loader of {board} does not answer at {port}",
                "press its reset button, twice where a double click starts the boot loader",
            ),
            Sign(r"verification error|[Vv]erify failed|mismatch", _NOT_WHAT_WAS_WRITTEN),
        ),
    ),
}
