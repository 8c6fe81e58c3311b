"""The RPC server, packet by packet: what a client may ask, and what it may not."""

from __future__ import annotations

import struct
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pytest_microtvm.errors import ProtocolError
from pytest_microtvm.session.wire.framing import Frame, FrameDecoder, encode
from pytest_microtvm.session.wire.rpc import RpcCode, pack_packet
from pytest_microtvm.session.wire.session import (
    DeviceStarted,
    Established,
    Fault,
    HostSession,
    LogLine,
    Message,
    MessageType,
    Packet,
    SessionEvent,
    pack_message,
    parse_message,
)
from tests.c.conftest import PACKET_BYTES
from tests.c.device import Device, RemoteError
from tests.c.values import (
    BYTES,
    FUNCTION,
    MODULE,
    NONE,
    TENSOR,
    TENSOR_VIEW,
    TensorView,
    cpu,
    handle,
    integer,
    module,
    raw_string,
    sequence,
)

MAX_PACKET_BYTES = PACKET_BYTES - 16
COPY_OVERHEAD_BYTES = 4 + 8 + 8 + 4 + 4 + 16 + 8 + 8  # of a packet about a tensor of two dimensions
ELEMENTS = 4096
POOL_BYTES = 1024 + 3 * ELEMENTS * 4
TENSOR_BYTES = ELEMENTS * 4
INIT_BODY = struct.pack("<Q", 5) + b"0.8.0" + sequence()


def start(device: Device) -> Device:
    device.start()
    assert device.request(RpcCode.INIT_SERVER, INIT_BODY) == [None]
    return device


@pytest.fixture
def session(device: Device) -> Device:
    """A device in an initialized session."""
    return start(device)


@pytest.fixture
def pool_session(host_server: Path) -> Iterator[Device]:
    """Likewise, with the host as the executor."""
    with Device(host_server, PACKET_BYTES, "host_driven", POOL_BYTES) as running:
        yield start(running)


def find(device: Device, name: str) -> int:
    (found,) = device.request(RpcCode.GET_GLOBAL_FUNCTION, sequence(raw_string(name)))
    assert isinstance(found, int)
    return found


def call(device: Device, name: str, *arguments: bytes) -> object:
    """Call a function; gives its value, and for a tensor the view of it."""
    body = struct.pack("<Q", find(device, name)) + sequence(*arguments)
    kind, value, *rest = device.request(RpcCode.CALL_FUNCTION, body)
    assert rest == ([0] if kind == TENSOR else [])
    assert (kind in (FUNCTION, MODULE)) <= isinstance(value, int)
    return value


def tensor(device: Device, name: str) -> TensorView:
    view = call(device, name, integer(0))
    assert isinstance(view, TensorView)
    return view


def copy_to(device: Device, view: TensorView, data: bytes) -> None:
    body = view.pack() + struct.pack("<Q", len(data)) + data
    assert device.request(RpcCode.COPY_TO_REMOTE, body) == [None]


def copy_from(device: Device, view: TensorView, size_bytes: int) -> bytes:
    (data,) = device.request(RpcCode.COPY_FROM_REMOTE, view.pack() + struct.pack("<Q", size_bytes))
    assert isinstance(data, bytes)
    return data


def assert_usable(device: Device) -> None:
    """The session goes on."""
    assert call(device, "microtvm.build_id") == "0123456789abcdef"


# ---- what works ----


def test_reports_its_build_and_its_limit(session: Device) -> None:
    assert call(session, "microtvm.build_id") == "0123456789abcdef"
    assert call(session, "tvm.rpc.server.GetCRTMaxPacketSize") == MAX_PACKET_BYTES


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


# ---- memory ----


def value(view: TensorView) -> bytes:
    """A tensor as an argument."""
    return struct.pack("<i", TENSOR_VIEW) + view.pack()


def none() -> bytes:
    return struct.pack("<i", NONE)


def allocate(device: Device, shape: tuple[int, ...] = (64, 64)) -> TensorView:
    body = sequence(value(TensorView(0, shape)), none())
    (address,) = device.request(RpcCode.ALLOCATE_WITH_SCOPE, body)
    assert isinstance(address, int)
    return TensorView(address, shape)


def free(device: Device, address: int) -> None:
    assert device.request(RpcCode.FREE, sequence(cpu(), handle(address))) == [None]


