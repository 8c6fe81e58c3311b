"""Bridge processes as their parent sees them.

A bridge serves one session after the other; each is a fork, so that Python and what it imports are
not loaded anew (see `forks`). Only one that ended its session in order, with the device let go of,
is used again; any other is killed together with all it started.
"""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from pytest_microtvm import errors
from pytest_microtvm.deadline import Deadline
from pytest_microtvm.errors import MicroTVMError, TransportError
from pytest_microtvm.forks import ForkError, Forks, Program
from pytest_microtvm.process import fill_standard_streams
from pytest_microtvm.project.forking import PRELOAD

BRIDGE = Program("pytest_microtvm.session.bridge", PRELOAD)
START_TIMEOUT_S = 60.0
CLOSE_TIMEOUT_S = 5.0
MAX_IDLE = 4
_STDERR_FD = 2

OnEvent = Callable[[Mapping[str, Any]], None]


class BridgeProcess:
    """One bridge; see `bridge` for what is said between it and us.

    Args:
        forks: Starts it; None for a fork server of its own.

    Raises:
        TransportError: It cannot be started.
    """

    def __init__(self, forks: Forks | None = None) -> None:
        self._on_event: OnEvent = _ignore
        self._closed = threading.Event()
        self._in_order = False
        self._ended = False
        self._own_forks: Forks | None = None
        if forks is None:
            self._own_forks = forks = Forks()
        try:
            fill_standard_streams()
            self._link, theirs = socket.socketpair()
        except OSError as error:
            raise _trouble(f"cannot be started: {error.strerror or error}") from error
        try:
            with theirs:
                self._process = forks.start(
                    BRIDGE,
                    (),
                    (theirs.fileno(), theirs.fileno(), _STDERR_FD),
                    deadline=Deadline(START_TIMEOUT_S),
                    folder=Path.cwd(),
                )
        except BaseException as error:
            self._link.close()
            self._close_own_forks()
            if isinstance(error, ForkError):
                raise _trouble(error.what) from error
            raise
        self._events = threading.Thread(target=self._follow, name="microtvm-bridge", daemon=True)
        self._events.start()

    @property
    def pid(self) -> int:
        """The process."""
        return self._process.pid

    @property
    def is_alive(self) -> bool:
        """Whether the process runs.

        One that was killed just now has hung up before its fork server tells of its end.
        """
        return self._process.poll() is None and not self._has_hung_up()

    @property
    def ended_in_order(self) -> bool:
        """Whether the session has ended, and the device was let go of."""
        return self._in_order

    def start(self, config: Mapping[str, Any], on_event: OnEvent) -> None:
        """Begin a session.

        Args:
            config: The fields of a `BridgeConfig`.
            on_event: Told every event of the session, in a thread of its own; at last "closed".
        """
        self._closed.clear()
        self._in_order = False
        self._on_event = on_event
        self.tell("open", config)
        if self._ended:  # while it was idle: nobody was told
            self._end_session()

    def tell(self, what: str, message: object = None) -> None:
        """Say something to the process; one that is gone has said so by its last event."""
        with contextlib.suppress(ConnectionError):
            self._link.sendall(json.dumps({what: message}).encode() + b"\n")

    def ask_to_close(self) -> None:
        """Have the session closed; `finish` waits for it."""
        self.tell("close")

    def finish(self) -> bool:
        """Wait until the session is closed.

        Returns:
            Whether the process can serve another one.
        """
        self._closed.wait(CLOSE_TIMEOUT_S)
        self._on_event = _ignore
        return self._in_order and self.is_alive

    def kill(self) -> None:
        """End the process and everything it started. Never raises."""
        self._process.end()
        self._events.join()
        self._link.close()
        self._close_own_forks()

    def _has_hung_up(self) -> bool:
        try:
            return not self._link.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except BlockingIOError:
            return False
        except OSError:
            return True

    def _follow(self) -> None:
        """Pass events on; runs in a thread until the process ends."""
        for line in self._lines():
            try:
                event = json.loads(line)
            except ValueError:  # it was killed in the middle of a line
                break
            if event["event"] == "closed":
                self._in_order = True
                self._end_session()
            else:
                self._on_event(event)
        self._in_order = False
        self._ended = True
        self._end_session()

    def _lines(self) -> Iterator[str]:
        """What the process says until it ends."""
        with (
            contextlib.suppress(ConnectionError),  # there is something that it did not read
            self._link.makefile(encoding="utf-8") as lines,
        ):
            yield from lines

    def _close_own_forks(self) -> None:
        if self._own_forks is not None:
            self._own_forks.close()

    def _end_session(self) -> None:
        self._on_event({"event": "closed"})
        self._closed.set()


class Bridges:
    """The bridges of a process that opens many sessions.

    Args:
        forks: Starts them; None where each has a fork server of its own.
    """

    def __init__(self, forks: Forks | None = None) -> None:
        self._forks = forks
        self._idle: list[BridgeProcess] = []

    def take(self) -> BridgeProcess:
        """A bridge without a session."""
        while self._idle:
            bridge = self._idle.pop()
            if bridge.is_alive:
                return bridge
            bridge.kill()
        return BridgeProcess(self._forks)

    def give_back(self, bridge: BridgeProcess) -> None:
        """Keep a bridge whose session has ended, if it can serve another."""
        if bridge.finish() and len(self._idle) < MAX_IDLE:
            self._idle.append(bridge)
        else:
            bridge.kill()

    def close(self) -> None:
        """End all that are idle. Never raises."""
        while self._idle:
            self._idle.pop().kill()


def error_of(event: Mapping[str, Any], board: str) -> MicroTVMError:
    """The error that a bridge tells of by an event.

    Args:
        event: As the bridge has sent it.
        board: What the device is called.
    """
    kind: type[MicroTVMError] = getattr(errors, event["kind"], TransportError)
    return kind(
        event["message"],
        cure=event["cure"],
        board=board,
        operation=event["operation"],
        elapsed_s=event["elapsed_s"],
        details=event["details"],
    )


def _trouble(what: str) -> TransportError:
    return TransportError(
        f"the process that holds the link {what}",
        cure="allow more open files and processes (ulimit -n, ulimit -u)",
        operation="open",
    )


def _ignore(_event: Mapping[str, Any]) -> None:
    """Listen to nobody."""
