"""Random bytes and damage: whatever comes, the device neither crashes nor loses the next session.

The sanitizers watch; a device that dies or has something to say fails the test. Seeded and bounded.
"""

from __future__ import annotations

import random
import struct
import time

import pytest

from pytest_microtvm.session.wire.framing import encode
from pytest_microtvm.session.wire.rpc import RpcCode
from pytest_microtvm.session.wire.session import MessageType, pack_message
from tests.c.client import INIT_BODY, assert_usable, tensor
from tests.c.device import Device
from tests.c.values import TensorView, handle, integer, raw_string, sequence

SECONDS = 1.0
ROUND_PACKETS = 200


def seeds(device: Device) -> list[bytes]:
    """Sound packets to damage."""
    x = tensor(device, "microtvm.model.get_input")
    bodies = [
        (RpcCode.INIT_SERVER, INIT_BODY),
        (RpcCode.GET_GLOBAL_FUNCTION, sequence(raw_string("microtvm.model.run"))),
        (RpcCode.FREE_HANDLE, sequence(handle(1))),
        *((RpcCode.CALL_FUNCTION, struct.pack("<Q", i) + sequence(integer(0))) for i in range(7)),
        *((RpcCode.CALL_FUNCTION, struct.pack("<Q", i) + sequence()) for i in range(7)),
        (RpcCode.COPY_FROM_REMOTE, x.pack() + struct.pack("<Q", 40)),
        (RpcCode.COPY_TO_REMOTE, x.pack() + struct.pack("<Q", 40) + bytes(40)),
        (RpcCode.STREAM_SYNC, sequence(TensorView(1, (1, 2)).pack())),
    ]
    return [struct.pack("<Qi", 4 + len(body), code) + body for code, body in bodies]


def damage(generator: random.Random, packet: bytes) -> bytes:
    """One to three fields or bytes changed, cut or repeated; the length field often mended."""
    damaged = bytearray(packet)
    for _ in range(generator.randrange(1, 4)):
        position = generator.randrange(8, len(damaged) + 1)
        kind = generator.randrange(4)
        if kind == 0:
            damaged[position:] = b""
        elif kind == 1:
            damaged[position : position + 4] = generator.choice(
                (b"\xff\xff\xff\xff", b"\x00\x00\x00\x80", b"\x00\x00\x00\x00", b"\x01\x00\x00\x00")
            )
        elif kind == 2:
            damaged[position:position] = generator.randbytes(generator.randrange(1, 20))
        else:
            damaged[position : position + 1] = generator.randbytes(1)
        if len(damaged) < 9:
            break
    if generator.random() < 0.8:
        damaged[:8] = struct.pack("<Q", len(damaged) - 8)
    return bytes(damaged)


@pytest.mark.parametrize("seed", [1, 2])
def test_damaged_packets(device: Device, seed: int) -> None:
    generator = random.Random(seed)
    device.start()
    device.request(RpcCode.INIT_SERVER, INIT_BODY)
    sound = seeds(device)
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        packets = [damage(generator, generator.choice(sound)) for _ in range(ROUND_PACKETS)]
        for packet in packets:
            payload = pack_message(device.session.session_id, MessageType.NORMAL, packet)
            device.write(encode(payload))
            device.drain(0)
        device.drain(0.05)
        device.start(generator.randrange(1, 256))  # a damaged packet may say shutdown
        device.request(RpcCode.INIT_SERVER, INIT_BODY)
        assert_usable(device)


@pytest.mark.parametrize("seed", [3, 4])
def test_random_streams(device: Device, seed: int) -> None:
    generator = random.Random(seed)
    device.start()
    device.request(RpcCode.INIT_SERVER, INIT_BODY)
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        size = generator.randrange(1, 3000)
        # Full of frame starts, escapes and small numbers, or else plain noise.
        special = bytes(generator.choice((0xFF, 0xFD, 0xFE, 0, 3, 0x10)) for _ in range(size))
        device.write(generator.choice((special, generator.randbytes(size))))
        # Noise may end in an escape byte, which costs the next frame: so a nop, as a host may send.
        device.drain(0.02)
        device.write(b"\xff\xfe\xff\xfe" + device.session.start(generator.randrange(1, 256)))
        device.start(generator.randrange(1, 256))
        device.request(RpcCode.INIT_SERVER, INIT_BODY)
        assert_usable(device)
