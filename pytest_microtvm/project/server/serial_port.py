"""Serial ports of real boards: found, held by one process alone, and read without a wait too long.

What is called a port here is a device ("/dev/ttyACM0"), or a URL of pyserial ("socket://host:port",
"rfc2217://host:port") for a port of another machine.
"""

from __future__ import annotations

import contextlib
import errno
import os
import select
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .errors import (
    IoTimeoutError,
    OptionError,
    ProjectError,
    ServerError,
    TransportClosedError,
)
from .options import words_of

if TYPE_CHECKING:
    import serial

FOUND_IN_S = 3.0
"""How long a port may take to come back: USB devices are away for a moment when they are reset."""
RESET_PULSE_S = 0.1

_POLL_S = 0.05
_IS_AWAY = frozenset((errno.ENOENT, errno.ENODEV, errno.ENXIO, errno.EIO))
_IS_BUSY = frozenset((errno.EBUSY, errno.EAGAIN))


class PortBusyError(ServerError):
    """Another process has the port."""

    def __init__(self, port: str, holder: str) -> None:
        message = f"the port {port} is in use{holder and f' by {holder}'}"
        cure = "end it, or name another board of the lab"
        super().__init__(data={"message": message, "cure": cure})


def find_usb_port(ids: Sequence[str]) -> str:
    """The port of the one board plugged in that has one of these USB ids.

    Args:
        ids: Each "vid:pid" or "vid:pid:serial number", the first two hexadecimal.

    Raises:
        OptionError: An id is not of that form.
        ProjectError: No port has one of them, or several do.
    """
    from serial.tools import list_ports

    wanted = [_parse_usb_id(text) for text in ids]
    plugged_in = sorted(port for port in list_ports.comports() if port.vid is not None)
    found = [
        port
        for port in plugged_in
        if any(
            (vid, pid) == (port.vid, port.pid) and serial_number in ("", port.serial_number)
            for vid, pid, serial_number in wanted
        )
    ]
    if len(found) == 1:
        return str(found[0].device)
    shown = ", ".join(
        f"{port.device} ({port.vid:04x}:{port.pid:04x}:{port.serial_number or ''})"
        for port in (found or plugged_in)
    )
    if found:
        raise ProjectError(
            f"several boards are plugged in: {shown}",
            cure="add the serial number to the USB id, or name the port",
        )
    raise ProjectError(
        f"no board with the USB id {' or '.join(ids)} is plugged in",
        cure=f"plug it in; plugged in are {shown or 'no USB ports at all'}",
    )


def chosen_serial_number(value: Any) -> str:
    """Of the serial numbers that an option lists, the first whose board is plugged in.

    Args:
        value: A list, or one text with spaces between them.

    Returns:
        The first of all where none is plugged in, so that an error names it; empty if there are
        none.
    """
    numbers = words_of(value)
    if len(numbers) > 1:
        from serial.tools import list_ports

        plugged_in = {port.serial_number for port in list_ports.comports()}
        numbers.sort(key=lambda number: number not in plugged_in)
    return numbers[0] if numbers else ""


def _parse_usb_id(text: str) -> tuple[int, int, str]:
    vid, _, rest = text.partition(":")
    pid, _, serial_number = rest.partition(":")
    try:
        return int(vid, 16), int(pid, 16), serial_number
    except ValueError:
        raise OptionError(
            f"{text!r} is no USB id", cure='write "vid:pid" or "vid:pid:serial number"'
        ) from None


