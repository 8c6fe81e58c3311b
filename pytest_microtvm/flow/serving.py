"""Serves a device to the clients of TVM's RPC tracker, one after the other."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import replace
from typing import NoReturn

from pytest_microtvm.deadline import Deadline
from pytest_microtvm.errors import ConfigError, MicroTVMError
from pytest_microtvm.flow.progress import Progress
from pytest_microtvm.project.firmware import Firmware
from pytest_microtvm.session.device import ADMITTED, LEFT, Session
from pytest_microtvm.session.tracker import RemoteBoard, Tracker, TrackerGone

PING_S = 1.0
"""How often the tracker is asked whether the board was given to somebody."""
UNCLAIMED_S = 10.0
"""How long a client that was given the board may take to come."""


def parse_address(text: str) -> tuple[str, int]:
    """The machine and the port of `HOST:PORT`.

    Raises:
        ConfigError: It is something else.
    """
    host, _, port = text.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 1 << 16:
        raise ConfigError(f"{text!r} is no HOST:PORT", cure="name it as in 127.0.0.1:9190")
    return host.strip("[]"), int(port)


def check_key(key: str) -> None:
    """Make sure that a key can be a board's name at a tracker.

    Raises:
        ConfigError: It cannot.
    """
    if not key or any(letter.isspace() or letter == ":" for letter in key):
        raise ConfigError(f"{key!r} is no key", cure="use letters and digits, no blanks or colons")


def serve(
    session: Session, address: tuple[str, int], key: str, port: int, progress: Progress
) -> NoReturn:
    """Offer a device to a tracker, again and again; each client has it fresh from its start.

    The device is reached at the address of this machine that the tracker sees: from this machine
    alone, where the tracker is on its loopback.

    Args:
        session: The device, which was opened once: it runs what it should.
        address: The tracker's.
        key: What clients ask the tracker for.
        port: Where clients come in; 0 for a free port.
        progress: Told who comes and goes, as lines.

    Raises:
        MicroTVMError: The tracker is gone, or the device does not start any more.
    """
    while True:
        with Tracker(*address) as tracker:
            tracker.register(key)
            match_key = f"{key}:{secrets.token_hex(16)}"
            taken = session.lend(match_key, key, tracker.local_host, port)
            board = RemoteBoard(tracker.local_host, taken, match_key)
            tracker.offer(key, board)
            progress(f"{session.board} is offered as {key} by the RPC tracker at {tracker.name}")
            try:
                _serve_client(session, tracker, board, progress)
            except TrackerGone:
                raise
            except MicroTVMError as error:  # a client sees its connection end
                progress(f"{error.one_line()}; starting the board again")


def reach(
    firmware: Firmware,
    address: tuple[str, int],
    key: str,
    timeout_s: float,
    on_log: Callable[[str], None],
) -> Session:
    """A session, yet to be opened, with a board that a tracker gives.

    Args:
        firmware: What the board runs.
        address: The tracker's.
        key: What the board is offered as.
        timeout_s: For a free board, for opening it, and for the answer to each call.
        on_log: As of `Session`.

    Raises:
        LeaseError: No board is offered by this key, or others had it all the time.
        TransportError: The tracker is gone.
    """
    with Tracker(*address) as tracker:
        remote = tracker.request(key, Deadline(timeout_s))
    uncounted = replace(firmware, counter="nothing counts on a board of another machine")
    return Session(uncounted, timeout_s, on_log, board=f"{key} at {remote.host}", remote=remote)


def _serve_client(
    session: Session, tracker: Tracker, board: RemoteBoard, progress: Progress
) -> None:
    """Wait for a client, and until it has left."""
    if not _claimed(session, tracker, board):
        progress("the client that was given the board did not come; offering it again")
        return
    progress("a client has the board")
    while session.next_of_client(PING_S) != LEFT:
        pass
    progress("the client has left")


def _claimed(session: Session, tracker: Tracker, board: RemoteBoard) -> bool:
    """Wait for a client; whether the one that was given the board came in time."""
    deadline: Deadline | None = None
    while session.next_of_client(PING_S) != ADMITTED:
        if tracker.is_pending(board):
            deadline = None
        elif deadline is None:
            deadline = Deadline(UNCLAIMED_S)
        elif deadline.expired:
            return False
    return True
