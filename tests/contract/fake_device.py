"""A device in Python, without I/O: bytes in, bytes out. It can be told to misbehave.

It runs the model "double": one float32 vector of 4 elements in, twice that out.
"""

from __future__ import annotations

import struct
import time

from pytest_microtvm.deadline import Deadline
from pytest_microtvm.errors import TransportClosed, TransportTimeout
from pytest_microtvm.project.descriptions import RecommendedTimeouts
from pytest_microtvm.session.transport import Transport
from pytest_microtvm.session.wire.checked import CHECKED_MESSAGES, seal, unseal
from pytest_microtvm.session.wire.framing import Frame, FrameDecoder, encode
from pytest_microtvm.session.wire.rpc import RpcCode, pack_packet, packet_code
from pytest_microtvm.session.wire.session import MessageType, pack_message, parse_message
from tests.rpc_packets import exception_packet

BUILD_ID = "0123456789abcdef"
COUNT = 4
SIZE_BYTES = 4 * COUNT
INPUT, OUTPUT = 0x1000, 0x2000
FUNCTIONS = (
    "microtvm.build_id",
    "tvm.rpc.server.GetCRTMaxPacketSize",
    "microtvm.model.get_input",
    "microtvm.model.get_output",
    "microtvm.model.run",
)
RUN = FUNCTIONS.index("microtvm.model.run") + 1

NOTHING = struct.pack("<ii", 1, 0)
BABBLE = b"What is the matter with you today?\r\n" * 20
LOG = "the pump is on fire"


class Died(Exception):
    """The device is gone."""


