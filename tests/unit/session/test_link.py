"""A link to a device in Python, with and without faults: every fault at every packet."""

from __future__ import annotations

import struct
import time

import pytest

from pytest_microtvm.deadline import Deadline
from pytest_microtvm.errors import MicroTVMError, TargetError, TransportTimeout
from pytest_microtvm.session.fault_injection import (
    ANY,
    FAULT_KINDS,
    PACKETS,
    TO_DEVICE,
    TO_HOST,
    FaultPlan,
    FaultyTransport,
    FrameCutter,
    packet_kind,
)
from pytest_microtvm.session.link import Link
from pytest_microtvm.session.wire.framing import encode
from pytest_microtvm.session.wire.rpc import RpcCode, pack_packet
from pytest_microtvm.session.wire.session import HostSession, MessageType, pack_message
from tests.contract.fake_device import FUNCTIONS, INPUT, OUTPUT, RUN, FakeDevice, FakeTransport
from tests.patience import PATIENCE_S

OPEN_TIMEOUT_S = 0.9
CALL_TIMEOUT_S = 0.15
DATA = struct.pack("<4f", 1, 2, 3, 4)
DOUBLED = struct.pack("<4f", 2, 4, 6, 8)


def tensor(address: int) -> bytes:
    return struct.pack("<QiiiBBHqQQ", address, 1, 0, 1, 2, 32, 1, 4, 0, 16)


def run_model(link: Link) -> bytes:
    """Write the input, run, read the output."""
    link.exchange(pack_packet(RpcCode.COPY_TO_REMOTE, tensor(INPUT) + DATA), CALL_TIMEOUT_S)
    name = FUNCTIONS[RUN - 1].encode()
    lookup = struct.pack("<iiQ", 1, 8, len(name)) + name
    link.exchange(pack_packet(RpcCode.GET_GLOBAL_FUNCTION, lookup), CALL_TIMEOUT_S)
    link.exchange(pack_packet(RpcCode.CALL_FUNCTION, struct.pack("<Qi", RUN, 0)), CALL_TIMEOUT_S)
    copied = link.exchange(pack_packet(RpcCode.COPY_FROM_REMOTE, tensor(OUTPUT)), CALL_TIMEOUT_S)
    return copied[12:]


@pytest.mark.parametrize("checked", [True, False])
def test_a_session(checked: bool) -> None:
    link = Link(FakeTransport(FakeDevice(checked=checked)))
    link.start(Deadline(OPEN_TIMEOUT_S))
    assert link.checked is checked
    assert run_model(link) == DOUBLED
    link.close()


def test_a_device_that_starts_at_the_second_try() -> None:
    device = FakeDevice("silent")
    lines: list[str] = []
    transport = FakeTransport(device)
    restarts = transport.open

    def open_again(deadline: Deadline):
        if transport.opened == 1:
            device.behaviour = ""
        return restarts(deadline)

    transport.open = open_again  # type: ignore[method-assign]
    link = Link(transport, lines.append)
    link.start(Deadline(OPEN_TIMEOUT_S))
    assert transport.opened == 2
    assert "restarting the device: the device is silent" in lines[0]
    assert run_model(link) == DOUBLED


def test_a_device_that_never_starts_is_tried_three_times() -> None:
    transport = FakeTransport(FakeDevice("silent"))
    with pytest.raises(TransportTimeout, match="tried 3 times"):
        Link(transport).start(Deadline(OPEN_TIMEOUT_S))
    assert transport.opened == 3


def test_a_fault_is_an_error_of_the_target() -> None:
    transport = FakeTransport(FakeDevice("stuck in a call"))
    link = Link(transport)
    link.start(Deadline(OPEN_TIMEOUT_S))
    report = b"\x01kind=page fault\npc=0x00001234\naddress=0x00000000\n"
    fault = encode(pack_message(0, 0x04, report))  # type: ignore[arg-type]
    log = transport.device.log
    transport.device.log = lambda text: log(text) + fault  # type: ignore[method-assign]
    with pytest.raises(
        TargetError, match="crashed: page fault at address 0x00000000 in 0x00001234"
    ):
        run_model(link)


