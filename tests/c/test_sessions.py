"""Sessions with the RPC server: how they begin and end, and what damaged frames do to them."""

from __future__ import annotations

import struct
import time

import pytest

from pytest_microtvm.errors import ProtocolError
from pytest_microtvm.session.wire.framing import Frame, FrameDecoder, encode
from pytest_microtvm.session.wire.rpc import RpcCode, pack_packet
from pytest_microtvm.session.wire.session import (
    DeviceStarted,
    Established,
    HostSession,
    LogLine,
    Message,
    MessageType,
    Packet,
    SessionEvent,
    pack_message,
    parse_message,
)
from tests.c.client import (
    COPY_OVERHEAD_BYTES,
    INIT_BODY,
    MAX_PACKET_BYTES,
    assert_usable,
    call,
    copy_from,
    copy_to,
    find,
    start,
    tensor,
)
from tests.c.device import Device, RemoteError
from tests.c.values import (
    cpu,
    handle,
    sequence,
)

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
