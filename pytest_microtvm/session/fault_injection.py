"""A transport that goes wrong on purpose, by a plan: for tests of everything above it.

    transport = FaultyTransport(real, FaultPlan(kind="drop", direction="to host", packet="return"))

The plan names one fault, where it happens, and the seed that decides the rest, so that a case can
be repeated. Faults know frames: the transport cuts both directions into frames and passes bytes
between them as they are.
"""

from __future__ import annotations

import random
import struct
import time
from collections.abc import Iterator
from dataclasses import dataclass

from pytest_microtvm.deadline import Deadline
from pytest_microtvm.errors import TransportTimeout
from pytest_microtvm.project.descriptions import RecommendedTimeouts
from pytest_microtvm.session.transport import Transport
from pytest_microtvm.session.wire.framing import Frame, FrameDecoder, FrameError
from pytest_microtvm.session.wire.rpc import RpcCode
from pytest_microtvm.session.wire.session import HEADER_BYTES, MessageType

TO_DEVICE = "to device"
TO_HOST = "to host"
ANY = "any"

FAULT_KINDS = ("none", "flip", "drop", "duplicate", "truncate", "delay", "reset", "silence")
"""What can happen: nothing; bits flip; a frame is lost, comes twice, loses its end or comes late;
the device is reset, or no byte passes any more, in the middle of a frame."""

REQUEST_PACKETS = ("init", "get function", "call", "copy to", "copy from", "free")
REPLY_PACKETS = ("return", "exception", "copied data")
SESSION_PACKETS = ("start", "start reply", "end", "log", "fault")
PACKETS = (*REQUEST_PACKETS, *REPLY_PACKETS, *SESSION_PACKETS, "other")
"""Kinds of packets that a fault can be planned for."""

_CODES = {
    RpcCode.INIT_SERVER: "init",
    RpcCode.GET_GLOBAL_FUNCTION: "get function",
    RpcCode.CALL_FUNCTION: "call",
    RpcCode.COPY_TO_REMOTE: "copy to",
    RpcCode.COPY_FROM_REMOTE: "copy from",
    RpcCode.FREE_HANDLE: "free",
    RpcCode.RETURN: "return",
    RpcCode.EXCEPTION: "exception",
    RpcCode.COPY_ACK: "copied data",
}
_TYPES = {
    MessageType.START_INIT: "start",
    MessageType.START_REPLY: "start reply",
    MessageType.TERMINATE: "end",
    MessageType.LOG: "log",
    0x04: "fault",
}
_PACKET_HEADER = struct.Struct("<Qi")
_READ_BYTES = 4096
_SLICE_S = 0.05


@dataclass(frozen=True)
class FaultPlan:
    """What goes wrong.

    Attributes:
        kind: One of `FAULT_KINDS`.
        direction: `TO_DEVICE`, `TO_HOST` or `ANY`.
        packet: One of `PACKETS`, or `ANY`. Flips happen everywhere when it is `ANY`.
        number: Which frame of that direction and kind it happens to, counted from 1.
        rate: For flips: the chance of each byte to have one of its bits flipped.
        delay_s: For delays.
        seed: Decides which bits flip and where frames are cut.
    """

    kind: str = "none"
    direction: str = ANY
    packet: str = ANY
    number: int = 1
    rate: float = 1e-4
    delay_s: float = 0.05
    seed: int = 0

    def __post_init__(self) -> None:
        if self.kind not in FAULT_KINDS:
            raise ValueError(f"no kind of fault: {self.kind}")
        if self.direction not in (TO_DEVICE, TO_HOST, ANY):
            raise ValueError(f"no direction: {self.direction}")
        if self.packet not in (*PACKETS, ANY):
            raise ValueError(f"no kind of packet: {self.packet}")


