"""Packets that a device sends and the host never does."""

from __future__ import annotations

import struct

from pytest_microtvm.session.wire.rpc import RpcCode, pack_packet

RAW_STRING = 8  # type index of a string in a sequence of values


def exception_packet(message: str) -> bytes:
    """The packet that raises an error with this message at the client."""
    text = message.encode()
    return pack_packet(RpcCode.EXCEPTION, struct.pack("<iiQ", 1, RAW_STRING, len(text)) + text)
