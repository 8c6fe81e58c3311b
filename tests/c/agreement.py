"""Whether the decoders in C and in Python make the same of any byte stream.

Streams are generated: sound frames with messages and packets of all kinds, damaged in all ways.
Each line, of `programs/wire_tool.c` as of `describe` here, has one word for each event.
"""

from __future__ import annotations

import random
import struct
import subprocess
import zlib
from collections.abc import Iterator
from pathlib import Path

from pytest_microtvm.errors import ProtocolError
from pytest_microtvm.session.wire.checked import seal, unseal
from pytest_microtvm.session.wire.framing import (
    Frame,
    FrameDecoder,
    FrameError,
    FrameEvent,
    FrameFault,
    encode,
)
from pytest_microtvm.session.wire.rpc import packet_code
from pytest_microtvm.session.wire.session import (
    MessageType,
    pack_message,
    parse_message,
)
from tests.c.values import Unreadable, read_arguments

CAPACITY_BYTES = 160
BATCH = 20_000
TIMEOUT_S = 120

_FAULTS = {
    FrameFault.BAD_CRC: "bad_crc",
    FrameFault.BAD_ESCAPE: "broken",
    FrameFault.TRUNCATED: "broken",
    FrameFault.TOO_LARGE: "too_large",
}
_PACKET_HEADER_BYTES = 12


# ---- what Python makes of a stream ----


def describe(events: list[FrameEvent]) -> list[str]:
    """One word for each frame, whole or not."""
    words = []
    for event in events:
        if isinstance(event, Frame):
            sums = f"{zlib.crc32(event.payload):x},{zlib.crc32(encode(event.payload)):x}"
            words.append(f"frame,{sums}{_describe_message(event.payload)}")
        elif isinstance(event, FrameError):
            words.append(_FAULTS[event.fault])
    return words


def _describe_message(payload: bytes) -> str:
    try:
        message = parse_message(payload)
    except ProtocolError:
        return ",short"
    word = f",{message.session_id:04x}.{message.type:02x}"
    if message.type == MessageType.NORMAL:
        return word + _describe_packet(message.body)
    if message.type == MessageType.CHECKED:
        content = unseal(payload[:3], message.body)
        if content is None:
            return f"{word},damaged"
        return f"{word},{content[0]}{_describe_packet(content[1])}"
    return word


def _describe_packet(packet: bytes) -> str:
    try:
        code = packet_code(packet)
    except ProtocolError:
        return ",bad"
    try:
        values = read_arguments(packet[_PACKET_HEADER_BYTES:])
    except Unreadable:
        return f",{code},bad"
    return "".join((f",{code}", *(f",{value}" for value in values)))


def agree(ours: list[str], theirs: list[str]) -> bool:
    """Whether Python's words and C's mean the same.

    Python drops a frame that is too large at once, C reads it to its end: there it may turn out to
    be damaged as well, and a stream may end before.
    """
    if len(theirs) == len(ours) - 1 and ours[-1] == "too_large":
        theirs = [*theirs, "too_large"]
    return len(ours) == len(theirs) and all(
        mine == other or (mine == "too_large" and other in ("bad_crc", "broken"))
        for mine, other in zip(ours, theirs, strict=True)
    )


# ---- streams ----


