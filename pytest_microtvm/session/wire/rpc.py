"""As much of TVM's RPC protocol 0.8.0 as it takes to carry its packets.

    length: u64 | code: i32 | body          length counts code and body; integers little-endian

On the client's TCP connection packets follow each other after a greeting of both sides; on the link
to the device each packet is one message. Source: src/runtime/rpc of apache-tvm 0.27.
"""

from __future__ import annotations

import enum
import struct

from pytest_microtvm.errors import ProtocolError

PROTOCOL_VERSION = "0.8.0"

_LENGTH = struct.Struct("<Q")
_CODE = struct.Struct("<i")
_HEADER_BYTES = _LENGTH.size + _CODE.size

_GREETING = struct.Struct("<ii")
_MAGIC = 0xFF271
_MAX_KEY_BYTES = 4096


DEFAULT_MAX_PACKET_BYTES = 1 << 24


class RpcCode(enum.IntEnum):
    """What a packet is for."""

    NONE = 0
    SHUTDOWN = 1
    INIT_SERVER = 2
    CALL_FUNCTION = 3
    RETURN = 4
    EXCEPTION = 5
    COPY_FROM_REMOTE = 6
    COPY_TO_REMOTE = 7
    COPY_ACK = 8
    GET_GLOBAL_FUNCTION = 9
    FREE_HANDLE = 10
    SET_DEVICE = 11
    GET_DEVICE_ATTRIBUTE = 12
    ALLOCATE = 13
    FREE = 14
    STREAM_SYNC = 15
    COPY_AMONG_REMOTE = 16
    ALLOCATE_WITH_SCOPE = 17
    CREATE_STREAM = 18
    FREE_STREAM = 19
    SET_STREAM = 20
    GET_STREAM = 21


def packet_code(packet: bytes) -> int:
    """What a packet is for: a value of `RpcCode`, or another number that the client made up.

    Raises:
        ProtocolError: Its length field does not count what follows it, or there is no code.
    """
    if len(packet) < _HEADER_BYTES:
        raise ProtocolError(f"an RPC packet of {len(packet)} bytes has no code")
    (announced,) = _LENGTH.unpack_from(packet)
    if announced != len(packet) - _LENGTH.size:
        raise ProtocolError(
            f"an RPC packet announces {announced} bytes and has {len(packet) - _LENGTH.size}"
        )
    return int(_CODE.unpack_from(packet, _LENGTH.size)[0])


def pack_packet(code: RpcCode, body: bytes = b"") -> bytes:
    """A packet with its length field."""
    return _LENGTH.pack(_CODE.size + len(body)) + _CODE.pack(code) + body


def greeting_reply(key: str) -> bytes:
    """What a server answers to the greeting of a client: all is well, and the server's key."""
    text = key.encode()
    return _GREETING.pack(_MAGIC, len(text)) + text


def greeting(key: str) -> bytes:
    """What a client says first: who it is."""
    return greeting_reply(key)  # the same fields


def parse_greeting(data: bytes) -> tuple[bytes, bytes] | None:
    """Take the greeting of a client, or a server's answer, off the start of a byte stream.

    Args:
        data: All bytes received so far.

    Returns:
        The key of the other side, as it says, and the bytes after the greeting; or None when it is
        not complete yet.

    Raises:
        ProtocolError: This is no RPC client, or a server that refuses.
    """
    if len(data) < _GREETING.size:
        return None
    magic, key_bytes = _GREETING.unpack_from(data)
    if magic != _MAGIC or not 0 <= key_bytes <= _MAX_KEY_BYTES:
        raise ProtocolError("the program at the bridge's port is no TVM RPC client")
    end = _GREETING.size + key_bytes
    if len(data) < end:
        return None
    return data[_GREETING.size : end], data[end:]


class PacketSplitter:
    """Cuts a client's byte stream, after its greeting, into packets.

    Args:
        max_packet_bytes: A packet that announces more than this is an error; bounds the memory.
    """

    def __init__(self, max_packet_bytes: int = DEFAULT_MAX_PACKET_BYTES) -> None:
        self._max_packet_bytes = max_packet_bytes
        self._pending = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        """Take the next bytes of the stream.

        Args:
            data: Any number of bytes.

        Returns:
            The packets that they completed, each with its length field.

        Raises:
            ProtocolError: A packet announces more bytes than allowed; the stream is lost.
        """
        self._pending += data
        packets = []
        while len(self._pending) >= _LENGTH.size:
            (announced,) = _LENGTH.unpack_from(self._pending)
            if announced > self._max_packet_bytes:
                raise ProtocolError(
                    f"the RPC client announces a packet of {announced} bytes; "
                    f"at most {self._max_packet_bytes} are allowed"
                )
            end = _LENGTH.size + announced
            if len(self._pending) < end:
                break
            # TVM's own servers skip empty packets.
            if announced > 0:
                packets.append(bytes(self._pending[:end]))
            del self._pending[:end]
        return packets