def test_allocates_copies_and_frees(pool_session: Device) -> None:
    first, second = allocate(pool_session), allocate(pool_session)
    assert first.data % 16 == second.data % 16 == 0
    copy_to(pool_session, first, b"0123456789abcdef")
    body = sequence(value(first), value(second), none())
    assert pool_session.request(RpcCode.COPY_AMONG_REMOTE, body) == [None]
    assert copy_from(pool_session, second, 16) == b"0123456789abcdef"
    free(pool_session, first.data)
    with pytest.raises(RemoteError, match="copy from device: address outside"):
        copy_from(pool_session, first, 1)
    with pytest.raises(RemoteError, match="free: address outside"):
        free(pool_session, first.data)
    body = sequence(cpu(), integer(8), integer(64), bytes((5, 0, 0, 0, 2, 32, 1, 0, 0, 0, 0, 0)))
    (address,) = pool_session.request(RpcCode.ALLOCATE, body)
    assert address == first.data


def test_says_how_much_memory_there_is(pool_session: Device) -> None:
    with pytest.raises(
        RemoteError, match=r"^allocate: not enough memory in the pool: 65536 bytes asked, largest"
    ):
        allocate(pool_session, (16384,))
    assert_usable(pool_session)


def test_a_new_session_starts_with_an_empty_pool(pool_session: Device) -> None:
    for _ in range(3):
        for _ in range(3):
            view = allocate(pool_session)
        start(pool_session)
        with pytest.raises(RemoteError, match="address outside"):
            copy_from(pool_session, view, 4)


def test_copies_do_not_overlap(pool_session: Device) -> None:
    block = allocate(pool_session)
    half = TensorView(block.data, (64, 32))
    for offset, message in ((4, "the two overlap"), (0, "the two overlap"), (8192, None)):
        to = TensorView(block.data, (64, 32), byte_offset=offset)
        body = sequence(value(half), value(to), none())
        if message is None:
            assert pool_session.request(RpcCode.COPY_AMONG_REMOTE, body) == [None]
        else:
            with pytest.raises(RemoteError, match=f"copy on device: inconsistent.*{message}"):
                pool_session.request(RpcCode.COPY_AMONG_REMOTE, body)
    body = sequence(value(block), value(half), none())
    with pytest.raises(RemoteError, match="copy on device: inconsistent tensor"):
        pool_session.request(RpcCode.COPY_AMONG_REMOTE, body)


def test_gives_views_an_address_of_their_own(pool_session: Device) -> None:
    block = allocate(pool_session)
    view = TensorView(block.data, (8, 2), dtype=(0, 8, 1), byte_offset=48)
    got = call(pool_session, "microtvm.memory.view", value(view))
    assert got == TensorView(block.data + 48, (8, 2), dtype=(0, 8, 1))
    beyond = TensorView(block.data, (1,), byte_offset=TENSOR_BYTES)
    with pytest.raises(RemoteError, match=r"microtvm.memory.view: address outside"):
        call(pool_session, "microtvm.memory.view", value(beyond))


def test_a_kernel_that_writes_too_much_is_noticed(pool_session: Device) -> None:
    view = allocate(pool_session, (4,))
    allocate(pool_session)
    call_kernel(pool_session, "toy_overrun", value(view))
    with pytest.raises(RemoteError, match="allocate: memory pool overwritten"):
        allocate(pool_session)
    start(pool_session)
    allocate(pool_session)


# ---- kernels ----


def find_kernel(device: Device, name: str) -> int | None:
    library = call(device, "ffi.SystemLib")
    assert isinstance(library, int)
    found = call(
        device,
        "tvm.rpc.server.ModuleGetFunction",
        module(library),
        raw_string(name),
        struct.pack("<iq", 2, 1),
    )
    assert found is None or isinstance(found, int)
    return found


def call_kernel(device: Device, name: str, *arguments: bytes) -> None:
    body = struct.pack("<Q", find_kernel(device, name) or 0) + sequence(*arguments)
    assert device.request(RpcCode.CALL_FUNCTION, body) == [NONE, None]


