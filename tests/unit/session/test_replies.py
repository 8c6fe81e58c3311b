"""Answers of devices, good and bad, as TVM's client would read them."""

from __future__ import annotations

import contextlib
import random
import struct

import pytest

from pytest_microtvm.errors import ProtocolError
from pytest_microtvm.session.replies import check_reply
from pytest_microtvm.session.wire.rpc import RpcCode, pack_packet
from tests.rpc_packets import exception_packet

CALL = pack_packet(RpcCode.CALL_FUNCTION, struct.pack("<Qi", 1, 0))
LOOKUP = pack_packet(RpcCode.GET_GLOBAL_FUNCTION, struct.pack("<iiQ", 1, 8, 1) + b"f")
COPY_TO = pack_packet(RpcCode.COPY_TO_REMOTE, bytes(48))
COPY_FROM = pack_packet(RpcCode.COPY_FROM_REMOTE, bytes(40) + struct.pack("<Q", 5))
REQUESTS = {"call": CALL, "lookup": LOOKUP, "copy to": COPY_TO, "copy from": COPY_FROM}

NOTHING = struct.pack("<ii", 1, 0)
HANDLE = struct.pack("<iiQ", 1, 4, 7)


def view(
    device: int = 1, ndim: int = 1, bits: int = 32, lanes: int = 1, shape: tuple[int, ...] = (4,)
) -> bytes:
    fields = struct.pack("<iQiiiBBH", 7, 0x1000, device, 0, ndim, 2, bits, lanes)
    return fields + struct.pack(f"<{len(shape)}q", *shape) + struct.pack("<Q", 0)


def returned(kind: int, *values: bytes) -> bytes:
    return struct.pack("<iiq", 1 + len(values), 1, kind) + b"".join(values)


INT = struct.pack("<iq", 1, 5)
TEXT = struct.pack("<iQ", 8, 3) + b"abc"
OWNED_TEXT = struct.pack("<iiQ", 65, 65, 3) + b"abc"
NONE = struct.pack("<i", 0)
POINTER = struct.pack("<iQ", 4, 0)

GOOD = {
    "an int": ("call", returned(1, INT)),
    "a float": ("call", returned(3, struct.pack("<id", 3, 0.5))),
    "a text": ("call", returned(65, TEXT)),
    "a short text": ("call", returned(11, TEXT)),
    "an owned text": ("call", returned(65, OWNED_TEXT)),
    "bytes": ("call", returned(66, struct.pack("<iQ", 9, 2) + b"\xff\xff")),
    "a tensor": ("call", returned(70, view(), POINTER)),
    "a tensor without dimensions": ("call", returned(70, view(ndim=0, shape=()), POINTER)),
    "a module": ("call", returned(73, POINTER)),
    "nothing": ("call", returned(0, NONE)),
    "a handle": ("lookup", HANDLE),
    "no handle": ("lookup", NOTHING),
    "an acknowledgement": ("copy to", NOTHING),
}
BAD = {
    "no sequence": ("call", b""),
    "a negative count": ("call", struct.pack("<i", -1)),
    "a large count": ("call", struct.pack("<i", 1 << 30)),
    "no type": ("call", struct.pack("<i", 0)),
    "a type that is no int": ("call", struct.pack("<ii", 1, 0)),
    "no value": ("call", returned(1)),
    "two values": ("call", returned(1, INT, INT)),
    "another type": ("call", returned(3, INT)),
    "an int for a text": ("call", returned(65, INT)),
    "an int for a tensor": ("call", returned(70, INT, POINTER)),
    "a tensor without handle": ("call", returned(70, view())),
    "a text longer than the packet": ("call", returned(65, struct.pack("<iQ", 8, 1 << 60))),
    "a text that is not UTF-8": ("call", returned(65, struct.pack("<iQ", 8, 1) + b"\xff")),
    "an owned text of unknown type": ("call", returned(65, struct.pack("<iiQ", 65, 99, 0))),
    "a cut int": ("call", returned(1, INT[:-1])),
    "bytes left over": ("call", returned(1, INT) + b"x"),
    "an unknown type": ("call", returned(42, struct.pack("<iq", 42, 0))),
    "an object": ("call", returned(160, struct.pack("<iiq", 160, 160, 0))),
    "many dimensions": ("call", returned(70, view(ndim=1 << 20), POINTER)),
    "negative dimensions": ("call", returned(70, view(ndim=-1), POINTER)),
    "a negative extent": ("call", returned(70, view(shape=(-4,)), POINTER)),
    "a tensor beyond all memory": (
        "call",
        returned(70, view(ndim=2, shape=(1 << 40,) * 2), POINTER),
    ),
    "elements of 7 bits": ("call", returned(70, view(bits=7), POINTER)),
    "four lanes": ("call", returned(70, view(lanes=4), POINTER)),
    "no device": ("call", returned(70, view(device=0), POINTER)),
    "an int for a handle": ("lookup", struct.pack("<iiq", 1, 1, 5)),
    "two handles": ("lookup", struct.pack("<iiQiQ", 2, 4, 7, 4, 7)),
    "a tensor for nothing": ("copy to", struct.pack("<i", 1) + view()),
    "a return for data": ("copy from", NOTHING),
}


@pytest.mark.parametrize("name", GOOD)
def test_good_answers_pass(name: str) -> None:
    request, body = GOOD[name]
    check_reply(REQUESTS[request], pack_packet(RpcCode.RETURN, body))


@pytest.mark.parametrize("name", BAD)
def test_bad_answers_are_refused(name: str) -> None:
    request, body = BAD[name]
    with pytest.raises(ProtocolError, match="makes no sense"):
        check_reply(REQUESTS[request], pack_packet(RpcCode.RETURN, body))


def test_copied_data() -> None:
    check_reply(COPY_FROM, pack_packet(RpcCode.COPY_ACK, b"12345"))
    for data in (b"1234", b"123456"):
        with pytest.raises(ProtocolError, match="bytes of data, 5 were asked for"):
            check_reply(COPY_FROM, pack_packet(RpcCode.COPY_ACK, data))
    with pytest.raises(ProtocolError, match="it has code 8"):
        check_reply(CALL, pack_packet(RpcCode.COPY_ACK, b"12345"))


@pytest.mark.parametrize("request_", REQUESTS.values(), ids=REQUESTS)
def test_exceptions(request_: bytes) -> None:
    check_reply(request_, exception_packet("out of luck"))
    with pytest.raises(ProtocolError, match="an exception without a message"):
        check_reply(request_, pack_packet(RpcCode.EXCEPTION, struct.pack("<iiq", 1, 1, 5)))


@pytest.mark.parametrize("reply", [b"", b"\0" * 11, b"\1" * 12, struct.pack("<Qi", 99, 4)])
def test_no_packet_at_all(reply: bytes) -> None:
    with pytest.raises(ProtocolError, match="makes no sense"):
        check_reply(CALL, reply)


def test_damaged_answers_never_raise_anything_else() -> None:
    rng = random.Random(1)
    good = [pack_packet(RpcCode.RETURN, body) for _request, body in GOOD.values()]
    for _ in range(20_000):
        reply = bytearray(rng.choice(good))
        for _ in range(rng.randrange(1, 4)):
            reply[rng.randrange(len(reply))] = rng.choice((0, 1, 0x7F, 0x80, 0xFF))
        request = rng.choice(list(REQUESTS.values()))
        with contextlib.suppress(ProtocolError):
            check_reply(request, bytes(reply[: rng.choice((-1, 1000))]))