class FakeDevice:
    """What a device does with the bytes it receives.

    Args:
        behaviour: Empty for a good device; else what is wrong with it, one of `MISBEHAVIOURS`.
        checked: Whether it knows checked messages.
    """

    def __init__(self, behaviour: str = "", *, checked: bool = True) -> None:
        self.behaviour = behaviour
        self._checks = checked
        self._decoder = FrameDecoder()
        self._memory = {INPUT: bytearray(SIZE_BYTES), OUTPUT: bytearray(SIZE_BYTES)}
        self._session_id = 0
        self._checked = False
        self._stuck = False
        self.served = 0

    def boot(self) -> bytes:
        """What it sends after a reset."""
        self._session_id = 0
        if self.behaviour == "silent":
            return b""
        return b"\xfe" + encode(pack_message(0, MessageType.TERMINATE))

    def idle(self) -> bytes:
        """What it sends unasked."""
        if self.behaviour == "babbling":
            return BABBLE
        if self.behaviour == "resetting in a loop":
            return self.log("boot 1.2") + self.boot()
        return b""

    def feed(self, data: bytes) -> bytes:
        """Take bytes; what it answers."""
        if self.behaviour in ("silent", "babbling", "resetting in a loop") or self._stuck:
            return b""
        answer = b""
        for event in self._decoder.feed(data):
            if isinstance(event, Frame):
                answer += self._serve(event.payload)
        return answer

    def log(self, text: str) -> bytes:
        return encode(pack_message(0, MessageType.LOG, text.encode()))

    def _serve(self, payload: bytes) -> bytes:
        message = parse_message(payload)
        if message.type == MessageType.START_INIT:
            return self._start(message.session_id, message.body)
        if message.session_id != self._session_id:
            return b""
        if message.type == MessageType.NORMAL and not self._checked:
            return self._answer(0, message.body)
        content = unseal(pack_message(message.session_id, MessageType.CHECKED), message.body)
        if message.type != MessageType.CHECKED or not self._checked or content is None:
            return b""
        return self._answer(*content)

    def _start(self, nonce: int, body: bytes) -> bytes:
        if self.behaviour == "another version":
            return encode(pack_message(nonce, MessageType.START_REPLY, b"\x02"))
        if len(body) > 1 and not self._checks:
            return encode(pack_message(nonce, MessageType.START_REPLY, b"\x01"))
        self._session_id = nonce | 0x0500
        self._checked = len(body) > 1
        granted = b"\x01" + bytes((CHECKED_MESSAGES,)) if self._checked else b"\x01"
        if self.behaviour == "wrong session at the start":
            other = 0x0500 | (nonce % 255 + 1)
            return encode(pack_message(other, MessageType.START_REPLY, granted))
        return encode(pack_message(self._session_id, MessageType.START_REPLY, granted))

    def _answer(self, sequence: int, packet: bytes) -> bytes:
        self.served += 1
        reply: bytes | None = self._reply(packet)
        is_run = packet_code(packet) == RpcCode.CALL_FUNCTION and packet[12] == RUN
        before = b""
        if is_run and reply is not None:
            before, reply = self._spoil(reply)
        if reply is None:
            return before
        session_id = self._session_id
        if is_run and self.behaviour == "wrong session id":
            session_id ^= 0x1100
        header = pack_message(session_id, MessageType.CHECKED)
        if not self._checked:
            header = pack_message(session_id, MessageType.NORMAL)
            frame = encode(header + reply)
        else:
            if is_run and self.behaviour == "an old answer":
                sequence -= 1
            frame = encode(header + seal(header, sequence, reply))
        if is_run and self.behaviour == "damaged frame":
            frame = frame[:20] + bytes((frame[20] ^ 0x10,)) + frame[21:]
        if is_run and self.behaviour == "stops in a frame":
            frame = frame[:25]
            self._stuck = True
        return before + frame

    def _spoil(self, reply: bytes) -> tuple[bytes, bytes | None]:
        """What the answer to `run` becomes: bytes before it, and the packet or none."""
        behaviour = self.behaviour
        if behaviour == "stuck in a call":
            self._stuck = True
            return self.log(LOG), None
        if behaviour == "loses a request":
            return self.log(LOG), None
        if behaviour == "ends the session":
            return encode(pack_message(self._session_id, MessageType.TERMINATE)), None
        if behaviour == "resets in a call":
            return self.log(LOG) + self.boot(), None
        if behaviour == "oversized frame":
            return b"\xff\xfd" + struct.pack("<I", 1 << 30) + b"x" * 100, None
        if behaviour == "dies":
            raise Died
        if behaviour == "wrong kind of reply":
            return b"", pack_packet(RpcCode.COPY_ACK, b"what?")
        if behaviour == "malformed reply":
            body = struct.pack("<iiqiq", 2_000_000_000, 1, 3, 3, 0)
            return b"", pack_packet(RpcCode.RETURN, body)
        if behaviour == "answers with text":
            body = struct.pack("<iiqiQ", 2, 1, 65, 8, 4) + b"soon"
            return b"", pack_packet(RpcCode.RETURN, body)
        if behaviour == "raises":
            return b"", exception_packet("run: out of luck (status -7)")
        return b"", reply

    def _reply(self, packet: bytes) -> bytes:
        code, body = packet_code(packet), packet[12:]
        if code == RpcCode.GET_GLOBAL_FUNCTION:
            name = body[16:].decode()
            handle = FUNCTIONS.index(name) + 1 if name in FUNCTIONS else 0
            return pack_packet(RpcCode.RETURN, struct.pack("<iiQ", 1, 4, handle))
        if code == RpcCode.CALL_FUNCTION:
            return self._call(FUNCTIONS[body[0] - 1])
        if code == RpcCode.COPY_TO_REMOTE:
            address, size = self._range(body)
            self._memory[address][:size] = body[48:]
        elif code == RpcCode.COPY_FROM_REMOTE:
            address, size = self._range(body)
            return pack_packet(RpcCode.COPY_ACK, bytes(self._memory[address][:size]))
        return pack_packet(RpcCode.RETURN, NOTHING)

    def _range(self, body: bytes) -> tuple[int, int]:
        (address,), (size,) = struct.unpack_from("<Q", body), struct.unpack_from("<Q", body, 40)
        return address, size

    def _call(self, name: str) -> bytes:
        if name == "microtvm.build_id":
            text = BUILD_ID.encode()
            body = struct.pack("<iiqiQ", 2, 1, 65, 8, len(text)) + text
        elif name == "tvm.rpc.server.GetCRTMaxPacketSize":
            body = struct.pack("<iiqiq", 2, 1, 1, 1, 1000)
        elif name == "microtvm.model.run":
            values = struct.unpack("<4f", self._memory[INPUT])
            self._memory[OUTPUT][:] = struct.pack("<4f", *(2 * v for v in values))
            body = struct.pack("<iiqid", 2, 1, 3, 3, 0.001)
        else:
            address = INPUT if name.endswith("input") else OUTPUT
            count = COUNT + (self.behaviour == "another shape")
            view = struct.pack("<iQiiiBBHqQ", 7, address, 1, 0, 1, 2, 32, 1, count, 0)
            body = struct.pack("<iiq", 3, 1, 70) + view + struct.pack("<iQ", 4, 0)
        return pack_packet(RpcCode.RETURN, body)


class FakeTransport(Transport):
    """A fake device in this process."""

    def __init__(self, device: FakeDevice, start_timeout_s: float = 0.0) -> None:
        self.device = device
        self.opened = 0
        self._timeouts = RecommendedTimeouts(0.0, start_timeout_s, 0.0)
        self._pending = bytearray()
        self._dead = False

    def open(self, deadline: Deadline) -> RecommendedTimeouts:
        self.opened += 1
        self._dead = False
        self._pending[:] = self.device.boot()
        return self._timeouts

    def close(self) -> None:
        self._dead = True

    def read(self, size: int, deadline: Deadline) -> bytes:
        while not self._pending:
            self._pending += self.device.idle()
            if self._pending:
                break
            if self._dead:
                raise TransportClosed("the process ended with exit status 3")
            if deadline.expired:
                raise TransportTimeout("nothing came")
            time.sleep(min(deadline.remaining_s, 0.01))
        data = bytes(self._pending[:size])
        del self._pending[:size]
        return data

    def write(self, data: bytes, deadline: Deadline) -> None:
        if self._dead:
            raise TransportClosed("the process ended with exit status 3")
        try:
            self._pending += self.device.feed(data)
        except Died:
            self._dead = True
