"""The bridge: a process that owns the transport to one device and offers it to the RPC client.

    TVM RPC client ── TCP on loopback ── bridge ── Project API server ── device

It opens the project's transport, starts a session with the device and lets one client in, which
must know the key. From then on every packet of the client goes to the device as one frame, and the
answer back, once it is checked (see `replies`). A process of its own, because the client holds the
GIL while it waits (see `rpc.py`).

The parent talks to it by lines of JSON. On stdin:

    {"open": {...}}        begin a session; the fields of a `BridgeConfig`
    {"faults": {...}}      what goes wrong from now on, for tests of the link (see `faults`)
    {"close": null}        end the session, and wait for another one

The end of stdin means to close everything and leave. On stdout, events:

    {"event": "flashed"}                   the board was flashed, if that was asked for
    {"event": "ready", "port": N}          the session is up, a client may connect
    {"event": "log", "text": "..."}        the device logged a line
    {"event": "error", "kind": "TransportTimeout", "message": "...", ...}   the link is lost
    {"event": "admitted"}                  the client is in
    {"event": "left"}                      the client is gone
    {"event": "closed"}                    the session has ended, the device is let go of

A board of another machine is reached through its server there (see `remote_link`) instead of a
transport, and one that is lent is at a port of the network instead of loopback.

After an error the process ends: whatever went wrong, the next session begins with a new one. Every
wait has a deadline. When one expires the bridge reports it and closes the client's
connection, so that the client raises and does not hang.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import select
import signal
import socket
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest_microtvm.deadline import Deadline
from pytest_microtvm.errors import ConfigError, MicroTVMError, TransportTimeout
from pytest_microtvm.session.admission import Admission
from pytest_microtvm.session.device_fault import explain_fault
from pytest_microtvm.session.fault_injection import FaultPlan, FaultyTransport
from pytest_microtvm.session.link import Link
from pytest_microtvm.session.remote_link import RemoteLink
from pytest_microtvm.session.tracker import RemoteBoard
from pytest_microtvm.session.transport import ProjectTransport
from pytest_microtvm.session.wire.rpc import PacketSplitter, RpcCode, packet_code

IDLE_POLL_S = 0.25
"""How often a device with nothing to answer is asked for log lines."""


@dataclass(frozen=True)
class BridgeConfig:
    """What the parent sends first.

    Attributes:
        project_dir: A built project.
        elf: Its linked program; None where there is none.
        options: Project options for the transport.
        board: For messages.
        key: What the client must say to be let in.
        open_timeout_s: For opening the transport and starting the session.
        call_timeout_s: For the answer to one packet.
        flash_timeout_s: For flashing the board first; None if it is not to be flashed.
        faults: The fields of a `FaultPlan`, for tests of the link; None for a link as it is.
        lend: Where a client of another program comes in, if that is who the session is for: "name",
            "host" and "port" as of `Admission`. There is no deadline for its coming.
        remote: The fields of a `RemoteBoard`, if the device is one.
    """

    project_dir: str
    elf: str | None
    options: dict[str, Any]
    board: str
    key: str
    open_timeout_s: float
    call_timeout_s: float
    flash_timeout_s: float | None = None
    faults: dict[str, Any] | None = None
    lend: dict[str, Any] | None = None
    remote: dict[str, Any] | None = None


class ParentGone(Exception):
    """Stdin ended: the parent wants no more, or died."""


class SessionEnded(Exception):
    """The parent closed the session."""


class ClientGone(Exception):
    """The RPC client closed its connection."""


class Parent:
    """The lines that the parent writes.

    They are read from the file descriptor: a buffered file may hold a line that `select` knows
    nothing of.
    """

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._received = b""

    def fileno(self) -> int:
        """For `select`."""
        return self._fd

    def next_message(self) -> dict[str, Any]:
        """Wait for a message.

        Raises:
            ParentGone: There will be none.
        """
        while b"\n" not in self._received:
            self._receive()
        return self._pop()

    def poll(self) -> dict[str, Any] | None:
        """A message, if one is there; else None.

        Raises:
            ParentGone: There will be none.
        """
        if b"\n" not in self._received and _readable(self, timeout_s=0.0):
            self._receive()
        return self._pop() if b"\n" in self._received else None

    def _receive(self) -> None:
        block = os.read(self._fd, 1 << 16)
        if not block:
            raise ParentGone
        self._received += block

    def _pop(self) -> dict[str, Any]:
        line, _, self._received = self._received.partition(b"\n")
        message: dict[str, Any] = json.loads(line)
        return message


class Bridge:
    """One device, one client."""

    def __init__(self, config: BridgeConfig, parent: Parent) -> None:
        self._config = config
        self._parent = parent
        self._transport = ProjectTransport(
            Path(config.project_dir), config.options, self._hear_parent
        )
        self._faults: FaultyTransport | None = None
        if config.faults is not None:
            self._faults = FaultyTransport(self._transport, FaultPlan(**config.faults))
        self._link: Link | RemoteLink
        if config.remote is not None:
            self._link = RemoteLink(RemoteBoard(**config.remote), self._hear_parent)
            return
        self._link = Link(
            self._faults or self._transport,
            on_log=lambda line: _event("log", text=line),
            keep_waiting=self._hear_parent,
            explain_fault=lambda registers: explain_fault(
                registers, None if config.elf is None else Path(config.elf)
            ),
        )

    def serve(self) -> None:
        """Flash the board if need be, open the device, serve one client, close the device.

        Raises:
            MicroTVMError: The link failed; everything is closed.
            SessionEnded: The parent closed the session.
            ParentGone: The parent wants no more.
        """
        with contextlib.closing(self._link):
            try:
                if self._config.flash_timeout_s is not None:
                    self._transport.flash(Deadline(self._config.flash_timeout_s))
                    _event("flashed")
                self._link.start(Deadline(self._config.open_timeout_s))
                client, session_timeout_s = self._admit_client()
                _event("admitted")
                with client, contextlib.suppress(ClientGone):
                    self._relay(client, session_timeout_s)
                _event("left")
                self._wait_for_parent()
            except ConnectionError:
                pass  # the client broke off in the middle of an answer, or the parent is gone
            except MicroTVMError as error:
                _report(error)  # at once: to close the device may take a while
                raise

    def _admit_client(self) -> tuple[socket.socket, float | None]:
        """Wait for the client.

        Returns:
            It, and for how long at most it wants to stay, if it says so.

        Raises:
            TransportTimeout: It did not come in time.
            ConfigError: The port that was asked for cannot be had.
            SessionEnded: The parent closed the session.
            ParentGone: The parent wants no more.
        """
        deadline = Deadline(self._config.open_timeout_s)
        lend = self._config.lend
        try:
            admission = Admission(self._config.key, **(lend or {"name": self._config.board}))
        except OSError as error:
            raise ConfigError(
                f"port {(lend or {}).get('port')} cannot be had: {error.strerror or error}",
                cure="name another one by --port, or none",
                operation="open",
            ) from error
        with contextlib.closing(admission):
            _event("ready", port=admission.port)
            while lend is not None or not deadline.expired:
                timeout_s = IDLE_POLL_S if lend is not None else deadline.at_most(IDLE_POLL_S)
                readable = _readable(self._parent, *admission.sockets, timeout_s=timeout_s)
                if not readable:
                    self._link.poll()
                self._hear_parent()
                client = admission.admit(each for each in readable if not isinstance(each, Parent))
                if client is not None:
                    return client, admission.session_timeout_s
        raise TransportTimeout(
            "the RPC client did not connect",
            cure="is the machine overloaded? raise --microtvm-timeout",
            operation="open",
            elapsed_s=deadline.elapsed_s,
        )

    def _relay(self, client: socket.socket, session_timeout_s: float | None) -> None:
        """Pass packets to and fro until the client shuts down.

        Raises:
            ClientGone: It did.
        """
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        splitter = PacketSplitter()
        end = Deadline(session_timeout_s or math.inf)
        while True:
            self._wait_for(client, end)
            data = client.recv(1 << 16)
            if not data:
                raise ClientGone
            for packet in splitter.feed(data):
                if packet_code(packet) == RpcCode.SHUTDOWN:
                    raise ClientGone
                client.sendall(self._link.exchange(packet, self._config.call_timeout_s))

    def _wait_for(self, peer: socket.socket, end: Deadline) -> None:
        """Wait for the client until its session is to end: a test may think as long as it likes.

        Raises:
            ClientGone: The session is to end.
        """
        while not _readable(peer, self._parent, timeout_s=IDLE_POLL_S):
            self._link.poll()
            if end.expired:
                raise ClientGone
        self._hear_parent()

    def _wait_for_parent(self) -> None:
        while True:
            if _readable(self._parent, timeout_s=IDLE_POLL_S):
                self._hear_parent()
            self._link.poll()

    def _hear_parent(self) -> None:
        """Take what the parent says, if anything.

        Raises:
            SessionEnded: It wants no more of this session.
            ParentGone: It is gone, or wants no more at all.
        """
        message = self._parent.poll()
        if message is None:
            return
        if "close" in message:
            raise SessionEnded
        if self._faults is not None:
            self._faults.plan = FaultPlan(**message["faults"])


def _event(event: str, **fields: object) -> None:
    sys.stdout.write(json.dumps({"event": event, **fields}) + "\n")
    sys.stdout.flush()


def _readable(*files: socket.socket | Parent, timeout_s: float) -> Sequence[socket.socket | Parent]:
    return select.select(files, [], [], timeout_s)[0]


def main() -> int:
    """Serve sessions on stdin and stdout; a program of `forks`."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    parent = Parent(sys.stdin.fileno())
    try:
        while True:
            message = parent.next_message()
            if "open" not in message:
                continue  # meant for a session that has ended
            with contextlib.suppress(SessionEnded):
                Bridge(BridgeConfig(**message["open"]), parent).serve()
            _event("closed")
    except (ParentGone, BrokenPipeError):
        return 0
    except MicroTVMError:
        return 1  # reported


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
