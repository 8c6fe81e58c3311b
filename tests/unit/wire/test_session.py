"""The host's side of a session, without a device."""

from __future__ import annotations

import pytest

from pytest_microtvm.errors import ProtocolError
from pytest_microtvm.session.wire.checked import seal
from pytest_microtvm.session.wire.framing import Frame, FrameDecoder, encode
from pytest_microtvm.session.wire.session import (
    ChecksRefused,
    Damaged,
    DeviceStarted,
    Established,
    Fault,
    HostSession,
    Ignored,
    LogLine,
    MessageType,
    Packet,
    SessionLost,
    SessionState,
    pack_message,
    parse_message,
)

SESSION_ID = 0x012A
REPLY = pack_message(SESSION_ID, MessageType.START_REPLY, b"\x01")
STARTED = pack_message(0, MessageType.TERMINATE)


def payload_of(wire: bytes) -> bytes:
    (event,) = FrameDecoder().feed(wire)
    assert isinstance(event, Frame)
    return event.payload


@pytest.fixture
def session() -> HostSession:
    """An established session."""
    host = HostSession()
    host.start(0x2A)
    assert host.accept(REPLY) == Established(SESSION_ID)
    return host


def test_start_is_the_golden_frame() -> None:
    assert HostSession().start(0x2A) == bytes.fromhex("fffd040000002a000001ce86")


def test_a_session_from_start_to_end() -> None:
    host = HostSession()
    states = [host.state]
    host.start(0x2A)
    states.append(host.state)
    assert states == [SessionState.IDLE, SessionState.STARTING]
    assert host.accept(STARTED) == DeviceStarted()
    host.start(0x2A)
    assert host.accept(REPLY) == Established(SESSION_ID)
    assert (host.state, host.session_id) == (SessionState.ESTABLISHED, SESSION_ID)
    sent = parse_message(payload_of(host.send(b"packet")))
    assert (sent.session_id, sent.type, sent.body) == (SESSION_ID, MessageType.NORMAL, b"packet")
    answer = pack_message(SESSION_ID, MessageType.NORMAL, b"answer")
    assert host.accept(answer) == Packet(b"answer")


def test_log_lines_come_at_any_time(session: HostSession) -> None:
    line = pack_message(0, MessageType.LOG, b"warm \xc2\xb0 \xff")
    assert HostSession().accept(line) == LogLine("warm ° �")
    assert session.accept(line) == LogLine("warm ° �")


def test_a_fault_comes_at_any_time(session: HostSession) -> None:
    text = b"kind=page fault\npc=0x00100f3c\nnonsense\nnote=a=b\n"
    report = pack_message(0, MessageType.FAULT, b"\x01" + text)
    expected = {"kind": "page fault", "pc": "0x00100f3c", "note": "a=b"}
    assert HostSession().accept(report) == session.accept(report) == Fault(expected)
    for body in (b"", b"\x02" + text):
        assert isinstance(session.accept(pack_message(0, MessageType.FAULT, body)), Ignored)


def test_a_second_answer_to_a_repeated_start_is_ignored(session: HostSession) -> None:
    assert isinstance(session.accept(REPLY), Ignored)
    assert session.state is SessionState.ESTABLISHED


def test_answers_to_others_are_ignored() -> None:
    host = HostSession()
    assert isinstance(host.accept(REPLY), Ignored)
    host.start(0x2B)
    assert isinstance(host.accept(REPLY), Ignored)
    assert host.state is SessionState.STARTING


@pytest.mark.parametrize("session_id", [0, SESSION_ID])
def test_a_device_that_restarts_loses_the_session(session: HostSession, session_id: int) -> None:
    lost = session.accept(pack_message(session_id, MessageType.TERMINATE))
    assert lost == SessionLost(restarted=session_id == 0)
    assert session.state is SessionState.LOST
    with pytest.raises(ProtocolError, match="a session that is lost"):
        session.send(b"packet")


