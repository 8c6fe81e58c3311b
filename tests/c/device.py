"""A device on the other end of two pipes, for tests: every wait has a deadline."""

from __future__ import annotations

import os
import select
import struct
import subprocess
from collections import deque
from pathlib import Path
from types import TracebackType

from pytest_microtvm.deadline import Deadline
from pytest_microtvm.session.wire import rpc
from pytest_microtvm.session.wire.framing import Frame, FrameDecoder, FrameEvent
from pytest_microtvm.session.wire.session import Established, HostSession, Packet, SessionEvent
from tests.c.values import Value, parse_values

TIMEOUT_S = 10
QUIET_S = 0.2


class RemoteError(Exception):
    """The device answered with an exception packet."""


class Device:
    """Runs the server program and speaks to it."""

    def __init__(
        self, program: Path, packet_bytes: int, executor: str = "aot", pool_bytes: int = 0
    ) -> None:
        self._process = subprocess.Popen(
            [program, str(packet_bytes), executor, str(pool_bytes)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self._decoder = FrameDecoder()
        self._events: deque[FrameEvent] = deque()
        self.session = HostSession()
        self.other_events: list[SessionEvent] = []

    def __enter__(self) -> Device:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            _, errors = self._process.communicate(timeout=TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            _, errors = self._process.communicate()
        if kind is None:
            assert (self._process.returncode, errors.decode()) == (0, "")

    def write(self, data: bytes) -> None:
        """Write all bytes; the device keeps reading, so this does not block for long."""
        assert self._process.stdin is not None
        deadline = Deadline(TIMEOUT_S)
        file_descriptor = self._process.stdin.fileno()
        while data:
            _, writable, _ = select.select([], [file_descriptor], [], deadline.remaining_s)
            assert writable, "the device does not read"
            data = data[os.write(file_descriptor, data[: select.PIPE_BUF]) :]

    def drain(self, quiet_s: float = QUIET_S) -> list[FrameEvent]:
        """Everything that arrives until the device is quiet."""
        while self._receive(Deadline(quiet_s)):
            pass
        events = list(self._events)
        self._events.clear()
        return events

    def next_event(self) -> SessionEvent:
        """The meaning of the next frame."""
        deadline = Deadline(TIMEOUT_S)
        while not self._events:
            assert self._receive(deadline), "the device does not answer"
        event = self._events.popleft()
        assert isinstance(event, Frame), event
        return self.session.accept(event.payload)

    def start(self, nonce: int = 0x2A) -> None:
        """Start a session."""
        self.write(self.session.start(nonce))
        while not isinstance(event := self.next_event(), Established):
            self.other_events.append(event)

    def ask(self, packet: bytes) -> bytes:
        """Send a packet and give the answering one."""
        self.write(self.session.send(packet))
        while not isinstance(event := self.next_event(), Packet):
            self.other_events.append(event)
        return event.data

    def request(self, code: int, body: bytes = b"") -> list[Value]:
        """Send a request and give the values of its answer; copied data is one value.

        Raises:
            RemoteError: The device answered with an exception.
        """
        answer = self.ask(struct.pack("<Qi", 4 + len(body), code) + body)
        kind, values = rpc.packet_code(answer), answer[12:]
        if kind == rpc.RpcCode.COPY_ACK:
            return [values]
        parsed = parse_values(values)
        if kind == rpc.RpcCode.EXCEPTION:
            raise RemoteError(parsed[0])
        assert kind == rpc.RpcCode.RETURN
        return parsed

    def _receive(self, deadline: Deadline) -> bool:
        """Take what arrives next; whether anything did before the deadline."""
        assert self._process.stdout is not None
        file_descriptor = self._process.stdout.fileno()
        readable, _, _ = select.select([file_descriptor], [], [], deadline.remaining_s)
        if not readable:
            return False
        data = os.read(file_descriptor, 65536)
        if not data:
            _, errors = self._process.communicate(timeout=TIMEOUT_S)
            raise AssertionError(f"the device died: {errors.decode()}")
        self._events.extend(self._decoder.feed(data))
        return True
