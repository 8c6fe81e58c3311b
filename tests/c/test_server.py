"""The RPC server, packet by packet: what a client may ask, and what it may not."""

from __future__ import annotations

import struct

import pytest

from pytest_microtvm.session.wire.rpc import RpcCode, pack_packet
from pytest_microtvm.session.wire.session import (
    LogLine,
)
from tests.c.client import (
    COPY_OVERHEAD_BYTES,
    ELEMENTS,
    MAX_PACKET_BYTES,
    PACKET_BYTES,
    assert_usable,
    call,
    copy_from,
    copy_to,
    find,
    tensor,
)
from tests.c.device import Device, RemoteError
from tests.c.values import (
    TensorView,
    cpu,
    handle,
    integer,
    raw_string,
    sequence,
)

# ---- what works ----


def test_reports_its_build_and_its_limit(session: Device) -> None:
    assert call(session, "microtvm.build_id") == "0123456789abcdef"
    assert call(session, "tvm.rpc.server.GetCRTMaxPacketSize") == MAX_PACKET_BYTES


def test_tells_what_the_cpu_counted_of_cycles(session: Device) -> None:
    call(session, "microtvm.model.run")
    assert call(session, "microtvm.cycles") == "counter 12"


def test_an_unknown_function_is_a_null_handle(session: Device) -> None:
    assert find(session, "microtvm.no_such_function") == 0
    assert find(session, "microtvm.model.run\0") == 0
    assert find(session, "") == 0


def test_runs_the_model(session: Device) -> None:
    x, y = tensor(session, "microtvm.model.get_input"), tensor(session, "microtvm.model.get_output")
    assert x.shape == y.shape == (64, 64)
    values = [float(i) for i in range(200)]
    copy_to(session, x, struct.pack("<200f", *values))
    seconds = call(session, "microtvm.model.run")
    assert isinstance(seconds, float)
    assert 0.0 <= seconds < 5.0
    assert LogLine("toy model runs on 4096 elements") in session.other_events
    result = struct.unpack("<200f", copy_from(session, y, 800))
    assert list(result) == [2.0 * value + 1.0 for value in values]


def test_copies_to_an_offset(session: Device) -> None:
    x = tensor(session, "microtvm.model.get_input")
    shifted = TensorView(x.data, x.shape, byte_offset=ELEMENTS * 4 - 5)
    copy_to(session, shifted, b"\xff\xfd\xfe\xff\x00")
    assert copy_from(session, shifted, 5) == b"\xff\xfd\xfe\xff\x00"


def test_a_copy_may_fill_the_largest_packet(session: Device) -> None:
    x = tensor(session, "microtvm.model.get_input")
    size_bytes = MAX_PACKET_BYTES - COPY_OVERHEAD_BYTES
    copy_to(session, x, b"\xff" * size_bytes)
    assert copy_from(session, x, size_bytes) == b"\xff" * size_bytes
    assert len(copy_from(session, x, MAX_PACKET_BYTES - 4)) == MAX_PACKET_BYTES - 4
    with pytest.raises(RemoteError, match="copy from device: packet too large"):
        copy_from(session, x, MAX_PACKET_BYTES - 3)


def test_serves_what_the_client_asks_in_passing(session: Device) -> None:
    found = find(session, "microtvm.model.run")
    assert session.request(RpcCode.FREE_HANDLE, sequence(handle(found))) == [None]
    assert session.request(RpcCode.STREAM_SYNC, sequence(cpu(), handle(0))) == [None]
    assert session.request(RpcCode.SET_DEVICE, sequence(cpu())) == [None]


def test_takes_a_string_however_it_is_typed(session: Device) -> None:
    name = b"microtvm.model.run"
    for outer in (11, 65):
        value = struct.pack("<iIQ", outer, 65, len(name)) + name
        (found,) = session.request(RpcCode.GET_GLOBAL_FUNCTION, sequence(value))
        assert found == find(session, "microtvm.model.run") != 0


# ---- what does not, and leaves the session usable ----


def tensor_with(data: int = 0, **changes: object) -> bytes:
    fields: dict[str, object] = {"shape": (64, 64), **changes}
    return TensorView(data, **fields).pack()  # type: ignore[arg-type]


NAME = raw_string("microtvm.model.run")
EIGHT = struct.pack("<Q", 8)