def test_calls_kernels_by_name(pool_session: Device) -> None:
    x, y, z = (allocate(pool_session) for _ in range(3))
    one = call(pool_session, "microtvm.model.get_constant", raw_string("one"))
    assert isinstance(one, TensorView)
    copy_to(pool_session, x, struct.pack("<2f", 0.0, 20.5))
    free(pool_session, z.data)  # the kernel needs scratch memory
    call_kernel(pool_session, "toy_twice", value(x), value(y))
    z = allocate(pool_session)
    call_kernel(pool_session, "toy_add", value(y), value(one), value(z))
    assert struct.unpack("<2f", copy_from(pool_session, z, 8)) == (1.0, 42.0)
    assert find_kernel(pool_session, "toy_nothing") is None
    assert find(pool_session, "toy_add") == 0


def test_checks_what_a_kernel_gets(pool_session: Device) -> None:
    x, y = allocate(pool_session), allocate(pool_session)
    one = call(pool_session, "microtvm.model.get_constant", raw_string("one"))
    assert isinstance(one, TensorView)
    cases = [
        ("toy_twice", [value(x)], "toy_twice: wrong number of arguments: 2 tensors are wanted"),
        ("toy_twice", [value(x), integer(1)], "toy_twice: wrong type of an argument: argument 1"),
        (
            "toy_twice",
            [value(x), value(TensorView(y.data, (64, 63)))],
            "inconsistent tensor: argument 1 has not the 16384 bytes it should have",
        ),
        ("toy_twice", [value(x), value(TensorView(1, (64, 64)))], "address outside.*argument 1"),
        (
            "toy_twice",
            [value(x), value(TensorView(y.data + 16, (64, 64)))],
            "address outside.*argument 1",
        ),
        ("toy_overrun", [value(one)], "address outside.*argument 0"),
        (
            "toy_overrun",
            [value(TensorView(x.data, (4,), byte_offset=4))],
            "not aligned to 16 bytes: argument 0",
        ),
    ]
    for name, arguments, message in cases:
        with pytest.raises(RemoteError, match=message):
            call_kernel(pool_session, name, *arguments)
    copy_to(pool_session, x, struct.pack("<f", float("nan")))
    with pytest.raises(RemoteError, match=r"toy_twice: a kernel failed"):
        call_kernel(pool_session, "toy_twice", value(x), value(y))
    allocate(pool_session, ((POOL_BYTES - 2 * TENSOR_BYTES - 3 * 16) // 4,))  # all that is left
    with pytest.raises(RemoteError, match="toy_twice: not enough memory in the pool: 32 bytes"):
        call_kernel(pool_session, "toy_twice", value(x), value(y))


def test_constants_can_be_read_only(pool_session: Device) -> None:
    one = call(pool_session, "microtvm.model.get_constant", raw_string("one"))
    assert isinstance(one, TensorView)
    assert one.shape == ()
    assert struct.unpack("<f", copy_from(pool_session, one, 4)) == (1.0,)
    with pytest.raises(RemoteError, match="copy to device: address outside"):
        copy_to(pool_session, one, bytes(4))
    with pytest.raises(RemoteError, match=r"no constant of this name: two"):
        call(pool_session, "microtvm.model.get_constant", raw_string("two"))


# ---- executors ----


@pytest.mark.parametrize("executor", ["aot", "graph"])
def test_executors_give_the_same(host_server: Path, executor: str) -> None:
    with Device(host_server, PACKET_BYTES, executor) as device:
        start(device)
        assert call(device, "microtvm.executor") == executor
        own_bytes = call(device, "microtvm.model.executor_bytes")
        assert isinstance(own_bytes, int)
        assert 50 < own_bytes < 1000
        x, y = (
            tensor(device, "microtvm.model.get_input"),
            tensor(device, "microtvm.model.get_output"),
        )
        copy_to(device, x, struct.pack("<2f", 0.25, -8.0))
        call(device, "microtvm.model.run")
        assert struct.unpack("<2f", copy_from(device, y, 8)) == (1.5, -15.0)
        call_kernel(device, "toy_twice", value(x), value(y))  # scratch memory: the workspace
        assert struct.unpack("<2f", copy_from(device, y, 8)) == (0.5, -16.0)
        with pytest.raises(RemoteError, match="allocate: not enough memory in the pool"):
            allocate(device)


def test_without_an_executor_there_is_no_model_to_run(pool_session: Device) -> None:
    assert call(pool_session, "microtvm.executor") == "host_driven"
    assert call(pool_session, "microtvm.model.executor_bytes") == 0
    for name, arguments in (("get_input", [integer(0)]), ("get_output", [integer(0)]), ("run", [])):
        with pytest.raises(RemoteError, match="this firmware has no executor"):
            call(pool_session, f"microtvm.model.{name}", *arguments)


# ---- time evaluators ----

SETTINGS = {
    "device_type": 1,
    "device_id": 0,
    "number": 3,
    "repeat": 4,
    "min_repeat_ms": 0,
    "limit_zero_time_iterations": 100,
    "cooldown_interval_ms": 0,
    "repeats_to_cooldown": 1,
    "cache_flush_bytes": 0,
}


def time_evaluator(
    device: Device, name: str, preprocessing: str = "", **changes: int | bytes
) -> int:
    """Create one, for a kernel or for the function that runs the model."""
    library = call(device, "ffi.SystemLib")
    assert isinstance(library, int)
    settings = {**SETTINGS, **changes}
    found = call(
        device,
        "runtime.RPCTimeEvaluator",
        none() if name.startswith("microtvm.") else module(library),
        raw_string(name),
        *(each if isinstance(each, bytes) else integer(each) for each in settings.values()),
        raw_string(preprocessing),
    )
    assert isinstance(found, int)
    return found


def measure(device: Device, evaluator: int, *arguments: bytes) -> tuple[float, ...]:
    body = struct.pack("<Q", evaluator) + sequence(*arguments)
    kind, blob = device.request(RpcCode.CALL_FUNCTION, body)
    assert kind == BYTES
    assert isinstance(blob, bytes)
    return struct.unpack(f"<{len(blob) // 8}d", blob)


def runs_logged(device: Device) -> int:
    count = device.other_events.count(LogLine("toy model runs on 4096 elements"))
    device.other_events.clear()
    return count


def test_measures_the_model_and_its_kernels(session: Device) -> None:
    x, y = tensor(session, "microtvm.model.get_input"), tensor(session, "microtvm.model.get_output")
    run = time_evaluator(session, "microtvm.model.run")
    assert all(0.0 < seconds < 1.0 for seconds in measure(session, run))
    assert runs_logged(session) == 1 + 3 * 4
    kernel = time_evaluator(session, "toy_twice", repeat=1)
    assert len(measure(session, kernel, value(x), value(y))) == 1
    assert runs_logged(session) == 1 + 3
    slow = time_evaluator(session, "toy_twice", number=1, repeat=2, min_repeat_ms=5)
    results = measure(session, slow, value(x), value(y))
    assert runs_logged(session) * max(results) > 2 * 0.005
    with pytest.raises(RemoteError, match="time evaluator: wrong number of arguments"):
        measure(session, kernel, value(x))
    assert isinstance(call(session, "microtvm.model.run"), float)  # the timer was stopped


def test_time_evaluators_are_few_and_can_be_freed(session: Device) -> None:
    made = [time_evaluator(session, "toy_twice") for _ in range(4)]
    with pytest.raises(RemoteError, match="too many time evaluators: there are 4"):
        time_evaluator(session, "toy_twice")
    assert session.request(RpcCode.FREE_HANDLE, sequence(handle(made[1]))) == [None]
    with pytest.raises(RemoteError, match="unknown handle"):
        measure(session, made[1])
    assert time_evaluator(session, "toy_twice") == made[1]
    start(session)
    with pytest.raises(RemoteError, match="unknown handle"):
        measure(session, made[0])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"number": 0}, "unsupported setting: number"),
        ({"repeat": 2**40}, "unsupported setting: repeat"),
        ({"repeat": -1}, "unsupported setting: repeat"),
        ({"min_repeat_ms": raw_string("1")}, "wrong type of an argument: min_repeat_ms"),
        ({"repeat": 1000}, "unsupported setting: repeat is at most 122"),
        ({"cooldown_interval_ms": 1}, "no other device, cooldown"),
        ({"device_type": 2}, "no other device"),
        ({"preprocessing": "cache_flush_cpu_non_first_arg"}, "cache flush or f_preproc here"),
    ],
)
def test_refuses_settings_that_it_does_not_have(
    session: Device, changes: dict[str, object], message: str
) -> None:
    with pytest.raises(RemoteError, match=message):
        time_evaluator(session, "toy_twice", **changes)  # type: ignore[arg-type]
    assert_usable(session)


