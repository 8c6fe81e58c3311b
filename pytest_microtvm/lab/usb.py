"""The serial ports of USB devices."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class UsbPort:
    """A serial port that is plugged in.

    Attributes:
        device: Its path.
        usb_id: "vid:pid", in lower case.
        serial: The device's serial number; empty when it has none.
        description: What the device says it is.
    """

    device: str
    usb_id: str
    serial: str
    description: str


def usb_ports() -> Iterator[UsbPort]:
    """The serial ports of USB devices, by path."""
    from serial.tools import list_ports

    for port in sorted(list_ports.comports(), key=lambda port: port.device):
        if port.vid is not None and port.pid is not None:
            yield UsbPort(
                device=port.device,
                usb_id=f"{port.vid:04x}:{port.pid:04x}",
                serial=port.serial_number or "",
                description=port.description or "",
            )


def find_usb_ports(usb: str) -> list[UsbPort]:
    """The ports that "vid:pid" or "vid:pid:serial" means; a device may have several."""
    vid, pid, *serial = usb.split(":", 2)
    usb_id = f"{vid}:{pid}".lower()
    return [
        port
        for port in usb_ports()
        if port.usb_id == usb_id and (not serial or port.serial.lower() == serial[0].lower())
    ]
