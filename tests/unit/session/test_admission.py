"""Who is let in at the bridge's port, with strangers that send nothing, garbage, or one byte."""

from __future__ import annotations

import select
import socket
import struct
import time
from collections.abc import Iterator

import pytest

from pytest_microtvm.session import admission as admission_module
from pytest_microtvm.session.admission import MAX_GREETING, Admission
from tests.contract.strangers import GREETINGS, KEY, connect, greeting

WITHIN_S = 30.0


@pytest.fixture
def admission() -> Iterator[Admission]:
    admission = Admission(KEY, "board")
    yield admission
    admission.close()


def serve(admission: Admission, *, until_alone: bool = False) -> socket.socket | None:
    """Hear what comes in until the client is in or, if that is asked for, no stranger is left."""
    end = time.monotonic() + WITHIN_S
    while time.monotonic() < end:
        readable = select.select(admission.sockets, [], [], 0.01)[0]
        client = admission.admit(readable)
        if client is not None:
            return client
        if until_alone and not readable and len(admission.sockets) == 1:
            return None
    raise AssertionError("nobody came in")


def assert_lets_in(admission: Admission) -> None:
    with connect(admission.port, greeting(KEY)) as client:
        server = serve(admission)
        assert server is not None
        with server:
            assert server.getpeername() == client.getsockname()
            assert client.recv(4096) == struct.pack("<ii", 0xFF271, 12) + b"server:board"


def is_closed(connection: socket.socket) -> bool:
    try:
        return connection.recv(1) == b""
    except ConnectionError:
        return True


def test_the_client_is_let_in(admission: Admission) -> None:
    assert_lets_in(admission)


def test_a_client_that_takes_its_time_is_let_in(admission: Admission) -> None:
    text = greeting(KEY)
    with connect(admission.port, text[:1]) as client:
        for byte in text[1:]:
            assert admission.admit(select.select(admission.sockets, [], [], 0.01)[0]) is None
            client.sendall(bytes([byte]))
        server = serve(admission)
        assert server is not None
        server.close()


@pytest.mark.parametrize("name", GREETINGS)
def test_a_stranger_is_sent_away(admission: Admission, name: str) -> None:
    with connect(admission.port, GREETINGS[name]) as stranger:
        serve(admission, until_alone=True)
        assert is_closed(stranger)
    assert_lets_in(admission)


def test_strangers_do_not_keep_the_client_waiting(admission: Admission) -> None:
    silent = [connect(admission.port, b"") for _ in range(3 * MAX_GREETING)]
    slow = [connect(admission.port, greeting("x" * 4000)[:end]) for end in range(1, 20)]
    assert_lets_in(admission)
    for stranger in (*silent, *slow):
        stranger.close()


def test_a_greeting_has_one_deadline(admission: Admission, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admission_module, "GREETING_TIMEOUT_S", 0.3)
    with connect(admission.port, greeting("x" * 4000)[:8]) as stranger:
        while len(admission.sockets) == 1:
            admission.admit(select.select(admission.sockets, [], [], 0.01)[0])
        end = time.monotonic() + WITHIN_S
        while len(admission.sockets) > 1 and time.monotonic() < end:
            stranger.sendall(b"x")  # long before the deadline, every time
            admission.admit(select.select(admission.sockets, [], [], 0.01)[0])
        assert is_closed(stranger)
