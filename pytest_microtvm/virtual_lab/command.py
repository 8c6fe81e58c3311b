"""`microtvm lab virtual`: runs a command with a virtual lab around it."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from pytest_microtvm.boards import Board
from pytest_microtvm.boards.selection import unknown_board
from pytest_microtvm.errors import ConfigError
from pytest_microtvm.process import die_with_parent, signals_held
from pytest_microtvm.virtual_lab.client import VirtualLab

LAB_VARIABLE = "MICROTVM_LAB"
INTERRUPTED = 128 + signal.SIGINT
GOODBYE_S = 10.0
"""How long the command may take to end after an interrupt."""


def boards_of(counts: Sequence[str], known: Mapping[str, Board]) -> dict[str, Board]:
    """The boards of a lab: "KIND" for one of that kind, "KIND=COUNT" for several.

    Returns:
        Definitions by the names of the boards: KIND-1, KIND-2 and so on.

    Raises:
        ConfigError: There is no such kind of board, or the count is not a positive number.
    """
    boards: dict[str, Board] = {}
    for text in counts:
        kind, _, count = text.partition("=")
        if kind not in known:
            raise unknown_board(kind, known)
        if not (count or "1").isdecimal() or int(count or "1") < 1:
            raise ConfigError(f"{text!r} is no number of boards", cure="write KIND=COUNT")
        boards |= {f"{kind}-{number + 1}": known[kind] for number in range(int(count or "1"))}
    return boards


def run_in_lab(boards: Mapping[str, Board], directory: Path, command: Sequence[str]) -> int:
    """Run a command while the lab is there.

    Args:
        boards: Definitions by the names of the boards.
        directory: Keeps what the boards' flash holds.
        command: Program and arguments; none to wait for Ctrl-C.

    Returns:
        Its exit status; 128 and the signal's number if a signal ended it.

    Raises:
        MicroTVMError: The lab cannot be had.
        ConfigError: The command cannot be started.
    """
    with _termination_as_exit(), VirtualLab(boards, directory) as lab:
        if not command:
            sys.stdout.write(f"export {LAB_VARIABLE}={lab.lab_file}\n")
            sys.stdout.flush()
            with contextlib.suppress(KeyboardInterrupt):
                while True:
                    signal.pause()
            return INTERRUPTED
        parent = os.getpid()
        try:
            with signals_held():
                process = subprocess.Popen(
                    command,
                    env={**os.environ, LAB_VARIABLE: str(lab.lab_file)},
                    preexec_fn=lambda: die_with_parent(parent),
                )
        except KeyboardInterrupt:  # the command may run already; it has it, too
            return INTERRUPTED
        except OSError as error:
            raise ConfigError(f"cannot start {command[0]}: {error.strerror}") from error
        try:
            status = process.wait()
        except KeyboardInterrupt:  # Ctrl-C is for both of us
            _await_goodbye(process)
            return INTERRUPTED
        finally:
            process.kill()
            process.wait()
        return status if status >= 0 else 128 - status


@contextlib.contextmanager
def _termination_as_exit() -> Iterator[None]:
    """Have SIGTERM end this process by an exception, so that everything is closed."""

    def leave(number: int, _frame: object) -> None:
        raise SystemExit(128 + number)

    previous = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)


def _await_goodbye(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(subprocess.TimeoutExpired, KeyboardInterrupt):
        process.wait(GOODBYE_S)
