"""labgrid places as boards of the lab: https://labgrid.readthedocs.io.

A place is acquired and released by `labgrid-client`, which is also what switches its power and
writes its flash, with the drivers that labgrid takes for the place's resources or that its own
configuration names (`LG_ENV`). An acquired place becomes an ordinary board: its port is the URL of
the place's NetworkSerialPort, its power commands are labgrid's.
"""

from __future__ import annotations

import contextlib
import dataclasses
import shutil
import sys
import time
from pathlib import Path
from typing import Any

from pytest_microtvm.deadline import Deadline
from pytest_microtvm.errors import ConfigError, LeaseError
from pytest_microtvm.lab.file import LabBoard
from pytest_microtvm.lab.power import run_command

INSTALL = "pip install 'pytest-microtvm[labgrid]'"
CLIENT = "labgrid-client"
COMMAND_TIMEOUT_S = 30.0
EXPORT_TIMEOUT_S = 15.0
"""How long an exporter may take to offer the port of a place that was just acquired."""
_POLL_S = 0.2
# ser2net answers no flow control settings of a port that has none, as labgrid knows, too.
_URLS = {"rfc2217": "rfc2217://{}:{}?ign_set_control", "raw": "socket://{}:{}"}


class PlaceHeldError(LeaseError):
    """Somebody else has acquired the place."""


def acquire_place(board: LabBoard, mark: Path) -> LabBoard:
    """Acquire the place of a board.

    Args:
        board: It has a place.
        mark: A file that is there from now on until the place is released. labgrid remembers a
            place's holder by user and machine, also when that process has died: only the mark
            tells that it was one of ours, whose lease has ended, and not the user at work.

    Returns:
        The board as one with a port, power commands and a way to flash it.

    Raises:
        PlaceHeldError: Somebody else has it.
        LeaseError: There is no such place, no coordinator, or no serial port at the place.
        ConfigError: labgrid is not installed.
    """
    client = _client_command(board)
    ours = mark.exists()
    mark.touch()
    try:
        run_command((*client, "acquire"), board, "acquire", Deadline(COMMAND_TIMEOUT_S))
    except LeaseError as error:
        if "already acquired" not in error.details:
            mark.unlink(missing_ok=True)
            raise _failure(board, error) from error
        if not (ours and "You have already acquired place" in error.details):
            mark.unlink(missing_ok=True)
            held = _failure(board, error)
            raise PlaceHeldError(held.message, cure=held.cure, board=board.label) from error
    try:
        return _resolved(board, client)
    except BaseException:
        release_place(board, mark)
        raise


def release_place(board: LabBoard, mark: Path) -> None:
    """Release the place of a board; never raises."""
    with contextlib.suppress(LeaseError, ConfigError):
        command = (*_client_command(board), "release")
        run_command(command, board, "release", Deadline(COMMAND_TIMEOUT_S))
    mark.unlink(missing_ok=True)


def _resolved(board: LabBoard, client: tuple[str, ...]) -> LabBoard:
    values: dict[str, Any] = {"port": _serial_port(board, client)}
    if not board.power_off:
        values["power_off"] = (*client, "power", "off")
        values["power_on"] = (*client, "power", "on")
    if not board.flash and not board.flash_command:
        values["flash"] = "command"
        values["flash_command"] = (*client, "bootstrap", "{elf}")
    return dataclasses.replace(board, **values)


def _serial_port(board: LabBoard, client: tuple[str, ...]) -> str:
    """The URL of an acquired place's serial port."""
    deadline = Deadline(EXPORT_TIMEOUT_S)
    while True:
        for resource in _resources(board, client):
            port = resource.get("NetworkSerialPort")
            if isinstance(port, dict) and port.get("port"):
                protocol = str(port.get("protocol", "rfc2217"))
                if protocol not in _URLS:
                    raise LeaseError(
                        f"the serial port of place {board.place} has the protocol {protocol!r}",
                        cure=f"export it as one of {', '.join(_URLS)}",
                        board=board.label,
                    )
                return _URLS[protocol].format(port["host"], port["port"])
        if deadline.expired:
            raise LeaseError(
                f"the place {board.place} has no NetworkSerialPort",
                cure="export its serial port, and match it with 'labgrid-client add-match'",
                board=board.label,
                operation="acquire",
            )
        time.sleep(_POLL_S)


def _resources(board: LabBoard, client: tuple[str, ...]) -> list[dict[str, Any]]:
    try:
        import yaml
    except ImportError as error:
        raise ConfigError("PyYAML, which labgrid needs, is not installed", cure=INSTALL) from error
    text = run_command((*client, "env"), board, "acquire", Deadline(COMMAND_TIMEOUT_S))
    try:
        # Other lines, about the configuration in use, may come first.
        (target,) = yaml.safe_load(text[text.index("targets:") :])["targets"].values()
        return [dict(resource) for resource in target["resources"]]
    except (yaml.YAMLError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise LeaseError(
            f"labgrid-client says nothing of the place {board.place} that can be understood",
            board=board.label,
            details=text,
        ) from error


def _client_command(board: LabBoard) -> tuple[str, ...]:
    beside = Path(sys.executable).with_name(CLIENT)
    program = shutil.which(CLIENT) or (str(beside) if beside.is_file() else "")
    if not program:
        raise ConfigError(f"{CLIENT} is not installed", cure=INSTALL, board=board.label)
    coordinator = ("-x", board.coordinator) if board.coordinator else ()
    return (program, *coordinator, "-p", board.place)


def _failure(board: LabBoard, error: LeaseError) -> LeaseError:
    """What labgrid says, as one of our errors."""
    last = (error.details.splitlines() or [error.message])[-1]
    reason = last.rpartition("Error: ")[2].strip()
    return LeaseError(
        f"labgrid: {reason}",
        cure="'labgrid-client places' and 'labgrid-client who' tell more",
        board=board.label,
        operation="acquire",
        elapsed_s=error.elapsed_s,
    )
