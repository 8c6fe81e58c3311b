"""The link to a board of another machine: packets as they are, over TCP.

Its server, `microtvm serve`, has the device and checks what it answers; to this end nothing but
the stream is left to look at.
"""

from __future__ import annotations

import contextlib
import select
import socket
from collections.abc import Callable

from pytest_microtvm.deadline import Deadline
from pytest_microtvm.errors import ProtocolError, TransportClosed, TransportTimeout
from pytest_microtvm.session.tracker import RemoteBoard
from pytest_microtvm.session.wire.rpc import PacketSplitter, greeting, parse_greeting

_SLICE_S = 0.25
_SERVER_GRACE_S = 5.0
"""The board's server has the same deadline for an answer, and knows better what is wrong."""


class RemoteLink:
    """A session with a board that a tracker gave.

    Args:
        board: Where it is.
        keep_waiting: Called between waits; may raise to end them.
    """

    def __init__(self, board: RemoteBoard, keep_waiting: Callable[[], None]) -> None:
        self._board = board
        self._keep_waiting = keep_waiting
        self._splitter = PacketSplitter()
        self._socket: socket.socket | None = None

    def start(self, deadline: Deadline) -> None:
        """Connect, and be let in.

        Raises:
            TransportError: The board's server is gone, or serves somebody else.
            ProtocolError: Another program is there.
        """
        where = f"{self._board.host}:{self._board.port}"
        try:
            self._socket = socket.create_connection(
                (self._board.host, self._board.port), max(deadline.remaining_s, 0.001)
            )
            self._socket.sendall(greeting(f"client:{self._board.key}"))
            received = b""
            while (answer := parse_greeting(received)) is None:
                received += self._receive(deadline)
        except OSError as error:
            raise TransportClosed(
                f"the board's server at {where} is not to be reached: {error.strerror or error}",
                cure="look at what microtvm serve says there, and try again",
                operation="open",
            ) from error
        except ProtocolError as error:
            raise ProtocolError(
                f"the board's server at {where} did not let this client in",
                cure="its offer may have been withdrawn meanwhile: try again",
                operation="open",
            ) from error
        if answer[1]:
            raise ProtocolError(f"the program at {where} is no TVM RPC server", operation="open")
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def exchange(self, packet: bytes, timeout_s: float) -> bytes:
        """Send one RPC packet and wait for its answer.

        Raises:
            TransportError: No answer came.
        """
        assert self._socket is not None
        deadline = Deadline(timeout_s + _SERVER_GRACE_S)
        try:
            self._socket.settimeout(deadline.timeout_s)
            self._socket.sendall(packet)
            while True:
                packets = self._splitter.feed(self._receive(deadline))
                if packets:
                    return packets[0]
        except OSError as error:
            raise self._gone(error, "call") from error

    def poll(self) -> None:
        """Notice the end of a board that is asked nothing.

        Raises:
            TransportClosed: Its server closed the connection.
        """
        assert self._socket is not None
        if select.select([self._socket], [], [], 0.0)[0]:
            raise self._gone(ConnectionResetError("it closed the connection"), "wait")

    def close(self) -> None:
        """End the connection. Never raises."""
        if self._socket is not None:
            with contextlib.suppress(OSError):
                self._socket.close()

    def _receive(self, deadline: Deadline) -> bytes:
        assert self._socket is not None
        while not select.select([self._socket], [], [], deadline.at_most(_SLICE_S))[0]:
            self._keep_waiting()
            if deadline.expired:
                raise TransportTimeout(
                    f"the board's server at {self._board.host}:{self._board.port} did not answer",
                    cure="look at what microtvm serve says there",
                    elapsed_s=deadline.elapsed_s,
                )
        data = self._socket.recv(1 << 16)
        if not data:
            raise ConnectionResetError("it closed the connection")
        return data

    def _gone(self, error: OSError, operation: str) -> TransportClosed:
        return TransportClosed(
            f"the board's server at {self._board.host}:{self._board.port} is gone: "
            f"{error.strerror or error}",
            cure="look at what microtvm serve says there",
            operation=operation,
        )
