"""Frames in Python, against the golden vectors shared with the C runtime."""

from __future__ import annotations

import random

import pytest

from pytest_microtvm.session.wire.framing import (
    Frame,
    FrameDecoder,
    FrameError,
    FrameEvent,
    FrameFault,
    Unframed,
    crc16,
    encode,
)
from tests.c.vectors import FRAMES, STREAMS, FrameVector, StreamVector

NAMES = {
    FrameFault.BAD_CRC: "bad_crc",
    FrameFault.BAD_ESCAPE: "broken",
    FrameFault.TRUNCATED: "broken",
    FrameFault.TOO_LARGE: "too_large",
}
ONE = encode(b"one")


def without_noise(events: list[FrameEvent]) -> list[tuple[str, ...]]:
    """Events as the vectors write them; the C runtime does not report bytes outside frames."""
    written: list[tuple[str, ...]] = []
    for event in events:
        if isinstance(event, Frame):
            written.append(("frame", event.payload.hex()))
        elif isinstance(event, FrameError):
            written.append((NAMES[event.fault],))
    return written


def test_the_checksum_is_the_one_everybody_knows() -> None:
    assert crc16(b"123456789") == 0x29B1  # CRC-16/CCITT-FALSE, the check value of the catalogues


@pytest.mark.parametrize("vector", FRAMES, ids=lambda vector: vector.name)
def test_encodes(vector: FrameVector) -> None:
    assert encode(vector.payload) == vector.wire
    assert FrameDecoder().feed(vector.wire) == [Frame(vector.payload)]


@pytest.mark.parametrize("portion", [1, 2, 3, 1000])
@pytest.mark.parametrize("vector", STREAMS, ids=lambda vector: vector.name)
def test_decodes_in_portions(vector: StreamVector, portion: int) -> None:
    decoder = FrameDecoder(vector.capacity_bytes)
    events: list[FrameEvent] = []
    for start in range(0, len(vector.wire), portion):
        events += decoder.feed(vector.wire[start : start + portion])
    assert without_noise(events) == list(vector.events)


def test_text_outside_frames_is_kept_in_its_place() -> None:
    stream = b"SeaBIOS\r\n\xfe" + ONE + b"panic\xff\x00\xff\xff" + ONE
    assert FrameDecoder().feed(stream) == [
        Unframed(b"SeaBIOS\r\n"),
        Frame(b"one"),
        Unframed(b"panic\xff\x00\xff"),
        Frame(b"one"),
    ]


def test_says_what_was_wrong_with_a_frame() -> None:
    assert FrameDecoder().feed(ONE[:7] + ONE) == [
        FrameError(FrameFault.TRUNCATED),
        Frame(b"one"),
    ]
    assert FrameDecoder().feed(ONE[:7] + b"\xff\x01ne" + ONE) == [
        FrameError(FrameFault.BAD_ESCAPE),
        Unframed(b"ne"),
        Frame(b"one"),
    ]


def test_memory_is_bounded() -> None:
    decoder = FrameDecoder(max_payload_bytes=100)
    assert decoder.feed(b"\xff\xfd\x65\x00\x00\x00") == [FrameError(FrameFault.TOO_LARGE)]
    assert decoder.feed(bytes(5)) == [Unframed(bytes(5))]
    assert decoder.feed(encode(bytes(100))) == [Frame(bytes(100))]


@pytest.mark.parametrize("seed", range(3))
def test_finds_the_next_frame_after_any_noise(seed: int) -> None:
    generator = random.Random(seed)
    decoder = FrameDecoder(max_payload_bytes=64)
    for _ in range(300):
        noise = bytes(
            generator.choice((0xFF, 0xFD, 0xFE, 0, 5, generator.randrange(256)))
            for _ in range(generator.randrange(40))
        )
        decoder.feed(noise)
        # The nops end an escape sequence that the noise may have left open.
        assert decoder.feed(b"\xff\xfe\xff\xfe" + ONE)[-1] == Frame(b"one")