MALFORMED = {
    "no code": (struct.pack("<Q", 0), "packet: packet ends too early"),
    "half a length": (b"\x04\x00\x00", "packet: packet ends too early"),
    "announces less": (struct.pack("<Qi", 3, 9), "packet: bytes after the end"),
    "announces more": (struct.pack("<Qi", 5, 9), "packet: packet ends too early"),
    "announces everything": (struct.pack("<Qi", 2**64 - 1, 9), "packet: packet ends too early"),
    "unknown code": (pack_packet(RpcCode(18)), "packet: unsupported request: code 18"),
    "negative code": (struct.pack("<Qi", 4, -7), "unsupported request: code -7"),
    "no arguments": (
        pack_packet(RpcCode.GET_GLOBAL_FUNCTION, sequence()),
        "get function: wrong number",
    ),
    "two arguments": (
        pack_packet(RpcCode.GET_GLOBAL_FUNCTION, sequence(NAME, NAME)),
        "get function: wrong number",
    ),
    "a number for a name": (
        pack_packet(RpcCode.GET_GLOBAL_FUNCTION, sequence(integer(1))),
        "get function: wrong type",
    ),
    "a name cut short": (
        pack_packet(RpcCode.GET_GLOBAL_FUNCTION, sequence(NAME)[:-1]),
        "get function: packet ends too early",
    ),
    "a name of 2^64 - 1 bytes": (
        pack_packet(RpcCode.GET_GLOBAL_FUNCTION, struct.pack("<iiQ", 1, 8, 2**64 - 1)),
        "get function: packet ends too early",
    ),
    "a byte too many": (
        pack_packet(RpcCode.GET_GLOBAL_FUNCTION, sequence(NAME) + b"\0"),
        "get function: bytes after the end",
    ),
    "two billion arguments": (
        pack_packet(RpcCode.GET_GLOBAL_FUNCTION, struct.pack("<i", 2**31 - 1) + NAME),
        "get function: packet ends too early",
    ),
    "minus one argument": (
        pack_packet(RpcCode.GET_GLOBAL_FUNCTION, struct.pack("<i", -1) + NAME),
        "get function: packet ends too early",
    ),
    "an object of the far end": (
        pack_packet(RpcCode.GET_GLOBAL_FUNCTION, sequence(struct.pack("<iIQ", 71, 129, 1))),
        "get function: unsupported type",
    ),
    "a string of a type unknown": (
        pack_packet(RpcCode.GET_GLOBAL_FUNCTION, sequence(struct.pack("<iIQ", 65, 129, 0))),
        "get function: unsupported type",
    ),
    "handle 0": (pack_packet(RpcCode.CALL_FUNCTION, struct.pack("<Q", 0) + sequence()), "handle"),
    "handle 6": (pack_packet(RpcCode.CALL_FUNCTION, struct.pack("<Q", 6) + sequence()), "handle"),
    "a handle that wraps": (
        pack_packet(RpcCode.CALL_FUNCTION, struct.pack("<Q", 2**32 + 1) + sequence()),
        "call: unknown handle",
    ),
    "freeing a made-up handle": (
        pack_packet(RpcCode.FREE_HANDLE, sequence(handle(0x1234))),
        "free handle: unknown handle",
    ),
    "freeing a number": (
        pack_packet(RpcCode.FREE_HANDLE, sequence(integer(1))),
        "free handle: wrong type",
    ),
    "shutdown with a body": (pack_packet(RpcCode.SHUTDOWN, b"x"), "shutdown: bytes after the end"),
    "another version": (
        pack_packet(RpcCode.INIT_SERVER, struct.pack("<Q", 5) + b"0.9.0" + sequence()),
        "init: protocol version mismatch: this server speaks 0.8.0",
    ),
    "a session constructor": (
        pack_packet(RpcCode.INIT_SERVER, struct.pack("<Q", 5) + b"0.8.0" + sequence(NAME)),
        "init: wrong number of arguments",
    ),
    "copy from nowhere": (
        pack_packet(RpcCode.COPY_FROM_REMOTE, tensor_with() + EIGHT),
        "copy from device: address outside",
    ),
    "copy to nowhere": (
        pack_packet(RpcCode.COPY_TO_REMOTE, tensor_with() + EIGHT + b"12345678"),
        "copy to device: address outside",
    ),
    "copy of nothing from nowhere": (
        pack_packet(RpcCode.COPY_FROM_REMOTE, tensor_with() + struct.pack("<Q", 0)),
        "copy from device: address outside",
    ),
    "address at the end of all": (
        pack_packet(RpcCode.COPY_FROM_REMOTE, tensor_with(2**64 - 4) + EIGHT),
        "copy from device: address outside",
    ),
    "offset beyond the end of all": (
        pack_packet(RpcCode.COPY_FROM_REMOTE, tensor_with(2**64 - 4, byte_offset=16) + EIGHT),
        "copy from device: address outside",
    ),
    "an offset to nowhere": (
        pack_packet(RpcCode.COPY_FROM_REMOTE, tensor_with(byte_offset=16385) + EIGHT),
        "copy from device: address outside",
    ),
    "a shape whose size wraps": (
        pack_packet(RpcCode.COPY_FROM_REMOTE, tensor_with(shape=(2**32, 2**32)) + EIGHT),
        "copy from device: inconsistent tensor",
    ),
    "a size of more than 32 bits": (
        pack_packet(RpcCode.COPY_FROM_REMOTE, tensor_with(shape=(2**20, 2**20)) + EIGHT),
        "copy from device: inconsistent tensor",
    ),
    "a negative extent": (
        pack_packet(RpcCode.COPY_FROM_REMOTE, tensor_with(shape=(-1,)) + EIGHT),
        "copy from device: inconsistent tensor",
    ),
    "nine dimensions": (
        pack_packet(RpcCode.COPY_FROM_REMOTE, tensor_with(shape=(1,) * 9) + EIGHT),
        "copy from device: inconsistent tensor",
    ),
    "vector elements": (
        pack_packet(RpcCode.COPY_FROM_REMOTE, tensor_with(dtype=(2, 32, 4)) + EIGHT),
        "copy from device: inconsistent tensor",
    ),
    "elements of 4 bits": (
        pack_packet(RpcCode.COPY_FROM_REMOTE, tensor_with(dtype=(0, 4, 1)) + EIGHT),
        "copy from device: inconsistent tensor",
    ),
    "another device": (
        pack_packet(RpcCode.COPY_FROM_REMOTE, tensor_with(device=(2, 0)) + EIGHT),
        "copy from device: inconsistent tensor",
    ),
    "copied data cut short": (
        pack_packet(RpcCode.COPY_TO_REMOTE, tensor_with() + EIGHT + b"1234567"),
        "copy to device: packet ends too early",
    ),
    "more copied data than announced": (
        pack_packet(RpcCode.COPY_TO_REMOTE, tensor_with() + EIGHT + b"123456789"),
        "copy to device: bytes after the end",
    ),
    "a copy of 2^64 - 1 bytes": (
        pack_packet(RpcCode.COPY_FROM_REMOTE, tensor_with() + struct.pack("<Q", 2**64 - 1)),
        "copy from device: inconsistent tensor",
    ),
}