class FaultyTransport(Transport):
    """Passes bytes between a link and another transport, but for the faults of a plan.

    Setting `plan` starts to count frames anew, and ends a silence.

    Args:
        inner: The real transport.
        plan: What goes wrong.

    Attributes:
        faults: How many faults happened since the plan was set: bytes with a flipped bit, or
            frames.
    """

    def __init__(self, inner: Transport, plan: FaultPlan) -> None:
        self._inner = inner
        self._open_deadline_s = 10.0
        self._received = bytearray()
        self._cutters = {TO_DEVICE: FrameCutter(), TO_HOST: FrameCutter()}
        self.plan = plan

    @property
    def plan(self) -> FaultPlan:
        """What goes wrong."""
        return self._plan

    @plan.setter
    def plan(self, plan: FaultPlan) -> None:
        self._plan = plan
        self._random = random.Random(plan.seed)
        self._seen = 0
        self._silent = False
        self._late: list[tuple[float, bytes]] = []
        self.faults = 0

    def open(self, deadline: Deadline) -> RecommendedTimeouts:
        """See `Transport.open`; ends a silence."""
        self._open_deadline_s = deadline.timeout_s
        self._silent = False
        self._late.clear()
        self._received.clear()
        self._cutters = {TO_DEVICE: FrameCutter(), TO_HOST: FrameCutter()}
        return self._inner.open(deadline)

    def close(self) -> None:
        """See `Transport.close`."""
        self._inner.close()

    def write(self, data: bytes, deadline: Deadline) -> None:
        """See `Transport.write`; a frame is passed on when it is complete."""
        for piece, frame in self._cutters[TO_DEVICE].feed(data):
            for passed in self._meddle(piece, frame, TO_DEVICE):
                self._inner.write(passed, deadline)

    def read(self, size: int, deadline: Deadline) -> bytes:
        """See `Transport.read`; a frame is passed on when it is complete."""
        while not self._received:
            self._take_late()
            if self._received:
                break
            # Late bytes must not wait for the device, nor for the end of the deadline.
            wait = Deadline(min(deadline.remaining_s, _SLICE_S))
            try:
                data = self._inner.read(_READ_BYTES, wait)
            except TransportTimeout:
                # An unfinished frame is passed on as it is: the device may have stopped for good.
                for piece, frame in self._cutters[TO_HOST].flush() if deadline.expired else ():
                    self._received += b"".join(self._meddle(piece, frame, TO_HOST))
                if deadline.expired and not self._received:
                    raise
                continue
            for piece, frame in self._cutters[TO_HOST].feed(data):
                for passed in self._meddle(piece, frame, TO_HOST):
                    self._received += passed
        data = bytes(self._received[:size])
        del self._received[:size]
        return data

    def _take_late(self) -> None:
        now = time.monotonic()
        while self._late and self._late[0][0] <= now:
            self._received += self._late.pop(0)[1]

    def _meddle(self, piece: bytes, frame: bytes | None, direction: str) -> Iterator[bytes]:
        """Give what arrives of a piece of the stream."""
        if self._silent:
            return
        plan = self._plan
        if frame is None or not self._is_meant(frame, direction):
            yield piece
        elif plan.kind == "flip":
            yield self._flip(piece)
        else:
            self._seen += 1
            if self._seen == plan.number and plan.kind != "none":
                self.faults += 1
                yield from self._break(piece, direction)
            else:
                yield piece

    def _is_meant(self, frame: bytes, direction: str) -> bool:
        plan = self._plan
        return plan.direction in (direction, ANY) and plan.packet in (packet_kind(frame), ANY)

    def _break(self, piece: bytes, direction: str) -> Iterator[bytes]:
        plan = self._plan
        cut = self._random.randrange(1, len(piece))
        if plan.kind == "duplicate":
            yield piece
            yield piece
        elif plan.kind == "truncate":
            yield piece[:cut]
        elif plan.kind == "delay":
            if direction == TO_DEVICE:
                time.sleep(plan.delay_s)
                yield piece
            else:
                self._late.append((time.monotonic() + plan.delay_s, piece))
        elif plan.kind == "silence":
            yield piece[:cut]
            self._silent = True
        elif plan.kind == "reset":
            yield piece[:cut]
            self._inner.open(Deadline(self._open_deadline_s))
        # "drop": nothing

    def _flip(self, piece: bytes) -> bytes:
        flipped = bytearray(piece)
        for index in range(len(flipped)):
            if self._random.random() < self._plan.rate:
                flipped[index] ^= 1 << self._random.randrange(8)
                self.faults += 1
        return bytes(flipped)


class FrameCutter:
    """Cuts a byte stream into its frames, as they travel, and what is between them."""

    def __init__(self) -> None:
        self._decoder = FrameDecoder()
        self._pending = bytearray()

    def feed(self, data: bytes) -> Iterator[tuple[bytes, bytes | None]]:
        """Take the next bytes.

        Yields:
            Pieces of the stream, with the payload when the piece ends with a whole frame.
        """
        # Where a frame ends only the decoder knows: never before the bytes that it misses.
        while data:
            portion = max(1, self._decoder.missing_bytes)
            chunk, data = data[:portion], data[portion:]
            self._pending += chunk
            for event in self._decoder.feed(chunk):
                if isinstance(event, Frame):
                    yield self._take(), event.payload
                elif isinstance(event, FrameError):
                    yield self._take(), None
        # An escape byte at the end may be the first of a frame.
        if not self._decoder.missing_bytes and self._pending[-1:] != b"\xff":
            yield from self.flush()

    def flush(self) -> Iterator[tuple[bytes, bytes | None]]:
        """Yield what is left of an unfinished frame."""
        if self._pending:
            yield self._take(), None

    def _take(self) -> bytes:
        piece = bytes(self._pending)
        self._pending.clear()
        return piece


def packet_kind(payload: bytes) -> str:
    """What a frame carries: one of `PACKETS`."""
    if len(payload) < HEADER_BYTES:
        return "other"
    message_type = payload[HEADER_BYTES - 1]
    if message_type in _TYPES:
        return _TYPES[message_type]
    start = HEADER_BYTES + (message_type == MessageType.CHECKED)
    if len(payload) < start + _PACKET_HEADER.size:
        return "other"
    code = _PACKET_HEADER.unpack_from(payload, start)[1]
    return _CODES.get(code, "other")