def test_times_only_what_there_is(session: Device) -> None:
    with pytest.raises(RemoteError, match="no function of this name: toy_nothing"):
        time_evaluator(session, "toy_nothing")
    with pytest.raises(RemoteError, match=r"only kernels and microtvm.model.run can be timed"):
        time_evaluator(session, "microtvm.build_id")
    copy_to(session, tensor(session, "microtvm.model.get_input"), struct.pack("<f", float("nan")))
    with pytest.raises(RemoteError, match="time evaluator: a kernel failed"):
        measure(session, time_evaluator(session, "microtvm.model.run"))


# ---- faults ----


def test_a_fault_is_reported_with_its_registers(host_server: Path) -> None:
    with Device(host_server, PACKET_BYTES, "host_driven") as device:
        start(device)
        body = struct.pack("<Q", find_kernel(device, "toy_fault") or 0) + sequence()
        device.write(device.session.send(pack_packet(RpcCode.CALL_FUNCTION, body)))
        fault = device.next_event()
        assert isinstance(fault, Fault)
        assert list(fault.registers) == ["kind", "pc", "sp", "address", "eax"]
        assert fault.registers["kind"] == "page fault"
        assert int(fault.registers["pc"], 16) == 0x00100F3C
        assert fault.registers["sp"] == "0x" + "f" * 16
        assert device.next_event() == LogLine("abort: fault")


