"""Programs of others that connect to the bridge's port."""

from __future__ import annotations

import socket
import struct

MAGIC = 0xFF271
KEY = "0123456789abcdef" * 2


def greeting(key: str | bytes) -> bytes:
    """What a client says first."""
    text = b"client:" + (key.encode() if isinstance(key, str) else key)
    return struct.pack("<ii", MAGIC, len(text)) + text


GREETINGS = {
    "no client": b"GET / HTTP/1.1\r\n\r\n",
    "another key": greeting("f" * len(KEY)),
    "no text": greeting(b"\xff" * len(KEY)),
    "only high bytes": struct.pack("<ii", MAGIC, len(KEY) + 7) + b"\xff" * (len(KEY) + 7),
    "no key": struct.pack("<ii", MAGIC, 0),
    "a key too short": greeting(KEY[:-1]),
    "a negative length": struct.pack("<ii", MAGIC, -1),
    "a huge length": struct.pack("<ii", MAGIC, 1 << 30) + b"x" * 4096,
    "the key and more": greeting(KEY) + b"more",
}


def connect(port: int, text: bytes) -> socket.socket:
    """Connect to a port of this machine and say something."""
    connection = socket.create_connection(("127.0.0.1", port), timeout=30)
    connection.sendall(text)
    return connection
