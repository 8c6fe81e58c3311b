"""Resets a board by its probe's gdb server, without gdb, whose start takes longer than all else.

Source: "Remote Serial Protocol" in GDB's manual. A packet is `$body#checksum`, answered by `+`.
"""

from __future__ import annotations

import os
import socket
import time

from .errors import ProjectError

_RESET = "reset"
_READ_BYTES = 4096
_CHECKSUM_DIGITS = 2


class GdbRemoteError(Exception):
    """The gdb server does not do what it is asked; the text says how."""


def reset_by_gdb_server(address: str, timeout_s: float) -> None:
    """Tell a gdb server to reset its board, and let the board run.

    Args:
        address: "host:port", or the path of a socket.
        timeout_s: For all of it.

    Raises:
        ProjectError: Nobody answers there, or the reset is refused.
    """
    try:
        with _connect(address, timeout_s) as connection:
            server = _GdbServer(connection, time.monotonic() + timeout_s)
            has_processes = b"multiprocess+" in server.ask("qSupported:multiprocess+")
            server.command(f"qRcmd,{_RESET.encode().hex()}")
            server.command("D;1" if has_processes else "D")
    except GdbRemoteError as exc:
        raise ProjectError(
            f"the gdb server at {address} does not reset the board: {exc}",
            cure="does the board have power? else name a reset command in the lab",
        ) from exc
    except (OSError, ValueError) as exc:
        raise ProjectError(
            f"no gdb server answers at {address}: {exc}",
            cure="start the probe's gdb server, or correct the probe of the lab",
        ) from exc


def _connect(address: str, timeout_s: float) -> socket.socket:
    if not os.path.isabs(address):  # noqa: PTH117 - it may be no path
        host, _, port = address.rpartition(":")
        tcp = socket.create_connection((host or "localhost", int(port)), timeout_s)
        # Else a packet right after an acknowledgement waits for the server's own, some 40 ms.
        tcp.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return tcp
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(timeout_s)
    try:
        connection.connect(address)
    except OSError:
        connection.close()
        raise
    return connection


class _GdbServer:
    """Packets to and from a gdb server."""

    def __init__(self, connection: socket.socket, end_time: float) -> None:
        self._connection = connection
        self._end_time = end_time
        self._received = b""

    def command(self, body: str) -> None:
        """Send a command and wait for its OK.

        Raises:
            GdbRemoteError: Another answer, or none.
        """
        answer = self.ask(body)
        while answer[:1] == b"O" and answer != b"OK":  # what the monitor prints
            answer = self._receive()
        if answer != b"OK":
            raise GdbRemoteError(f"it answers {answer.decode('ascii', 'replace')!r} to {body}")

    def ask(self, body: str) -> bytes:
        """Send a packet and wait for its answer.

        Raises:
            GdbRemoteError: The server does not answer.
        """
        self._connection.sendall(f"${body}#{sum(body.encode()) % 256:02x}".encode())
        while (answer := self._receive())[:1] in (b"S", b"T"):  # that the chip has stopped
            pass
        return answer

    def _receive(self) -> bytes:
        """The body of the next packet, acknowledged.

        Raises:
            GdbRemoteError: The server hangs up, or does not answer in time.
        """
        while True:
            body, mark, rest = self._received.partition(b"$")[2].partition(b"#")
            if mark and len(rest) >= _CHECKSUM_DIGITS:
                self._received = rest[_CHECKSUM_DIGITS:]
                self._connection.sendall(b"+")
                return body
            self._connection.settimeout(max(0.001, self._end_time - time.monotonic()))
            try:
                data = self._connection.recv(_READ_BYTES)
            except TimeoutError:
                raise GdbRemoteError("it does not answer") from None
            except ConnectionResetError:
                data = b""
            if not data:
                raise GdbRemoteError("it broke the connection off")
            self._received += data
