"""The bridge: a process that owns the transport to one device and offers it to the RPC client.

    TVM RPC client ── TCP on loopback ── bridge ── Project API server ── device

It opens the project's transport, starts a session with the device and lets one client in, which
must know the key. From then on every packet of the client goes to the device as one frame, and the
answer back. A process of its own, because the client holds the GIL while it waits (see `rpc.py`).

The parent talks to it by lines of JSON. On stdin: the configuration first (see `BridgeConfig`); the
end of stdin means to close everything and leave. On stdout, events:

    {"event": "ready", "port": N}          the session is up, a client may connect
    {"event": "log", "text": "..."}        the device logged a line
    {"event": "error", "kind": "TransportTimeout", "message": "...", ...}   the link is lost

Every wait has a deadline. When one expires the bridge reports it and closes the client's
connection, so that the client raises and does not hang.
"""

from __future__ import annotations

import contextlib
import json
import secrets
import select
import signal
import socket
import sys
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from pytest_microtvm.deadline import Deadline
from pytest_microtvm.errors import (
    MicroTVMError,
    ProtocolError,
    TransportClosed,
    TransportTimeout,
)
from pytest_microtvm.process import die_with_parent
from pytest_microtvm.project.client import ProjectAPIClient
from pytest_microtvm.session.wire.framing import Frame, FrameDecoder, FrameError
from pytest_microtvm.session.wire.rpc import (
    PacketSplitter,
    RpcCode,
    greeting_reply,
    packet_code,
    parse_greeting,
)
from pytest_microtvm.session.wire.session import (
    DeviceStarted,
    HostSession,
    LogLine,
    Packet,
    SessionLost,
    SessionState,
)

READ_BYTES = 4096
IDLE_POLL_S = 0.25
"""How often a device with nothing to answer is asked for log lines."""
RETRY_START_S = 0.25
"""After how long without an answer a session is started anew: the device may have been booting."""
GREETING_TIMEOUT_S = 10.0
LOG_TAIL_LINES = 20
FREE_TIMEOUT_S = 2.0
SLICE_S = 0.5
"""The longest single wait for the device, so that the parent's end is noticed."""


@dataclass(frozen=True)
class BridgeConfig:
    """What the parent sends first.

    Attributes:
        project_dir: A built project.
        options: Project options for the transport.
        board: For messages.
        key: What the client must say to be let in.
        open_timeout_s: For opening the transport and starting the session.
        call_timeout_s: For the answer to one packet.
        parent_pid: Who must be alive.
    """

    project_dir: str
    options: dict[str, Any]
    board: str
    key: str
    open_timeout_s: float
    call_timeout_s: float
    parent_pid: int


class ParentGone(Exception):
    """Stdin ended: the parent closed the session or died."""


class ClientGone(Exception):
    """The RPC client closed its connection."""


