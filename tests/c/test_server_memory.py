"""The RPC server: memory, kernels, executors, time evaluators and faults."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from pytest_microtvm.session.wire.rpc import RpcCode, pack_packet
from pytest_microtvm.session.wire.session import (
    Fault,
    LogLine,
)
from tests.c.client import (
    PACKET_BYTES,
    POOL_BYTES,
    TENSOR_BYTES,
    allocate,
    assert_usable,
    call,
    call_kernel,
    copy_from,
    copy_to,
    find,
    find_kernel,
    free,
    none,
    start,
    tensor,
    value,
)
from tests.c.device import Device, RemoteError
from tests.c.values import (
    BYTES,
    TensorView,
    cpu,
    handle,
    integer,
    module,
    raw_string,
    sequence,
)

# ---- memory ----


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
        RemoteError,
        match=r"^allocate: not enough memory in the pool: 65536 bytes requested, largest",
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
        ("toy_twice", [value(x)], "toy_twice: wrong number of arguments: 2 tensors are expected"),
        ("toy_twice", [value(x), integer(1)], "toy_twice: wrong type of an argument: argument 1"),
        (
            "toy_twice",
            [value(x), value(TensorView(y.data, (64, 63)))],
            "inconsistent tensor: argument 1 must have 16384 bytes",
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
        (
            {"preprocessing": "cache_flush_cpu_non_first_arg"},
            "cache flush or f_preproc is supported",
        ),
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