@pytest.mark.parametrize(("packet", "message"), MALFORMED.values(), ids=MALFORMED)
def test_a_bad_packet_is_an_exception(session: Device, packet: bytes, message: str) -> None:
    answer = session.ask(packet)
    text = answer[28:].decode()
    assert struct.unpack_from("<QiiiQ", answer) == (20 + len(text), 5, 1, 8, len(text))
    assert message in text
    assert_usable(session)


@pytest.mark.parametrize("size_bytes", [1, 4, 8, 16, 100])
def test_no_copy_leaves_the_buffers(session: Device, size_bytes: int) -> None:
    x, y = tensor(session, "microtvm.model.get_input"), tensor(session, "microtvm.model.get_output")
    before = TensorView(x.data - size_bytes, x.shape)
    behind = TensorView(y.data + ELEMENTS * 4 - size_bytes, y.shape)
    for view in (before, TensorView(x.data - 1, x.shape)):
        with pytest.raises(RemoteError, match="address outside the memory of this session"):
            copy_to(session, view, bytes(size_bytes))
    copy_to(session, behind, bytes(size_bytes))
    with pytest.raises(RemoteError, match="address outside the memory of this session"):
        copy_from(session, behind, size_bytes + 1)
    assert_usable(session)


@pytest.mark.parametrize("index", [1, 2**31, 2**32, -1])
def test_a_bad_index_is_an_exception(session: Device, index: int) -> None:
    for name in ("microtvm.model.get_input", "microtvm.model.get_output"):
        with pytest.raises(RemoteError, match=f"^{name}: index out of range: there are 1 .status"):
            call(session, name, integer(index))
    assert_usable(session)


def test_wrong_arguments_are_an_exception(session: Device) -> None:
    with pytest.raises(RemoteError, match=r"^microtvm.model.get_input: wrong number of arguments"):
        call(session, "microtvm.model.get_input")
    with pytest.raises(RemoteError, match=r"^microtvm.model.get_input: wrong type of an argument"):
        call(session, "microtvm.model.get_input", raw_string("x"))
    with pytest.raises(RemoteError, match=r"^microtvm.model.run: wrong number of arguments"):
        call(session, "microtvm.model.run", integer(0))


def test_a_failing_model_is_an_exception(session: Device) -> None:
    copy_to(session, tensor(session, "microtvm.model.get_input"), struct.pack("<f", float("nan")))
    for _ in range(2):  # the timer is stopped after the first
        with pytest.raises(
            RemoteError, match=r"^microtvm.model.run: a kernel failed \(status -40\)$"
        ):
            call(session, "microtvm.model.run")
    copy_to(session, tensor(session, "microtvm.model.get_input"), struct.pack("<f", 0.0))
    assert isinstance(call(session, "microtvm.model.run"), float)


@pytest.mark.parametrize("packet_bytes", [PACKET_BYTES - 11 + 1, 5000, 70000])
def test_a_packet_too_large_is_refused_with_both_sizes(session: Device, packet_bytes: int) -> None:
    answer = session.ask(pack_packet(RpcCode.COPY_TO_REMOTE, b"\xff" * (packet_bytes - 4)))
    assert f"packet too large: {packet_bytes} bytes, at most {MAX_PACKET_BYTES} " in str(answer)
    assert_usable(session)
