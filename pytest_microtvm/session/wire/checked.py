"""Checked messages: an RPC packet with a number and a sum of its own.

    session id: u16 | type: u8 (0x11) | sequence: u8 | RPC packet | crc: u32

The CRC-16 of a frame misses one in 65,536 of the frames that are damaged beyond a few bits, and it
knows nothing of a frame that came twice. The CRC-32 (as of IEEE 802.3) covers all before it: both
sums together miss one in 2^48. The sequence counts the requests of a session from 1, modulo
256, and an answer carries the number of its request: it is never taken for that of another.
"""

from __future__ import annotations

import struct
import zlib

CHECKED_MESSAGES = 0x01
"""The bit that asks for checked messages when a session starts."""

_CRC = struct.Struct("<I")
_SEQUENCE_BYTES = 1
OVERHEAD_BYTES = _SEQUENCE_BYTES + _CRC.size


def seal(header: bytes, sequence: int, packet: bytes) -> bytes:
    """Make the body of a checked message.

    Args:
        header: The session header of the message.
        sequence: 0 to 255.
        packet: An RPC packet.

    Returns:
        What follows the header.
    """
    body = bytes((sequence,)) + packet
    return body + _CRC.pack(zlib.crc32(header + body))


def unseal(header: bytes, body: bytes) -> tuple[int, bytes] | None:
    """Take the body of a checked message apart.

    Args:
        header: The session header of the message.
        body: What followed it.

    Returns:
        The sequence and the RPC packet; None when the message is damaged.
    """
    if len(body) < OVERHEAD_BYTES:
        return None
    content, (crc,) = body[: -_CRC.size], _CRC.unpack(body[-_CRC.size :])
    if zlib.crc32(header + content) != crc:
        return None
    return content[0], content[_SEQUENCE_BYTES:]
