"""The text that firmware without an RPC server writes to its serial port, line by line."""

from __future__ import annotations

from types import TracebackType

from pytest_microtvm.deadline import Deadline
from pytest_microtvm.errors import TransportClosed
from pytest_microtvm.session.transport import Transport

_OPEN_TIMEOUT_S = 30.0
_WRITE_TIMEOUT_S = 10.0
_READ_BYTES = 4096


class Console:
    """An open device that is talked to in text; use it as a context manager.

    Args:
        transport: The device's, yet to be opened.
    """

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._received = b""
        self._is_closed = False

    def __enter__(self) -> Console:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        self.close()

    def open(self) -> None:
        """Start or connect the device.

        Raises:
            MicroTVMError: It cannot be had.
        """
        try:
            self._transport.open(Deadline(_OPEN_TIMEOUT_S))
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Let go of the device. Never raises, may be called again."""
        self._transport.close()

    def read_line(self, timeout_s: float = 10.0) -> str | None:
        """Read the next line, without its end.

        Args:
            timeout_s: How long to wait for the whole of it, in seconds.

        Returns:
            The line; None when the device has closed its end and no line is left.

        Raises:
            TransportTimeout: It did not come in time.
        """
        deadline = Deadline(timeout_s)
        while b"\n" not in self._received:
            if self._is_closed:
                rest, self._received = self._received, b""
                return _text(rest) if rest else None
            try:
                self._received += self._transport.read(_READ_BYTES, deadline)
            except TransportClosed:
                self._is_closed = True
        line, _, self._received = self._received.partition(b"\n")
        return _text(line)

    def write(self, text: str) -> None:
        """Write text as it is, without an end of line.

        Raises:
            MicroTVMError: The device did not take it.
        """
        self._transport.write(text.encode(), Deadline(_WRITE_TIMEOUT_S))


def _text(line: bytes) -> str:
    return line.rstrip(b"\r").decode("utf-8", "replace")
