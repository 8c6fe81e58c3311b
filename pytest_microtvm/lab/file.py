"""The lab file, `microtvm-lab.toml`: the boards that are here.

    [[board]]
    name = "left"                # what messages call it
    kind = "nucleo_f746zg"       # which definition it follows
    port = "/dev/ttyACM0"        # or usb = "0483:374b:SERIAL", or place = "labgrid's name"

The keys are the fields of `LabBoard`; docs/lab.md explains them. A key that is not one of them is
refused.
"""

from __future__ import annotations

import dataclasses
import difflib
import os
import re
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pytest_microtvm.boards import Board
from pytest_microtvm.errors import ConfigError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib  # type: ignore[import-not-found, unused-ignore]

LAB_FILE = "microtvm-lab.toml"
LAB_VARIABLE = "MICROTVM_LAB"

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*\Z")
_USB = re.compile(r"[0-9A-Fa-f]{4}:[0-9A-Fa-f]{4}(:[^:\s]+)?\Z")
_PORT = r"0*(?:6553[0-5]|655[0-2]\d|65[0-4]\d\d|6[0-4]\d{3}|[1-5]\d{4}|[1-9]\d{0,3})"
_URL = re.compile(rf"(socket|rfc2217)://[^/:]+:{_PORT}(\?.*)?\Z")
_COORDINATOR = re.compile(rf"[^\s:/]+:{_PORT}\Z")
_WAYS = ("port", "usb", "place")


@dataclasses.dataclass(frozen=True)
class LabBoard:
    """One board of the lab.

    Attributes:
        name: What messages call it; unique in the lab.
        kind: The board definition that it follows.
        port: Its serial port: a device, or a URL (`socket://HOST:PORT`, `rfc2217://HOST:PORT`).
        usb: In place of `port`: "vid:pid" or "vid:pid:serial number" of the port's USB device.
        place: In place of `port`: the name of a labgrid place.
        coordinator: labgrid's coordinator, "host:port", for `place`.
        probe: The debug probe, as the flash method understands it.
        flash: The flash method, in place of the definition's.
        flash_command: For the flash method `command`, in place of the definition's.
        reset: A command that resets the board.
        power_off: A command that takes its power away.
        power_on: A command that gives it back.
        notes: For people.
    """

    name: str
    kind: str
    port: str = ""
    usb: str = ""
    place: str = ""
    coordinator: str = ""
    probe: str = ""
    flash: str = ""
    flash_command: tuple[str, ...] = ()
    reset: tuple[str, ...] = ()
    power_off: tuple[str, ...] = ()
    power_on: tuple[str, ...] = ()
    notes: str = ""

    @property
    def label(self) -> str:
        """What errors call it: "nucleo_f746zg (left)"."""
        return f"{self.kind} ({self.name})"

    @property
    def project_options(self) -> dict[str, object]:
        """What tells a platform that this board is meant: its project options."""
        values: dict[str, object] = {
            "port": self.port,
            "usb": self.usb,
            "probe": self.probe,
            "flash_method": self.flash,
            "flash_command": list(self.flash_command),
            "reset_command": list(self.reset),
        }
        return {name: value for name, value in values.items() if value}


_FIELDS = {field.name: field for field in dataclasses.fields(LabBoard)}
_COMMANDS = ("flash_command", "reset", "power_off", "power_on")


def find_lab_file(
    option: Path | None,
    configured: Path | None,
    directory: Path,
    environment: Mapping[str, str] = os.environ,
) -> Path | None:
    """The lab file of a run.

    Args:
        option: What the command line names; nothing else counts then.
        configured: What an ini key names; the environment's `MICROTVM_LAB` goes before it.
        directory: Where `microtvm-lab.toml` is looked for when nobody names a file.
        environment: The environment.

    Returns:
        Its path; None when there is none and none was named.
    """
    named = environment.get(LAB_VARIABLE)
    if option is not None:
        return option
    if named:
        return directory / named
    if configured is not None:
        return configured
    found = directory / LAB_FILE
    return found if found.is_file() else None


