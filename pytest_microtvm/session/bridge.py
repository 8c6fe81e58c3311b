"""The bridge: a process that owns the transport to one device and offers it to the RPC client.

    TVM RPC client ── TCP on loopback ── bridge ── Project API server ── device

It opens the project's transport, starts a session with the device and lets one client in, which
must know the key. From then on every packet of the client goes to the device as one frame, and the
answer back, once it is checked (see `replies`). A process of its own, because the client holds the
GIL while it waits (see `rpc.py`).

The parent talks to it by lines of JSON. On stdin: the configuration first (see `BridgeConfig`);
then, for tests of the link, further plans of faults (see `faults`); the end of stdin means to close
everything and leave. On stdout, events:

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
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from pytest_microtvm.deadline import Deadline
from pytest_microtvm.errors import MicroTVMError, ProtocolError
from pytest_microtvm.process import die_with_parent
from pytest_microtvm.project.symbols import linked_program
from pytest_microtvm.session.crash import explain_fault
from pytest_microtvm.session.faults import FaultPlan, FaultyTransport
from pytest_microtvm.session.link import Link
from pytest_microtvm.session.transport import ProjectTransport
from pytest_microtvm.session.wire.rpc import (
    PacketSplitter,
    RpcCode,
    greeting_reply,
    packet_code,
    parse_greeting,
)

IDLE_POLL_S = 0.25
"""How often a device with nothing to answer is asked for log lines."""
GREETING_TIMEOUT_S = 10.0


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
        faults: The fields of a `FaultPlan`, for tests of the link; None for a link as it is.
    """

    project_dir: str
    options: dict[str, Any]
    board: str
    key: str
    open_timeout_s: float
    call_timeout_s: float
    parent_pid: int
    faults: dict[str, Any] | None = None


class ParentGone(Exception):
    """Stdin ended: the parent closed the session or died."""


class ClientGone(Exception):
    """The RPC client closed its connection."""


class Bridge:
    """One device, one client."""

    def __init__(self, config: BridgeConfig) -> None:
        self._config = config
        transport = ProjectTransport(Path(config.project_dir), config.options)
        self._faults: FaultyTransport | None = None
        if config.faults is not None:
            self._faults = FaultyTransport(transport, FaultPlan(**config.faults))
        self._link = Link(
            self._faults or transport,
            on_log=lambda line: _event("log", text=line),
            keep_waiting=self._hear_parent,
            explain_fault=lambda registers: explain_fault(
                registers, linked_program(Path(config.project_dir))
            ),
        )

    def serve(self) -> None:
        """Open the device, serve one client, close the device.

        Raises:
            MicroTVMError: The link failed; everything is closed.
            ParentGone: The parent wants no more.
        """
        with contextlib.closing(self._link):
            try:
                self._link.start(Deadline(self._config.open_timeout_s))
                with socket.create_server(("127.0.0.1", 0), backlog=1) as listener:
                    _event("ready", port=listener.getsockname()[1])
                    with self._admit_client(listener) as client, contextlib.suppress(ClientGone):
                        self._relay(client)
                self._wait_for_parent()
            except ConnectionError:
                pass  # the client broke off in the middle of an answer, or the parent is gone
            except MicroTVMError as error:
                _report(error)  # at once: to close the device may take a while
                raise

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
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        splitter = PacketSplitter()
        while True:
            self._wait_for(client)
            data = client.recv(1 << 16)
            if not data:
                raise ClientGone
            for packet in splitter.feed(data):
                if packet_code(packet) == RpcCode.SHUTDOWN:
                    raise ClientGone
                client.sendall(self._link.exchange(packet, self._config.call_timeout_s))

    def _wait_for(self, peer: socket.socket) -> None:
        """Wait for the client without a deadline: a test may think as long as it likes."""
        while not _readable(peer, sys.stdin, timeout_s=IDLE_POLL_S):
            self._link.poll()
        self._hear_parent()

    def _wait_for_parent(self) -> None:
        while True:
            if _readable(sys.stdin, timeout_s=IDLE_POLL_S):
                self._hear_parent()
            self._link.poll()

    def _hear_parent(self) -> None:
        """Take what the parent says, if anything.

        Raises:
            ParentGone: It is gone, or wants no more.
        """
        if not _readable(sys.stdin, timeout_s=0.0):
            return
        line = sys.stdin.readline()
        if not line:
            raise ParentGone
        if self._faults is not None:
            self._faults.plan = FaultPlan(**json.loads(line))


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
    except MicroTVMError:
        return 1  # reported
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
