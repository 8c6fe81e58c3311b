"""Runs the model of the firmware at a serial port once, without any of this project's host side.

usage: python raw_answer.py PORT PACKET_BYTES < INPUT > OUTPUT

What a script of one's own would do for a model with one input and one output: docs/protocol.md by
heart, and no deadlines, retries or words of its own for what may go wrong.
"""

from __future__ import annotations

import binascii
import math
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


def device_tensor(answer: bytes) -> tuple[bytes, int]:
    """The tensor that a call answered with, as it is named in a copy, and its size in bytes."""
    start = struct.calcsize("<iiqi")
    ndim, _code, bits, _lanes = struct.unpack_from("<iBBH", answer, start + 16)
    shape = struct.unpack_from(f"<{ndim}q", answer, start + 24)
    return answer[start : start + 24 + 8 * ndim], math.prod(shape) * bits // 8


class Device:
    """A session with the device.

    Args:
        port: Open.
    """

    def __init__(self, port: serial.Serial) -> None:
        self._port = port
        port.write(frame(struct.pack("<HBB", 7, 0, 1)))
        answer = receive(port)
        while answer[2] != 1:  # what it said before
            answer = receive(port)
        self._session = answer[:2]
        self.request(2, struct.pack("<Q5si", 5, b"0.8.0", 0))

    def request(self, code: int, body: bytes) -> bytes:
        """Send a request; the body of its answer."""
        packet = struct.pack("<Qi", 4 + len(body), code) + body
        self._port.write(frame(self._session + b"\x10" + packet))
        while (answer := receive(self._port))[2] != 0x10:  # log lines
            pass
        (kind,) = struct.unpack_from("<i", answer, 11)
        if kind not in (4, 8):
            raise SystemExit(f"the device answers: {answer[15:]!r}")
        return answer[15:]

    def call(self, name: bytes, *arguments: int) -> bytes:
        """Call a function by its name."""
        found = self.request(9, struct.pack("<iiQ", 1, 8, len(name)) + name)
        values = b"".join(struct.pack("<iq", 1, argument) for argument in arguments)
        return self.request(3, found[-8:] + struct.pack("<i", len(arguments)) + values)


def main() -> None:
    """Write the input, run, read the output."""
    data, packet_bytes = sys.stdin.buffer.read(), int(sys.argv[2])
    with serial.Serial(sys.argv[1], 115200, timeout=5.0) as port:
        device = Device(port)

        def copy(code: int, name: bytes, data: bytes | None) -> bytes:
            tensor, size = device_tensor(device.call(name, 0))
            step = packet_bytes - len(tensor) - 20
            parts = []
            for start in range(0, size, step):
                count = min(step, size - start)
                body = tensor + struct.pack("<QQ", start, count)
                parts.append(device.request(code, body + (data or b"")[start : start + count]))
            return b"".join(parts)

        copy(7, b"microtvm.model.get_input", data)
        device.call(b"microtvm.model.run")
        sys.stdout.buffer.write(copy(6, b"microtvm.model.get_output", None))


if __name__ == "__main__":
    main()