FAULTS = [
    FaultPlan(kind, direction, packet, seed=seed, delay_s=0.03)
    for seed, kind in enumerate(FAULT_KINDS)
    for direction, packet in (
        (TO_DEVICE, "start"),
        (TO_HOST, "start reply"),
        (TO_DEVICE, "copy to"),
        (TO_DEVICE, "call"),
        (TO_DEVICE, "copy from"),
        (TO_HOST, "return"),
        (TO_HOST, "copied data"),
    )
]


@pytest.mark.parametrize("plan", FAULTS, ids=lambda plan: f"{plan.kind} {plan.packet}")
def test_a_fault_ends_with_the_right_bytes_or_an_error(plan: FaultPlan) -> None:
    if plan.kind == "flip":
        plan = FaultPlan("flip", plan.direction, plan.packet, rate=0.02, seed=plan.seed)
    transport = FaultyTransport(FakeTransport(FakeDevice()), plan)
    link = Link(transport)
    start = time.monotonic()
    try:
        link.start(Deadline(OPEN_TIMEOUT_S))
        assert run_model(link) == DOUBLED
    except MicroTVMError:
        assert plan.kind not in ("none", "delay", "duplicate")
    assert time.monotonic() - start < OPEN_TIMEOUT_S + 4 * CALL_TIMEOUT_S + PATIENCE_S
    assert plan.kind in ("none", "flip") or transport.faults == 1


def test_flips_are_never_taken_for_the_right_bytes() -> None:
    wrong = right = 0
    device = FakeDevice()
    transport = FaultyTransport(FakeTransport(device), FaultPlan())
    link = Link(transport)
    link.start(Deadline(OPEN_TIMEOUT_S))
    for seed in range(150):
        transport.plan = FaultPlan("flip", TO_HOST, "copied data", rate=0.05, seed=seed)
        try:
            right += run_model(link) == DOUBLED
            wrong += run_model(link) != DOUBLED
        except MicroTVMError:
            transport.plan = FaultPlan()
            link.start(Deadline(OPEN_TIMEOUT_S))
    assert wrong == 0
    assert 0 < right < 150


@pytest.mark.parametrize("size", [1, 2, 7, 1000])
def test_a_stream_is_cut_into_its_frames(size: int) -> None:
    frames = [encode(bytes(range(n, 256))) for n in (0, 100, 250, 255)]
    stream = b"boot\r\n\xfe" + b"".join(frames[:2]) + b"noise" + frames[2] + frames[3]
    cutter = FrameCutter()
    pieces = [
        piece
        for start in range(0, len(stream), size)
        for piece in cutter.feed(stream[start : start + size])
    ]
    assert b"".join(piece for piece, _ in pieces) == stream
    assert [payload for _, payload in pieces if payload is not None] == [
        bytes(range(n, 256)) for n in (0, 100, 250, 255)
    ]
    assert [piece for piece, payload in pieces if payload is not None][1:2] == [frames[1]]


def test_the_kinds_of_packets() -> None:
    packet = pack_packet(RpcCode.CALL_FUNCTION, b"")
    assert packet_kind(pack_message(0x105, MessageType.NORMAL, packet)) == "call"
    assert packet_kind(pack_message(0x105, MessageType.CHECKED, b"\1" + packet)) == "call"
    assert packet_kind(pack_message(5, MessageType.START_INIT, b"\1")) == "start"
    assert packet_kind(b"") == "other"
    assert HostSession().start(5) != b""
    assert {"call", "start", "other"} <= set(PACKETS)
    for bad in ({"kind": "x"}, {"direction": "x"}, {"packet": "x"}):
        with pytest.raises(ValueError, match="no "):
            FaultPlan(**bad)  # type: ignore[arg-type]
    assert FaultPlan().direction == ANY
