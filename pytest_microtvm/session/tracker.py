"""TVM's RPC tracker, which hands boards to the programs that ask for one of a kind.

    magic: i32, of both sides | then messages: length: i32 | JSON

Each message is a list that begins with a code, and is answered by one message. A board's server
keeps its connection for as long as the board is there: when it ends, the tracker takes back what
was offered over it. Source: python/tvm/rpc/tracker.py of apache-tvm 0.27.
"""

from __future__ import annotations

import enum
import json
import socket
import struct
import time
from dataclasses import dataclass
from typing import Any

from pytest_microtvm.deadline import Deadline
from pytest_microtvm.errors import LeaseError, ProtocolError, TransportClosed

ANSWER_TIMEOUT_S = 10.0
"""For all that the tracker answers at once."""
REGISTER_S = 2.0
"""How long a server may be away between two clients: it connects anew for each."""
_LOOK_AGAIN_S = 0.1
_MAGIC = 0x2F271
_WORD = struct.Struct("<i")
_MAX_MESSAGE_BYTES = 1 << 20
_USER, _PRIORITY = "", 1


class _Code(enum.IntEnum):
    SUCCESS = 0
    PUT = 3
    REQUEST = 4
    UPDATE_INFO = 5
    SUMMARY = 6
    GET_PENDING_MATCHKEYS = 7


class TrackerGone(TransportClosed):
    """No tracker answers, or not any more."""


@dataclass(frozen=True)
class RemoteBoard:
    """Where a board is reached, as a tracker says.

    Attributes:
        host: The machine.
        port: Its port for this board.
        key: What its server lets one client in by.
    """

    host: str
    port: int
    key: str


class Tracker:
    """A connection to a tracker; use it as a context manager, or close it.

    Args:
        host: The tracker's machine.
        port: Its port.

    Raises:
        TransportError: No tracker answers there.
    """

    def __init__(self, host: str, port: int) -> None:
        self.name = f"{host}:{port}"
        try:
            self._socket = socket.create_connection((host, port), ANSWER_TIMEOUT_S)
        except OSError as error:
            raise self._missing(error.strerror or str(error)) from error
        try:
            self._socket.sendall(_WORD.pack(_MAGIC))
            (magic,) = _WORD.unpack(self._receive(_WORD.size))
        except OSError as error:
            self.close()
            raise self._missing(error.strerror or str(error)) from error
        if magic != _MAGIC:
            self.close()
            raise self._missing("another program is there")

    def __enter__(self) -> Tracker:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    def close(self) -> None:
        """End the connection, and with it what was offered over it."""
        self._socket.close()

    @property
    def local_host(self) -> str:
        """The address of this machine that the tracker sees, and gives to clients."""
        host: str = self._socket.getsockname()[0]
        return host

    def register(self, key: str, port: int = 0) -> None:
        """Say that there is a board, though none may be free yet.

        Args:
            key: What clients ask for.
            port: Where it is; 0 while that is not known.

        Raises:
            TransportError: The tracker is gone.
        """
        self._ask(_Code.UPDATE_INFO, {"key": f"server:{key}", "addr": [None, port]})

    def offer(self, key: str, board: RemoteBoard) -> None:
        """Offer a board of this machine to one client.

        Args:
            key: What clients ask for.
            board: Where it is.

        Raises:
            TransportError: The tracker is gone.
        """
        self.register(key, board.port)
        self._ask(_Code.PUT, key, [board.port, board.key], None)

    def is_pending(self, board: RemoteBoard) -> bool:
        """Whether a board that was offered was given to nobody yet.

        Raises:
            TransportError: The tracker is gone.
        """
        return board.key in self._ask(_Code.GET_PENDING_MATCHKEYS)

    def request(self, key: str, deadline: Deadline) -> RemoteBoard:
        """Wait for a board.

        Args:
            key: The kind of it.
            deadline: For one that is free.

        Raises:
            LeaseError: No board is offered by this key, or none got free in time.
            TransportError: The tracker is gone.
        """
        grace = Deadline(deadline.at_most(REGISTER_S))
        while (count := (offered := self._offered()).count(f"server:{key}")) == 0:
            if grace.expired:
                break
            time.sleep(_LOOK_AGAIN_S)
        if count == 0:
            kinds = sorted({each.partition(":")[2] for each in offered})
            raise LeaseError(
                f"no board is offered as {key!r} by the RPC tracker at {self.name}, which has "
                f"{', '.join(kinds) or 'none at all'}",
                cure=f"start microtvm serve PROJECT_DIR --tracker {self.name} --key {key} where "
                "the board is",
            )
        try:
            answer = self._ask(_Code.REQUEST, key, _USER, _PRIORITY, deadline=deadline)
        except TimeoutError:
            whose = "the board" if count == 1 else f"all {count} boards"
            raise LeaseError(
                f"{whose} offered as {key!r} by the RPC tracker at {self.name} served other "
                f"clients for {deadline.timeout_s:g} s",
                cure="wait until they are done, or raise --timeout",
            ) from None
        host, port, match_key = answer[1]
        return RemoteBoard(host, port, match_key)

    def _offered(self) -> list[str]:
        """What the servers say that their boards are."""
        return [each["key"] for each in self._ask(_Code.SUMMARY)[1]["server_info"]]

    def _ask(self, code: _Code, *arguments: object, deadline: Deadline | None = None) -> Any:
        """Send a message and wait for its answer; TimeoutError only with a deadline given."""
        message = json.dumps([code, *arguments]).encode()
        try:
            self._socket.settimeout(ANSWER_TIMEOUT_S)
            self._socket.sendall(_WORD.pack(len(message)) + message)
            self._socket.settimeout(
                ANSWER_TIMEOUT_S if deadline is None else max(deadline.remaining_s, 0.001)
            )
            (size,) = _WORD.unpack(self._receive(_WORD.size))
            if not 0 < size <= _MAX_MESSAGE_BYTES:
                raise self._garbled(f"a message of {size} bytes")
            text = self._receive(size)
        except OSError as error:
            if isinstance(error, TimeoutError) and deadline is not None:
                raise
            raise TrackerGone(
                f"the RPC tracker at {self.name} is gone: {error.strerror or error}",
                cure="start it again, then this command",
            ) from error
        try:
            answer = json.loads(text)
            succeeded = code == _Code.GET_PENDING_MATCHKEYS or _Code.SUCCESS in (
                answer if isinstance(answer, list) else [answer]
            )
        except (ValueError, RecursionError) as error:
            raise self._garbled("no JSON") from error
        if not succeeded:
            raise self._garbled(repr(answer))
        return answer

    def _receive(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            block = self._socket.recv(size - len(data))
            if not block:
                raise ConnectionResetError("it closed the connection")
            data += block
        return data

    def _missing(self, why: str) -> TrackerGone:
        return TrackerGone(
            f"no RPC tracker answers at {self.name}: {why}",
            cure="start one (python -m tvm.exec.rpc_tracker), or correct HOST:PORT",
        )

    def _garbled(self, what: str) -> ProtocolError:
        return ProtocolError(
            f"the RPC tracker at {self.name} answered with {what}",
            cure="use the tracker of apache-tvm 0.27 or later",
        )
