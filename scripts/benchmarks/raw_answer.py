"""Calls the model of the firmware at a serial port once, without any of this project's host side.

usage: python raw_answer.py PORT

What a script of one's own would do: docs/protocol.md by heart, inputs as they happen to be, no
checks. Prints the answer.
"""

from __future__ import annotations

import binascii
import struct
import sys

import serial


def frame(payload: bytes) -> bytes:
    """A frame as docs/protocol.md has it."""
    body = (struct.pack("<I", len(payload)) + payload).replace(b"\xff", b"\xff\xff")
    data = b"\xff\xfd" + body
    crc = struct.pack("<H", binascii.crc_hqx(data, 0xFFFF))
    return data + crc.replace(b"\xff", b"\xff\xff")


def receive(port: serial.Serial) -> bytes:
    """The payload of the next frame."""
    port.read_until(b"\xff\xfd")
    (size,) = struct.unpack("<I", unescaped(port, 4))
    payload = unescaped(port, size)
    unescaped(port, 2)
    return payload


def unescaped(port: serial.Serial, count: int) -> bytes:
    """Bytes without their escapes."""
    data = b""
    while len(data) < count:
        byte = port.read(1)
        data += port.read(1) if byte == b"\xff" else byte
    return data


def main() -> None:
    """Ask."""
    with serial.Serial(sys.argv[1], 115200, timeout=5.0) as port:
        port.write(frame(struct.pack("<HBB", 7, 0, 1)))
        answer = receive(port)
        while answer[2] != 1:  # what it said before
            answer = receive(port)
        session = answer[:2]

        def call(code: int, body: bytes) -> bytes:
            packet = struct.pack("<Qi", 4 + len(body), code) + body
            port.write(frame(session + b"\x10" + packet))
            return receive(port)[3:]

        name = b"microtvm.model.run"
        found = call(9, struct.pack("<iiQ", 1, 8, len(name)) + name)
        result = call(3, found[-8:] + struct.pack("<i", 0))
        sys.stdout.write(f"{struct.unpack('<d', result[-8:])[0]} s\n")


if __name__ == "__main__":
    main()