@pytest.mark.parametrize(
    "payload",
    [
        pack_message(0x022A, MessageType.NORMAL, b"x"),
        pack_message(0x022A, MessageType.TERMINATE),
        pack_message(SESSION_ID, MessageType.START_INIT, b"\x01"),
        b"\x2a\x01\x77",
    ],
)
def test_the_rest_is_ignored(session: HostSession, payload: bytes) -> None:
    assert isinstance(session.accept(payload), Ignored)
    assert session.state is SessionState.ESTABLISHED


@pytest.mark.parametrize("body", [b"", b"\x02", b"\x01\x00"])
def test_another_version_is_an_error(body: bytes) -> None:
    host = HostSession()
    host.start(0x2A)
    with pytest.raises(ProtocolError, match="version"):
        host.accept(pack_message(SESSION_ID, MessageType.START_REPLY, body))


def test_a_refused_start_is_an_error() -> None:
    host = HostSession()
    host.start(0x2A)
    with pytest.raises(ProtocolError, match="nonce 0"):
        host.accept(pack_message(0x002A, MessageType.START_REPLY, b"\x01"))


@pytest.mark.parametrize("payload", [b"", b"\x00", b"\x00\x00"])
def test_no_message_is_an_error(payload: bytes) -> None:
    with pytest.raises(ProtocolError, match="shorter than the session header"):
        HostSession().accept(payload)


def test_nothing_is_sent_before_the_start() -> None:
    with pytest.raises(ProtocolError, match="a session that is idle"):
        HostSession().send(b"packet")


@pytest.mark.parametrize("nonce", [0, 256, -1])
def test_a_nonce_is_a_byte_but_not_0(nonce: int) -> None:
    with pytest.raises(ValueError, match="nonce"):
        HostSession().start(nonce)


@pytest.fixture
def checked() -> HostSession:
    """A session whose device grants checked messages."""
    session = HostSession(checked=True)
    assert session.start(0x2A) == encode(pack_message(0x2A, MessageType.START_INIT, b"\1\1"))
    reply = pack_message(SESSION_ID, MessageType.START_REPLY, b"\1\1")
    assert session.accept(reply) == Established(SESSION_ID)
    return session


def checked_answer(sequence: int, packet: bytes) -> bytes:
    header = pack_message(SESSION_ID, MessageType.CHECKED)
    return header + seal(header, sequence, packet)


def test_checked_packets_are_numbered_from_one(checked: HostSession) -> None:
    for sequence in (*range(1, 256), 0, 1):
        assert checked.send(b"ask") == encode(checked_answer(sequence, b"ask"))
        assert checked.accept(checked_answer(sequence, b"answer")) == Packet(b"answer")


def test_the_answer_to_an_earlier_request_is_ignored(checked: HostSession) -> None:
    checked.send(b"first")
    checked.send(b"second")
    assert isinstance(checked.accept(checked_answer(1, b"late")), Ignored)
    assert checked.accept(checked_answer(2, b"right")) == Packet(b"right")


def test_a_damaged_checked_message_is_noticed_whatever_the_bit(checked: HostSession) -> None:
    checked.send(b"ask")
    answer = checked_answer(1, b"answer")
    for bit in range(8 * 3, 8 * len(answer)):
        damaged = bytearray(answer)
        damaged[bit // 8] ^= 1 << bit % 8
        assert checked.accept(bytes(damaged)) == Damaged()
    assert checked.accept(answer[:4]) == Damaged()
    assert isinstance(
        checked.accept(pack_message(SESSION_ID, MessageType.NORMAL, b"answer")), Ignored
    )


def test_a_device_without_checked_messages_is_asked_without() -> None:
    session = HostSession(checked=True)
    session.start(0x2A)
    assert session.accept(pack_message(0x2A, MessageType.START_REPLY, b"\1")) == ChecksRefused()
    assert session.start(0x2A) == HostSession().start(0x2A)
    assert session.accept(REPLY) == Established(SESSION_ID)
    assert not session.checked
    assert session.accept(pack_message(SESSION_ID, MessageType.NORMAL, b"answer")) == Packet(
        b"answer"
    )