class Streams:
    """Generates streams.

    Args:
        seed: The same seed gives the same streams.
    """

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def __iter__(self) -> Iterator[bytes]:
        while True:
            yield b"".join(self._piece() for _ in range(self._random.randrange(1, 4)))

    def _piece(self) -> bytes:
        kind = self._random.randrange(12)
        if kind == 0:
            return self._noise(self._random.randrange(30))
        frame = encode(self._payload())
        return frame if kind < 6 else self._damage(frame)

    def _noise(self, size: int) -> bytes:
        if self._random.random() < 0.5:
            return self._random.randbytes(size)
        return bytes(self._random.choice((0xFF, 0xFD, 0xFE, 0, 3, 0x10)) for _ in range(size))

    def _damage(self, frame: bytes) -> bytes:
        damaged = bytearray(frame)
        for _ in range(self._random.randrange(1, 3)):
            position = self._random.randrange(len(damaged) + 1)
            kind = self._random.randrange(6)
            if kind == 0:
                del damaged[position:]
            elif kind == 1:
                damaged[position:position] = self._noise(self._random.randrange(1, 5))
            elif kind == 2:
                damaged[position:position] = b"\xff\xfe"
            elif kind == 3:
                del damaged[position : position + self._random.randrange(1, 4)]
            elif kind == 4:
                damaged[position:position] = damaged[position : position + 6]
            elif position < len(damaged):
                damaged[position] ^= 1 << self._random.randrange(8)
        return bytes(damaged)

    def _payload(self) -> bytes:
        kind = self._random.randrange(8)
        if kind == 0:
            return self._noise(self._random.randrange(CAPACITY_BYTES + 8))
        session_id = self._random.randrange(0x10000)
        if kind == 1:
            return struct.pack("<HB", session_id, self._random.randrange(256)) + self._noise(4)
        if kind < 5:
            return pack_message(session_id, MessageType.NORMAL, self._packet())
        header = pack_message(session_id, MessageType.CHECKED)
        payload = bytearray(header + seal(header, self._random.randrange(256), self._packet()))
        if kind == 7:
            payload[self._random.randrange(3, len(payload))] ^= 1 << self._random.randrange(8)
        return bytes(payload)

    def _packet(self) -> bytes:
        count = self._random.randrange(4)
        body = b"".join(self._value() for _ in range(count))
        code = self._random.randrange(-1, 24)
        packet = struct.pack("<Qii", 8 + len(body), code, count) + body
        kind = self._random.randrange(12)
        if kind == 0:  # a damaged packet in a sound message
            position = self._random.randrange(len(packet))
            return packet[:position] + self._noise(2) + packet[position + 2 :]
        if kind == 1:
            return packet[: self._random.randrange(len(packet))]
        if kind == 2:
            return packet + b"\0"
        return packet

    def _value(self) -> bytes:
        kind = self._random.choice((0, 1, 2, 3, 4, 5, 6, 7, 7, 7, 8, 9, 11, 12, 65, 66, 68, 73, 70))
        value = struct.pack("<i", kind)
        if kind == 0:
            return value
        if kind == 7:
            return value + self._tensor()
        if kind in (8, 9, 11, 12, 65, 66):
            text = self._noise(self._random.randrange(12))
            again = struct.pack("<i", self._random.choice((65, 66, 65, 66, 11)))
            return value + (again if kind > 9 else b"") + struct.pack("<Q", len(text)) + text
        return value + self._random.randbytes(8)

    def _tensor(self) -> bytes:
        pick = self._random.choice
        ndim = pick((0, 1, 2, 3, 4, 8, 9, -1))
        shape = [pick((0, 1, 3, 64, 2**16, 2**32 - 1, 2**32, -1)) for _ in range(max(0, ndim))]
        return (
            struct.pack("<Qiii", pick((0, 0x2000, 2**64 - 8)), pick((1, 1, 1, 2)), 0, ndim)
            + struct.pack("<BBH", pick((0, 1, 2)), pick((8, 16, 32, 1, 0)), pick((1, 1, 1, 2)))
            + struct.pack(f"<{len(shape)}q", *shape)
            + struct.pack("<Q", pick((0, 4, 8, 2**63)))
        )


# ---- the comparison ----


def find_difference(tool: Path, streams: int, seed: int) -> str | None:
    """Decode that many streams with both.

    Args:
        tool: The built `wire_tool`.
        streams: How many.
        seed: For `Streams`.

    Returns:
        The first stream on which the two differ, and what they say; None when they agree on all.
    """
    generator = random.Random(seed)
    source = iter(Streams(seed))
    left = streams
    while left > 0:
        batch = [next(source) for _ in range(min(left, BATCH))]
        left -= len(batch)
        completed = subprocess.run(
            [tool, str(CAPACITY_BYTES)],
            input=b"".join(struct.pack("<I", len(each)) + each for each in batch),
            capture_output=True,
            timeout=TIMEOUT_S,
            check=False,
        )
        if completed.returncode != 0:
            return completed.stderr.decode(errors="replace")
        lines = completed.stdout.decode().splitlines()
        if len(lines) != len(batch):
            return f"{len(batch)} streams, {len(lines)} lines"
        for stream, line in zip(batch, lines, strict=True):
            cut = generator.randrange(len(stream) + 1)
            decoder = FrameDecoder(CAPACITY_BYTES)
            ours = describe(decoder.feed(stream[:cut]) + decoder.feed(stream[cut:]))
            if not agree(ours, line.split()):
                return f"{stream.hex()}\nPython: {' '.join(ours)}\nC:      {line}"
    return None