def load_lab(path: Path, kinds: Mapping[str, Board] | None = None) -> tuple[LabBoard, ...]:
    """Read and check a lab file. An empty one is a lab without boards.

    Args:
        path: The file.
        kinds: The known board definitions by name; None to leave kinds unchecked.

    Returns:
        The boards, in the order of the file.

    Raises:
        ConfigError: Names the file, the entry and the key in trouble.
    """
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as exc:
        raise ConfigError(
            f"cannot read the lab file {path}: {exc.strerror or exc}",
            cure="'microtvm lab scan' writes one",
        ) from exc
    except (ValueError, RecursionError) as exc:  # TOML or UTF-8
        raise ConfigError(f"{path}: not a TOML file: {exc}") from exc
    for key in document:
        if key != "board":
            raise ConfigError(
                f"{path}: unknown key {key}", cure="boards are tables with the heading [[board]]"
            )
    tables = document.get("board", [])
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        raise ConfigError(f"{path}: board must be a list of tables", cure="write [[board]]")
    boards = tuple(
        _read_board(table, f"{path}: {_entry_name(index, table)}", kinds)
        for index, table in enumerate(tables, 1)
    )
    _check_unique(boards, path)
    return boards


def _entry_name(index: int, table: Mapping[str, Any]) -> str:
    """How an error names an entry: by its place in the file, and by its name if it has one."""
    name = table.get("name")
    return f"board {index}" + (f" ({name})" if isinstance(name, str) and name else "")


def _read_board(
    table: Mapping[str, Any], where: str, kinds: Mapping[str, Board] | None
) -> LabBoard:
    for key in table:
        if key not in _FIELDS:
            raise ConfigError(
                f"{where}: unknown key {key}{_did_you_mean(key, _FIELDS)}",
                cure=f"the keys are {', '.join(_FIELDS)}",
            )
    for key in ("name", "kind"):
        if key not in table:
            raise ConfigError(f"{where}: key {key} is missing")
    board = LabBoard(**{key: _read_value(key, value, where) for key, value in table.items()})
    _check_board(board, where)
    if kinds is not None and board.kind not in kinds:
        raise ConfigError(
            f"{where}: kind: there is no board definition {board.kind!r}"
            f"{_did_you_mean(board.kind, kinds)}",
            cure="pytest --microtvm-list-boards tells the names",
        )
    if kinds is not None and kinds[board.kind].flash is None:
        raise ConfigError(
            f"{where}: kind: the definition of {board.kind} does not say how a real one is flashed",
            cure="give it a table [flash], see docs/porting.md",
        )
    return board


def _read_value(key: str, value: Any, where: str) -> Any:
    if key not in _COMMANDS:
        if not isinstance(value, str):
            raise ConfigError(f"{where}: {key} must be a string, not {value!r}")
        return value
    if not isinstance(value, list) or not all(isinstance(word, str) for word in value) or not value:
        raise ConfigError(
            f"{where}: {key} must be a list of strings, not {value!r}",
            cure=f'write {key} = ["program", "argument"]',
        )
    return tuple(value)


def _check_board(board: LabBoard, where: str) -> None:
    """Check what types cannot say."""
    if not _NAME.match(board.name):
        raise ConfigError(
            f"{where}: name must be letters, digits, '_', '.' and '-', not {board.name!r}"
        )
    ways = [way for way in _WAYS if getattr(board, way)]
    if len(ways) != 1:
        trouble = f"{' and '.join(ways)} exclude each other" if ways else "there is no way to it"
        raise ConfigError(f"{where}: {trouble}", cure=f"give one of {', '.join(_WAYS)}")
    if board.usb and not _USB.match(board.usb):
        raise ConfigError(
            f"{where}: usb must be 'vid:pid' or 'vid:pid:serial' in hexadecimal, not {board.usb!r}"
        )
    if "://" in board.port and not _URL.match(board.port):
        raise ConfigError(
            f"{where}: port must be a device, socket://HOST:PORT or rfc2217://HOST:PORT, "
            f"not {board.port!r}"
        )
    if bool(board.power_off) != bool(board.power_on):
        missing = "power_on" if board.power_off else "power_off"
        raise ConfigError(f"{where}: key {missing} is missing", cure="give both or neither")
    if board.coordinator and not board.place:
        raise ConfigError(f"{where}: coordinator goes with place only")
    if board.coordinator and not _COORDINATOR.match(board.coordinator):
        raise ConfigError(f"{where}: coordinator must be 'host:port', not {board.coordinator!r}")


def _check_unique(boards: Iterable[LabBoard], path: Path) -> None:
    """No two entries may be one board."""
    for keys in (("name",), ("port",), ("usb",), ("coordinator", "place")):
        seen: dict[tuple[str, ...], int] = {}
        for index, board in enumerate(boards, 1):
            value = tuple(getattr(board, key) for key in keys)
            if value[-1] and value in seen:
                raise ConfigError(
                    f"{path}: board {index} ({board.name}): {keys[-1]} {value[-1]!r} is that of "
                    f"board {seen[value]} already"
                )
            seen.setdefault(value, index)


def _did_you_mean(word: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(word, list(known), 1)
    return f"; did you mean {close[0]}?" if close else ""
