"""Frames on a byte stream: escape bytes, a length, a payload, a CRC.

    FF FD | length: u32 | payload | crc: u16          integers little-endian

Everything after `FF FD` is escaped: a byte FF travels as `FF FF`. `FF FE` means nothing and may
stand anywhere. The CRC is CRC-16/CCITT (polynomial 0x1021, start 0xFFFF) over `FF FD` and the
escaped bytes of length and payload. Since `FF FD` never occurs inside a frame, a reader finds the
next frame whatever went wrong before it.
"""

from __future__ import annotations

import binascii
import enum
import struct
from dataclasses import dataclass

ESCAPE = 0xFF
START = 0xFD
NOP = 0xFE

_START_BYTES = bytes((ESCAPE, START))
_LENGTH = struct.Struct("<I")
_CRC = struct.Struct("<H")

DEFAULT_MAX_PAYLOAD_BYTES = 1 << 20


class FrameFault(enum.Enum):
    """Why a frame was dropped."""

    TRUNCATED = "the next frame began before this one was complete"
    BAD_ESCAPE = "an escape sequence that does not exist"
    BAD_CRC = "the checksum does not match"
    TOO_LARGE = "longer than the receiver allows"


@dataclass(frozen=True)
class Frame:
    """A frame that arrived whole."""

    payload: bytes


@dataclass(frozen=True)
class FrameError:
    """A frame that was dropped."""

    fault: FrameFault


@dataclass(frozen=True)
class Unframed:
    """Bytes outside any frame: a boot loader's text, line noise, the rest of a dropped frame."""

    data: bytes


FrameEvent = Frame | FrameError | Unframed


def crc16(data: bytes) -> int:
    """CRC-16/CCITT with start value 0xFFFF, as frames use it."""
    return binascii.crc_hqx(data, 0xFFFF)


def escape(data: bytes) -> bytes:
    """The bytes as they travel inside a frame."""
    return data.replace(b"\xff", b"\xff\xff")


def encode(payload: bytes) -> bytes:
    """One frame, as bytes for the wire."""
    summed = _START_BYTES + escape(_LENGTH.pack(len(payload)) + payload)
    return summed + escape(_CRC.pack(crc16(summed)))


class FrameDecoder:
    """Finds frames in a byte stream that arrives in any portions.

    Holds at most one frame of the largest allowed size.

    Args:
        max_payload_bytes: A frame that announces more than this is dropped.
    """

    def __init__(self, max_payload_bytes: int = DEFAULT_MAX_PAYLOAD_BYTES) -> None:
        self._max_payload_bytes = max_payload_bytes
        self._in_frame = False
        self._after_escape = False
        self._body = bytearray()  # length, payload and CRC received so far, unescaped
        self._unframed = bytearray()
        self._events: list[FrameEvent] = []

    @property
    def missing_bytes(self) -> int:
        """How many bytes are missing at least of the frame that has begun; 0 between frames."""
        return self._missing_bytes() if self._in_frame else 0

    def feed(self, data: bytes) -> list[FrameEvent]:
        """Take the next bytes of the stream.

        Args:
            data: Any number of bytes.

        Returns:
            What they completed, in the order of the stream.
        """
        position = 0
        while position < len(data):
            if self._after_escape:
                self._after_escape = False
                self._take_escaped(data[position])
                position += 1
                continue
            end = data.find(ESCAPE, position)
            self._take_plain(data[position:end] if end >= 0 else data[position:])
            if end < 0:
                break
            self._after_escape = True
            position = end + 1
        self._flush_unframed()
        events, self._events = self._events, []
        return events

    def _take_escaped(self, byte: int) -> None:
        """Take the byte after an escape byte."""
        if byte == START:
            if self._in_frame:
                self._drop(FrameFault.TRUNCATED)
            self._in_frame = True
        elif byte == ESCAPE:
            self._take_plain(b"\xff")
        elif byte != NOP:
            if self._in_frame:
                self._drop(FrameFault.BAD_ESCAPE)
            else:
                self._unframed += bytes((ESCAPE, byte))

    def _take_plain(self, data: bytes) -> None:
        """Take bytes without escapes: up to the end of the frame, if there is one, then noise."""
        while self._in_frame and data:
            missing = self._missing_bytes()
            self._body += data[:missing]
            data = data[missing:]
            if self._missing_bytes() == 0:
                self._finish_frame()
        self._unframed += data.replace(bytes((NOP,)), b"")

    def _missing_bytes(self) -> int:
        """How many bytes are missing of the length field, or else of the whole frame."""
        if len(self._body) < _LENGTH.size:
            return _LENGTH.size - len(self._body)
        (payload_bytes,) = _LENGTH.unpack_from(self._body)
        if payload_bytes > self._max_payload_bytes:
            return 0
        return int(_LENGTH.size + payload_bytes + _CRC.size) - len(self._body)

    def _finish_frame(self) -> None:
        (payload_bytes,) = _LENGTH.unpack_from(self._body)
        if payload_bytes > self._max_payload_bytes:
            self._drop(FrameFault.TOO_LARGE)
            return
        summed, (crc,) = bytes(self._body[: -_CRC.size]), _CRC.unpack(self._body[-_CRC.size :])
        if crc16(_START_BYTES + escape(summed)) != crc:
            self._drop(FrameFault.BAD_CRC)
            return
        self._end_frame(Frame(summed[_LENGTH.size :]))

    def _drop(self, fault: FrameFault) -> None:
        self._end_frame(FrameError(fault))

    def _end_frame(self, event: FrameEvent) -> None:
        self._flush_unframed()
        self._events.append(event)
        self._body.clear()
        self._in_frame = False

    def _flush_unframed(self) -> None:
        if self._unframed:
            self._events.append(Unframed(bytes(self._unframed)))
            self._unframed.clear()
