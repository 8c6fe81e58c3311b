"""Bridge processes as their parent sees them.

A bridge serves one session after the other, because to start Python and import what it needs takes
longer than most sessions. Only one that ended its session in order, with the device let go of, is
used again; any other is killed together with all it started.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from typing import Any

from pytest_microtvm import errors
from pytest_microtvm.errors import MicroTVMError, TransportError
from pytest_microtvm.process import fill_standard_streams, kill_group, package_environment

CLOSE_TIMEOUT_S = 5.0
MAX_IDLE = 4

OnEvent = Callable[[Mapping[str, Any]], None]


class BridgeProcess:
    """One bridge; see `bridge` for what is said between it and us.

    Raises:
        TransportError: It cannot be started.
    """

    def __init__(self) -> None:
        self._on_event: OnEvent = _ignore
        self._closed = threading.Event()
        self._in_order = False
        self._ended = False
        try:
            fill_standard_streams()
            self._process = subprocess.Popen(
                [sys.executable, "-m", "pytest_microtvm.session.bridge", str(os.getpid())],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env=package_environment(),
                text=True,
                start_new_session=True,
            )
        except OSError as error:
            raise TransportError(
                f"the process that holds the link cannot be started: {error.strerror or error}",
                cure="allow more open files and processes (ulimit -n, ulimit -u)",
                operation="open",
            ) from error
        self._events = threading.Thread(target=self._follow, name="microtvm-bridge", daemon=True)
        self._events.start()

    @property
    def pid(self) -> int:
        """The process."""
        return self._process.pid

    @property
    def is_alive(self) -> bool:
        """Whether the process runs."""
        return self._process.poll() is None

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
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(json.dumps({what: message}) + "\n")
            self._process.stdin.flush()

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
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        kill_group(self._process)
        self._events.join()
        with contextlib.suppress(BrokenPipeError):  # of what it never read
            self._process.stdin.close()
        self._process.stdout.close()

    def _follow(self) -> None:
        """Pass events on; runs in a thread until the process ends."""
        assert self._process.stdout is not None
        for line in self._process.stdout:
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

    def _end_session(self) -> None:
        self._on_event({"event": "closed"})
        self._closed.set()


class Bridges:
    """The bridges of a process that opens many sessions."""

    def __init__(self) -> None:
        self._idle: list[BridgeProcess] = []

    def take(self) -> BridgeProcess:
        """A bridge without a session."""
        while self._idle:
            bridge = self._idle.pop()
            if bridge.is_alive:
                return bridge
            bridge.kill()
        return BridgeProcess()

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


def _ignore(_event: Mapping[str, Any]) -> None:
    """Listen to nobody."""
