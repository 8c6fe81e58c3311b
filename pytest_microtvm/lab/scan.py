"""A lab file from what is plugged in: boards are known by the USB ids of their definitions."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from pytest_microtvm.boards import Board
from pytest_microtvm.lab.file import LabBoard
from pytest_microtvm.lab.usb import UsbPort

_BY_PROBE = ("openocd", "pyocd", "st-flash", "west")
"""Flash methods to which a probe is known by its USB serial number."""
_SEGGER = "1366:"
_LINKS = (Path("/dev/serial/by-id"), Path("/dev/serial/by-path"))


@dataclass(frozen=True)
class Found:
    """A board that is plugged in.

    Attributes:
        board: Its entry; of the first kind that it may be.
        kinds: What it may be: boards with the same probe have the same USB ids.
        other_ports: Serial ports of the same USB device, which may be those of the link as well.
    """

    board: LabBoard
    kinds: tuple[str, ...]
    other_ports: tuple[str, ...]


def find_boards(
    ports: Iterable[UsbPort],
    definitions: Mapping[str, Board],
    known: Iterable[LabBoard],
    kinds: Iterable[str] = (),
) -> Iterator[Found]:
    """The boards that are plugged in and that the lab does not have yet.

    Args:
        ports: The serial ports that are plugged in.
        definitions: The known board definitions, by name.
        known: The boards of the lab.
        kinds: What boards to look for; none means every one that has USB ids.
    """
    known = tuple(known)
    taken = {os.path.realpath(board.port) for board in known if board.port}
    taken |= {board.usb.lower() for board in known if board.usb}
    names = {board.name for board in known}
    wanted = set(kinds) or set(definitions)
    for (usb_id, serial), group in groupby(
        sorted(ports, key=lambda port: (port.usb_id, port.serial, port.device)),
        key=lambda port: (port.usb_id, port.serial),
    ):
        devices = [port.device for port in group]
        # Without a serial number nothing says that two ports are of one device.
        for first, *others in [devices] if serial else [[device] for device in devices]:
            possible = tuple(
                name
                for name, definition in definitions.items()
                if name in wanted
                and definition.flash is not None
                and usb_id in map(str.lower, definition.flash.usb_ids)
            )
            identity = f"{usb_id}:{serial}".lower()
            if not possible or identity in taken or taken & set(map(os.path.realpath, devices)):
                continue
            name = _new_name(possible[0], names)
            names.add(name)
            by_usb = bool(serial) and not others
            yield Found(
                LabBoard(
                    name=name,
                    kind=possible[0],
                    port="" if by_usb else lasting_path(first),
                    usb=identity if by_usb else "",
                    probe=_probe(definitions[possible[0]], usb_id, serial),
                ),
                possible,
                tuple(map(lasting_path, others)),
            )


def lasting_path(device: str, folders: Iterable[Path] = _LINKS) -> str:
    """A path of a device that stays when it is plugged in again, if udev gives it one."""
    for folder in folders:
        if folder.is_dir():
            for link in sorted(folder.iterdir()):
                if os.path.realpath(link) == os.path.realpath(device):
                    return str(link)
    return device


def entry_text(found: Found) -> str:
    """The entry of a board in a lab file.

    One that may be of several kinds is commented out: a wrong guess would be flashed.
    """
    board = found.board
    lines = ["[[board]]", f'name = "{board.name}"', f'kind = "{board.kind}"']
    lines += [f'port = "{board.port}"'] if board.port else [f'usb = "{board.usb}"']
    if board.probe:
        lines.append(f'probe = "{board.probe}"')
    if found.other_ports:
        others = " or ".join(found.other_ports)
        lines.insert(0, f"# If it does not answer, its port may be {others}.")
    if len(found.kinds) > 1:
        lines = [f"# {line}".replace("# # ", "# ") for line in lines]
        lines.insert(0, f"# One of {', '.join(found.kinds)}: write which, and uncomment it.")
    return "\n".join(lines) + "\n"


def _new_name(kind: str, names: set[str]) -> str:
    if kind not in names:
        return kind
    return next(name for n in range(2, 1000) if (name := f"{kind}-{n}") not in names)


def _probe(definition: Board, usb_id: str, serial: str) -> str:
    if definition.flash is None or definition.flash.method not in _BY_PROBE:
        return ""
    # J-Links pad theirs with zeros that their tools do not show.
    return serial.lstrip("0") if usb_id.startswith(_SEGGER) else serial