class SerialTransport:
    """An open serial port, held by this process alone.

    Args:
        port: A device or URL.
        baud: Bits per second.
        reset_line: "dtr" or "rts" for a board that is reset by that modem line; else empty.

    Raises:
        PortBusyError: Another process has it.
        ProjectError: It is not there, also not after `FOUND_IN_S`, or cannot be opened.
    """

    def __init__(self, port: str, baud: int, reset_line: str = "") -> None:
        self._port = port
        self._is_device = "://" not in port
        self._closed = False
        self._serial = self._open(baud, reset_line)
        self._fd = self._file_descriptor()

    def read(self, size: int, timeout_s: float | None) -> bytes:
        """Read 1 to `size` bytes.

        Raises:
            IoTimeoutError: Nothing came in `timeout_s` seconds.
            TransportClosedError: The port is gone.
        """
        if self._closed:
            raise self._gone("it was closed")
        if self._fd is None:
            return self._read_buffered(size, timeout_s)
        end_time = None if timeout_s is None else time.monotonic() + timeout_s
        while True:
            self._await(select.POLLIN, end_time)
            try:
                data = os.read(self._fd, size)
            except BlockingIOError:
                continue
            except OSError as exc:
                raise self._gone(exc.strerror) from exc
            if not data:
                raise self._gone("the far end closed it")
            return data

    def write(self, data: bytes, timeout_s: float | None) -> None:
        """Write all of `data`.

        Raises:
            IoTimeoutError: Not all was taken in `timeout_s` seconds.
            TransportClosedError: The port is gone.
        """
        if self._closed:
            raise self._gone("it was closed")
        if self._fd is None:
            self._write_buffered(data)
            return
        end_time = None if timeout_s is None else time.monotonic() + timeout_s
        remaining = memoryview(data)
        while remaining:
            try:
                self._await(select.POLLOUT, end_time)
                remaining = remaining[os.write(self._fd, remaining) :]
            except BlockingIOError:
                continue
            except IoTimeoutError:
                taken = len(data) - len(remaining)
                message = f"the port {self._port} took {taken} of {len(data)} bytes"
                raise IoTimeoutError(data={"message": message}) from None
            except OSError as exc:
                raise self._gone(exc.strerror) from exc

    def reset_board(self, line: str) -> None:
        """Reset the board by a modem line, "dtr" or "rts"."""
        try:
            for level in (True, False):
                setattr(self._serial, line, level)
                time.sleep(RESET_PULSE_S if level else 0.0)
            self._serial.reset_input_buffer()
        except OSError as exc:  # pyserial's own exception is one, too
            raise self._gone(str(exc)) from exc

    def close(self) -> None:
        """Let go of the port; may be called again."""
        self._closed = True
        with contextlib.suppress(OSError):
            self._serial.close()

    def _open(self, baud: int, reset_line: str) -> serial.Serial:
        import serial

        end_time = time.monotonic() + FOUND_IN_S
        while True:
            try:
                port = serial.serial_for_url(self._port, baud, do_not_open=True, timeout=_POLL_S)
                if self._is_device:
                    port.exclusive = True
                if (
                    reset_line
                ):  # else both are set, and the board is held in reset or its boot loader
                    port.dtr = port.rts = False
                port.open()
                break
            except ValueError as exc:
                raise OptionError(f"the port {self._port} cannot be used: {exc}") from exc
            except OSError as exc:
                self._check_again(exc, end_time)
            time.sleep(_POLL_S)
        holder = holder_of(self._port) if self._is_device else ""
        if holder:
            port.close()
            raise PortBusyError(self._port, holder)
        return port

    def _check_again(self, exc: OSError, end_time: float) -> None:
        """Return if opening the port is worth another try."""
        if exc.errno in _IS_BUSY:
            raise PortBusyError(self._port, holder_of(self._port)) from exc
        if self._is_device and (exc.errno in _IS_AWAY or not Path(self._port).exists()):
            if time.monotonic() < end_time:
                return
            raise ProjectError(
                f"the port {self._port} is not there", cure="plug the board in, or name its port"
            ) from exc
        cure = ""
        if exc.errno == errno.EACCES:
            cure = "let your user open it, on Debian by: sudo adduser $USER dialout"
        elif not self._is_device:
            cure = "is the machine up, and does its server of the port run?"
        raise ProjectError(
            f"the port {self._port} cannot be opened: {_reason(exc)}", cure=cure
        ) from exc

    def _file_descriptor(self) -> int | None:
        """The descriptor to poll; None for a port that pyserial reads by a thread of its own."""
        try:
            fd: int = self._serial.fileno()
        except (OSError, AttributeError):  # io.UnsupportedOperation is an OSError
            return None
        os.set_blocking(fd, False)
        return fd

    def _await(self, event: int, end_time: float | None) -> None:
        assert self._fd is not None
        poll = select.poll()
        poll.register(self._fd, event)
        wait_ms = None if end_time is None else max(0.0, end_time - time.monotonic()) * 1000.0
        if not poll.poll(wait_ms):
            raise IoTimeoutError()

    def _read_buffered(self, size: int, timeout_s: float | None) -> bytes:
        # By short waits: to change the time-out of an open RFC 2217 port negotiates all settings.
        end_time = None if timeout_s is None else time.monotonic() + timeout_s
        try:
            while True:
                data: bytes = self._serial.read(1)
                if data:
                    more = min(self._serial.in_waiting, size - 1)
                    return data + (self._serial.read(more) if more else b"")
                if end_time is not None and time.monotonic() >= end_time:
                    raise IoTimeoutError()
        except OSError as exc:
            raise self._gone(str(exc)) from exc

    def _write_buffered(self, data: bytes) -> None:
        """Write all; pyserial has a limit of its own, of 5 s."""
        try:
            self._serial.write(data)
        except OSError as exc:
            raise self._gone(str(exc)) from exc

    def _gone(self, reason: str | None) -> TransportClosedError:
        self._closed = True
        message = f"the port {self._port} is gone: {reason or 'no reason given'}"
        return TransportClosedError(
            data={"message": message, "cure": "was the board unplugged, or did it lose power?"}
        )


def _reason(exc: OSError) -> str:
    """What went wrong: pyserial repeats the port and the whole of the error that it met."""
    return os.strerror(exc.errno) if exc.errno else str(exc)


def holder_of(port: str) -> str:
    """The other process that has a device open, as "pid (command)"; empty when none is found.

    Only processes of this user are seen, or all by root.
    """
    try:
        device, own = os.stat(port), str(os.getpid())  # noqa: PTH116 - as below
    except OSError:
        return ""
    for name in os.listdir("/proc"):  # noqa: PTH208 - whenever a port is opened, through all files
        if not name.isdecimal() or name == own:
            continue
        folder = f"/proc/{name}/fd"
        with contextlib.suppress(OSError):  # it ended meanwhile, or belongs to somebody else
            if any(_is_open(f"{folder}/{fd}", device) for fd in os.listdir(folder)):  # noqa: PTH208
                return f"process {name} ({_command(Path('/proc', name))})"
    return ""


def _is_open(descriptor: str, device: os.stat_result) -> bool:
    """Whether it is this device, and not one of that name in another container."""
    try:
        return os.path.samestat(os.stat(descriptor), device)  # noqa: PTH116 - see its caller
    except OSError:
        return False


def _command(process: Path) -> str:
    words = (process / "cmdline").read_bytes().split(b"\0")
    return b" ".join(words).decode("utf-8", "replace").strip()[:200]
