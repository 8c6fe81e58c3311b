"""Who is let in at the bridge's port: the one client that knows the key.

A board that is offered to a tracker's clients is at an address of the network instead, and its key
is the tracker's match key; all else is the same.

TVM's client reaches its server by an address of TCP, or starts it as a child of its own
(`rpc.CreatePipeClient`), which the bridge is too long-lived to be: it cannot be given a socket. So
the port is on loopback, where programs of every user of this machine can connect, and until the
client has said the key nothing that comes in is trusted to be fast, short or sensible. Strangers
are listened to at the same time as the client, each until a deadline of its own.
"""

from __future__ import annotations

import contextlib
import hmac
import socket
from collections.abc import Iterable, Sequence

from pytest_microtvm.deadline import Deadline
from pytest_microtvm.errors import ProtocolError
from pytest_microtvm.session.wire.rpc import greeting_reply, parse_greeting

GREETING_TIMEOUT_S = 10.0
"""For the whole greeting of one connection."""
BACKLOG = 256
MAX_GREETING = 64
"""How many connections are listened to at once; for another one the oldest is closed."""
_LOOPBACK = "127.0.0.1"


class Admission:
    """A port, until the client is in.

    Args:
        key: What the client says.
        name: What it is answered.
        host: The address of this machine that has the port; loopback's unless given.
        port: The port; a free one unless given.

    Attributes:
        session_timeout_s: How long the client wants its session to last at most, if it said so.

    Raises:
        OSError: The port is taken.
    """

    def __init__(self, key: str, name: str, host: str = _LOOPBACK, port: int = 0) -> None:
        self.session_timeout_s: float | None = None
        self._key = f"client:{key}".encode()
        self._answer = greeting_reply(f"server:{name}")
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._listener = socket.create_server((host, port), family=family, backlog=BACKLOG)
        self._listener.setblocking(False)
        self._greeting: dict[socket.socket, tuple[Deadline, bytearray]] = {}

    @property
    def port(self) -> int:
        """The port."""
        port: int = self._listener.getsockname()[1]
        return port

    @property
    def sockets(self) -> Sequence[socket.socket]:
        """What to wait for before the next `admit`."""
        return (self._listener, *self._greeting)

    def admit(self, readable: Iterable[socket.socket]) -> socket.socket | None:
        """Hear what came in. Never waits.

        Args:
            readable: Those of `sockets` that something came in at.

        Returns:
            The connection to the client, once it has said the key.
        """
        for connection in readable:
            if connection is self._listener:
                self._accept()
            elif connection in self._greeting:
                try:
                    is_client = self._hear(connection)
                except (OSError, ProtocolError):
                    self._drop(connection)
                else:
                    if is_client:
                        del self._greeting[connection]
                        return connection
        for connection in [each for each, (end, _) in self._greeting.items() if end.expired]:
            self._drop(connection)
        return None

    def close(self) -> None:
        """Close the port and every connection but the client's."""
        self._listener.close()
        while self._greeting:
            self._drop(next(iter(self._greeting)))

    def _accept(self) -> None:
        if len(self._greeting) >= MAX_GREETING:
            self._drop(next(iter(self._greeting)))
        try:
            connection, _address = self._listener.accept()
        except OSError:
            # It went away again; or too many files are open, which one less may help.
            if self._greeting:
                self._drop(next(iter(self._greeting)))
            return
        connection.setblocking(False)
        self._greeting[connection] = (Deadline(GREETING_TIMEOUT_S), bytearray())

    def _hear(self, connection: socket.socket) -> bool:
        """Take the next bytes of a greeting; whether it is complete, and the client's.

        Raises:
            OSError: The connection broke.
            ProtocolError: This is not the client.
        """
        _end, received = self._greeting[connection]
        with contextlib.suppress(BlockingIOError):
            data = connection.recv(4096)
            if not data:
                raise ConnectionError("closed before the greeting")
            received += data
        greeting = parse_greeting(bytes(received))
        if greeting is None:
            return False
        key, rest = greeting
        # A client sends nothing after its greeting before it has the answer.
        key, *options = key.split(b" ")
        if rest or not hmac.compare_digest(key, self._key):
            raise ProtocolError("a stranger is at the bridge's port")
        self.session_timeout_s = _session_timeout_s(options)
        connection.setblocking(True)
        connection.sendall(self._answer)  # so short that it never has to wait
        return True

    def _drop(self, connection: socket.socket) -> None:
        self._greeting.pop(connection)
        connection.close()


def _session_timeout_s(options: Iterable[bytes]) -> float | None:
    """What TVM's client says after its key when it was made with a `session_timeout`.

    Raises:
        ProtocolError: It is no number.
    """
    for option in options:
        name, _, value = option.partition(b"=")
        if name == b"-timeout":
            try:
                return float(value)
            except ValueError as error:
                raise ProtocolError(f"the session timeout {value!r} is no number") from error
    return None
