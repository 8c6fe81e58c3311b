"""As much of TVM's RPC packets as the bridge looks at."""

from __future__ import annotations

import struct

import pytest

from pytest_microtvm.errors import ProtocolError
from pytest_microtvm.session.wire.rpc import (
    PacketSplitter,
    greeting_reply,
    packet_code,
    parse_greeting,
)

SHUTDOWN = struct.pack("<Qi", 4, 1)
RETURN_NONE = struct.pack("<Qiii", 12, 4, 1, 0)
GREETING = struct.pack("<ii", 0xFF271, 8) + b"client:k"


def test_a_code_may_be_unknown_but_not_missing() -> None:
    assert packet_code(struct.pack("<Qi", 4, 99)) == 99
    for packet in (b"", struct.pack("<Q", 0), struct.pack("<Qi", 5, 4), RETURN_NONE + b"x"):
        with pytest.raises(ProtocolError, match="RPC packet"):
            packet_code(packet)


@pytest.mark.parametrize("portion", [1, 3, 11, 100])
def test_cuts_a_stream_into_packets(portion: int) -> None:
    splitter = PacketSplitter()
    stream = RETURN_NONE + bytes(8) + SHUTDOWN + RETURN_NONE[:9]
    packets: list[bytes] = []
    for start in range(0, len(stream), portion):
        packets += splitter.feed(stream[start : start + portion])
    assert packets == [RETURN_NONE, SHUTDOWN]
    assert splitter.feed(RETURN_NONE[9:]) == [RETURN_NONE]


def test_a_packet_too_large_is_an_error() -> None:
    splitter = PacketSplitter(max_packet_bytes=100)
    assert splitter.feed(struct.pack("<Q", 100)) == []
    with pytest.raises(ProtocolError, match="101 bytes; at most 100"):
        PacketSplitter(max_packet_bytes=100).feed(struct.pack("<Q", 101))


def test_greets_a_client() -> None:
    for end in range(len(GREETING)):
        assert parse_greeting(GREETING[:end]) is None
    assert parse_greeting(GREETING + SHUTDOWN) == (b"client:k", SHUTDOWN)
    assert greeting_reply("server:x") == struct.pack("<ii", 0xFF271, 8) + b"server:x"


@pytest.mark.parametrize(
    "data",
    [b"GET / HTTP/1.1\r\n", struct.pack("<ii", 0xFF271, -1), struct.pack("<ii", 0xFF271, 5000)],
)
def test_turns_others_away(data: bytes) -> None:
    with pytest.raises(ProtocolError, match="no TVM RPC client"):
        parse_greeting(data)