class Bridge:
    """One device, one client."""

    def __init__(self, config: BridgeConfig) -> None:
        self._config = config
        self._decoder = FrameDecoder()
        self._session = HostSession()
        self._replies: list[bytes] = []
        self._device_started = False
        self._log_lines: deque[str] = deque(maxlen=LOG_TAIL_LINES)

    def serve(self) -> None:
        """Open the device, serve one client, close the device.

        Raises:
            MicroTVMError: The link failed; everything is closed.
            ParentGone: The parent wants no more.
        """
        config = self._config
        deadline = Deadline(config.open_timeout_s)
        with ProjectAPIClient(Path(config.project_dir), deadline) as self._project:
            self._project.open_transport(config.options, deadline)
            try:
                self._start_session(deadline)
                with socket.create_server(("127.0.0.1", 0), backlog=1) as listener:
                    _event("ready", port=listener.getsockname()[1])
                    with self._admit_client(listener) as client, contextlib.suppress(ClientGone):
                        self._relay(client)
                self._wait_for_parent()
            finally:
                with contextlib.suppress(MicroTVMError):
                    self._project.close_transport(Deadline(2.0))

    def _start_session(self, deadline: Deadline) -> None:
        """Ask the device for a session until it answers."""
        nonce = secrets.randbelow(255) + 1
        while not self._established:
            if deadline.expired:
                raise TransportTimeout(
                    "the device does not answer the start of a session",
                    cure="check that the firmware boots and that its console is the right port",
                    operation="open",
                    elapsed_s=deadline.elapsed_s,
                    details=self._log_tail(),
                )
            self._write(self._session.start(nonce), deadline)
            again = Deadline(deadline.at_most(RETRY_START_S))
            self._device_started = False
            while not (self._established or self._device_started or again.expired):
                self._read(again.remaining_s)
                self._leave_if_parent_gone()

    @property
    def _established(self) -> bool:
        return self._session.state is SessionState.ESTABLISHED

    def _admit_client(self, listener: socket.socket) -> socket.socket:
        """Accept connections until one knows the key; a stranger on this machine is sent away."""
        while True:
            self._wait_for(listener)
            client, _address = listener.accept()
            client.settimeout(GREETING_TIMEOUT_S)
            with contextlib.suppress(OSError, ProtocolError):
                greeting, received = None, b""
                while greeting is None:
                    data = client.recv(4096)
                    if not data:
                        raise ConnectionError("closed before the greeting")
                    received += data
                    greeting = parse_greeting(received)
                key, rest = greeting
                # A client sends nothing after its greeting before it has the answer.
                if secrets.compare_digest(key, f"client:{self._config.key}") and not rest:
                    client.sendall(greeting_reply(f"server:{self._config.board}"))
                    client.settimeout(None)
                    return client
            client.close()

    def _relay(self, client: socket.socket) -> None:
        """Pass packets to and fro until the client shuts down.

        Raises:
            ClientGone: It did.
        """
        splitter = PacketSplitter()
        while True:
            self._wait_for(client)
            data = client.recv(1 << 16)
            if not data:
                raise ClientGone
            for packet in splitter.feed(data):
                if packet_code(packet) == RpcCode.SHUTDOWN:
                    raise ClientGone
                client.sendall(self._exchange(packet))

    def _exchange(self, packet: bytes) -> bytes:
        """Send one packet to the device and wait for its answer."""
        timeout_s = self._config.call_timeout_s
        if packet_code(packet) == RpcCode.FREE_HANDLE:
            # Sent when a session is closed: a dead device must not hold that up.
            timeout_s = min(timeout_s, FREE_TIMEOUT_S)
        deadline = Deadline(timeout_s)
        self._replies.clear()
        self._write(self._session.send(packet), deadline)
        while not self._replies:
            if deadline.expired:
                raise TransportTimeout(
                    "the device does not answer a call",
                    cure="raise --microtvm-timeout if the model may take longer",
                    operation="call",
                    elapsed_s=deadline.elapsed_s,
                    details=self._log_tail(),
                )
            self._read(deadline.at_most(SLICE_S))
            self._leave_if_parent_gone()
        return self._replies.pop(0)

    def _wait_for(self, peer: socket.socket) -> None:
        """Wait for the client without a deadline: a test may think as long as it likes."""
        while not _readable(peer, sys.stdin, timeout_s=IDLE_POLL_S):
            self._read(0.0)
        self._leave_if_parent_gone()

    def _wait_for_parent(self) -> None:
        while not _readable(sys.stdin, timeout_s=IDLE_POLL_S):
            self._read(0.0)
        raise ParentGone

    def _leave_if_parent_gone(self) -> None:
        if _readable(sys.stdin, timeout_s=0.0):
            raise ParentGone

    def _write(self, data: bytes, deadline: Deadline) -> None:
        self._project.write_transport(data, deadline)

    def _read(self, timeout_s: float) -> None:
        """Take what the device sends within a time, and sort it."""
        try:
            data = self._project.read_transport(READ_BYTES, Deadline(timeout_s))
        except TransportTimeout:
            return
        for event in self._decoder.feed(data):
            if isinstance(event, Frame):
                self._accept(event.payload)
            elif isinstance(event, FrameError):
                # Before the session is up a reset may cut a frame; later an answer is lost.
                if self._established:
                    raise ProtocolError(
                        f"the device sent a damaged frame: {event.fault.value}",
                        cure="check the cable and the baud rate",
                        operation="call",
                        details=self._log_tail(),
                    )
            else:
                self._log(event.data.decode("utf-8", "replace"))

    def _accept(self, payload: bytes) -> None:
        event = self._session.accept(payload)
        if isinstance(event, Packet):
            self._replies.append(event.data)
        elif isinstance(event, LogLine):
            self._log(event.text)
        elif isinstance(event, DeviceStarted):
            self._device_started = True
        elif isinstance(event, SessionLost):
            raise TransportClosed(
                "the device ended the session, or was reset",
                cure="its last log lines, if any, say why",
                operation="call",
                details=self._log_tail(),
            )

    def _log(self, text: str) -> None:
        for line in text.splitlines():
            if line.strip():
                self._log_lines.append(line)
                _event("log", text=line)

    def _log_tail(self) -> str:
        return "\n".join(f"device log: {line}" for line in self._log_lines)


def _event(event: str, **fields: object) -> None:
    sys.stdout.write(json.dumps({"event": event, **fields}) + "\n")
    sys.stdout.flush()


def _readable(*files: socket.socket | TextIO, timeout_s: float) -> bool:
    return bool(select.select(files, [], [], timeout_s)[0])


def main() -> int:
    """Run the bridge on stdin and stdout; the parent is the session that started it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    config = BridgeConfig(**json.loads(sys.stdin.readline()))
    die_with_parent(config.parent_pid)
    try:
        Bridge(config).serve()
    except ParentGone:
        return 0
    except (BrokenPipeError, ConnectionError) as error:
        _report(TransportClosed(f"the RPC client went away: {error}", operation="call"))
        return 1
    except MicroTVMError as error:
        _report(error)
        return 1
    return 0


def _report(error: MicroTVMError) -> None:
    with contextlib.suppress(BrokenPipeError):
        _event(
            "error",
            kind=type(error).__name__,
            message=error.message,
            cure=error.cure,
            operation=error.operation,
            elapsed_s=error.elapsed_s,
            details=error.details,
        )


if __name__ == "__main__":
    raise SystemExit(main())