# ---- checked sessions ----


@pytest.fixture
def checked(device: Device) -> Device:
    device.session = HostSession(checked=True)
    start(device)
    assert device.session.checked
    return device


def test_checked_sessions_do_the_same(checked: Device) -> None:
    x, y = tensor(checked, "microtvm.model.get_input"), tensor(checked, "microtvm.model.get_output")
    size_bytes = MAX_PACKET_BYTES - COPY_OVERHEAD_BYTES
    copy_to(checked, x, struct.pack("<f", 4.0) * (size_bytes // 4))
    call(checked, "microtvm.model.run")
    assert copy_from(checked, y, MAX_PACKET_BYTES - 4)[:8] == struct.pack("<2f", 9.0, 9.0)
    answer = checked.ask(pack_packet(RpcCode.COPY_TO_REMOTE, bytes(MAX_PACKET_BYTES - 3)))
    assert "packet too large: 1009 bytes, at most 1008" in str(answer)
    assert_usable(checked)


def test_a_packet_that_came_twice_is_served_once(checked: Device) -> None:
    frame = checked.session.send(pack_packet(RpcCode.STREAM_SYNC, sequence()))
    checked.write(frame + frame)
    assert isinstance(checked.next_event(), Packet)
    assert checked.next_event() == LogLine("dropped a packet that came twice")
    assert_usable(checked)


def test_a_damaged_packet_in_a_whole_frame_is_dropped(checked: Device) -> None:
    frame = FrameDecoder().feed(checked.session.send(pack_packet(RpcCode.STREAM_SYNC, sequence())))[
        0
    ]
    assert isinstance(frame, Frame)
    damaged = bytearray(frame.payload)
    damaged[8] ^= 1
    checked.write(encode(bytes(damaged)) + encode(frame.payload[:7]))
    assert checked.next_event() == LogLine("dropped a packet with a wrong checksum")
    checked.write(encode(frame.payload))
    assert isinstance(checked.next_event(), Packet)
    plain = pack_packet(RpcCode.STREAM_SYNC, sequence())
    checked.write(encode(pack_message(checked.session.session_id, MessageType.NORMAL, plain)))
    assert checked.drain(0.05) == []


def test_the_features_granted_are_those_asked_for_and_known(device: Device) -> None:
    for asked, granted in (
        (b"\x01", b"\x01"),
        (b"\x01\xff", b"\x01\x01"),
        (b"\x01\x02", b"\x01\x00"),
    ):
        device.drain(0.05)
        device.write(encode(pack_message(9, MessageType.START_INIT, asked)))
        (event,) = device.drain(0.05)
        assert isinstance(event, Frame)
        assert parse_message(event.payload).body == granted


# ---- sessions ----


def test_says_that_it_has_started(device: Device) -> None:
    assert device.next_event() == DeviceStarted()


def test_repeating_the_start_gives_the_same_session(device: Device) -> None:
    device.write(device.session.start(7) * 3)
    answers = [event.payload for event in device.drain() if isinstance(event, Frame)][1:]
    assert len(answers) == 3
    assert len(set(answers)) == 1
    assert device.session.accept(answers[0]) == Established(parse_message(answers[0]).session_id)


def test_a_new_session_replaces_the_old(session: Device) -> None:
    old_id = session.session.session_id
    left_over = session.session.send(pack_packet(RpcCode.STREAM_SYNC, sequence()))
    session.start(0x2A)
    assert session.session.session_id not in (0, old_id)
    session.write(left_over)
    assert session.drain() == []
    with pytest.raises(RemoteError, match="synchronize: request before init"):
        session.request(RpcCode.STREAM_SYNC, sequence())
    assert session.request(RpcCode.INIT_SERVER, INIT_BODY) == [None]
    assert_usable(session)


def test_nothing_is_served_before_init(device: Device) -> None:
    device.start()
    with pytest.raises(RemoteError, match="get function: request before init"):
        find(device, "microtvm.model.run")


def test_shutdown_ends_the_session_and_a_new_one_starts(session: Device) -> None:
    packet = pack_packet(RpcCode.STREAM_SYNC, sequence())
    after = session.session.send(packet)
    session.write(session.session.send(pack_packet(RpcCode.SHUTDOWN)) + after)
    assert session.drain() == []
    session.start(3)
    assert session.request(RpcCode.INIT_SERVER, INIT_BODY) == [None]
    assert_usable(session)


def test_terminate_ends_the_session(session: Device) -> None:
    packet = session.session.send(pack_packet(RpcCode.STREAM_SYNC, sequence()))
    goodbye = pack_message(session.session.session_id, MessageType.TERMINATE)
    session.write(encode(goodbye) + packet)
    assert session.drain() == []


def test_another_version_is_refused_by_name(device: Device) -> None:
    device.session.start(9)
    device.write(encode(pack_message(9, MessageType.START_INIT, b"\x02")))
    answer = [event for event in device.drain() if isinstance(event, Frame)][-1]
    assert parse_message(answer.payload) == Message(9, MessageType.START_REPLY, b"\x01")
    with pytest.raises(ProtocolError, match="nonce 0"):
        device.session.accept(answer.payload)


MEANINGLESS = {
    "shorter than the header": b"\x2a\x00",
    "empty": b"",
    "start with nonce 0": pack_message(0, MessageType.START_INIT, b"\x01"),
    "start with two nonces": pack_message(0x0101, MessageType.START_INIT, b"\x01"),
    "a start reply": pack_message(0x0101, MessageType.START_REPLY, b"\x01"),
    "a log line": pack_message(0, MessageType.LOG, b"hello"),
    "terminate of another": pack_message(0xEEEE, MessageType.TERMINATE),
    "a packet of another": pack_message(0xEEEE, MessageType.NORMAL, pack_packet(RpcCode.SHUTDOWN)),
    "a packet of no session": pack_message(0, MessageType.NORMAL, pack_packet(RpcCode.SHUTDOWN)),
    "an unknown type": struct.pack("<HB", 0, 0x77),
    "a large packet of another": pack_message(0xEEEE, MessageType.NORMAL, bytes(5000)),
    "a large start": pack_message(1, MessageType.START_INIT, bytes(5000)),
}


@pytest.mark.parametrize("payload", MEANINGLESS.values(), ids=MEANINGLESS)
def test_a_meaningless_message_is_ignored(session: Device, payload: bytes) -> None:
    session.write(encode(payload))
    assert session.drain(0.05) == []
    assert_usable(session)


def test_damaged_frames_are_reported_and_the_session_goes_on(session: Device) -> None:
    frame = session.session.send(pack_packet(RpcCode.STREAM_SYNC, sequence()))
    damaged = bytearray(frame)
    damaged[10] ^= 0x10
    session.write(bytes(damaged))
    session.write(frame[:9] + frame)
    events: list[SessionEvent] = [session.next_event() for _ in range(3)]
    assert events[0] == LogLine("dropped a frame with a wrong checksum")
    assert events[1] == LogLine("dropped a frame that was cut short")
    assert isinstance(events[2], Packet)
    assert_usable(session)


def test_portions_of_one_byte(session: Device) -> None:
    for byte in session.session.send(pack_packet(RpcCode.STREAM_SYNC, sequence(cpu(), handle(0)))):
        session.write(bytes((byte,)))
        time.sleep(0.0005)
    assert isinstance(session.next_event(), Packet)
