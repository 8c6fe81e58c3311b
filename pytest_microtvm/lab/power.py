"""The power switch of a board: commands of the lab file."""

from __future__ import annotations

import subprocess
import tempfile
import time
from typing import IO

from pytest_microtvm.deadline import Deadline
from pytest_microtvm.errors import LeaseError
from pytest_microtvm.lab.file import LabBoard
from pytest_microtvm.process import kill_group

OFF_S = 1.0
"""How long a board stays without power: its capacitors have to run empty."""
KEPT_OUTPUT_BYTES = 16384


def power_cycle(board: LabBoard, deadline: Deadline) -> bool:
    """Take a board's power away and give it back.

    Returns:
        False where the lab file says nothing of how.

    Raises:
        LeaseError: A command fails, or does not end in time.
    """
    if not board.power_off:
        return False
    run_command(board.power_off, board, "power off", deadline)
    time.sleep(deadline.at_most(OFF_S))
    run_command(board.power_on, board, "power on", deadline)
    return True


def run_command(
    command: tuple[str, ...], board: LabBoard, operation: str, deadline: Deadline
) -> str:
    """Run a command of the lab file; what it starts ends with it.

    Args:
        command: The program and its arguments.
        board: Whose it is, for errors.
        operation: What it does, for errors.
        deadline: Ends it.

    Returns:
        Its standard output, or the end of that.

    Raises:
        LeaseError: It cannot be started, fails, or does not end in time.
    """

    def failure(what: str, *printed: str) -> LeaseError:
        return LeaseError(
            f"the command {command[0]} {what}",
            cure="see the lab file",
            board=board.label,
            operation=operation,
            elapsed_s=deadline.elapsed_s,
            details="\n".join(filter(None, printed)),
        )

    # Files, not pipes: a daemon that the command leaves behind would keep a pipe open.
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        try:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=errors,
                start_new_session=True,
            )
        except OSError as error:
            raise failure(f"cannot be started: {error.strerror or error}") from error
        try:
            status = process.wait(deadline.remaining_s)
        except subprocess.TimeoutExpired as error:
            raise failure("does not end", _end_of(output), _end_of(errors)) from error
        finally:
            kill_group(process)
        if status != 0:
            what = f"failed with exit status {status}"
            raise failure(what, _end_of(output), _end_of(errors))
        return _end_of(output)


def _end_of(file: IO[bytes]) -> str:
    file.seek(max(0, file.seek(0, 2) - KEPT_OUTPUT_BYTES))
    return file.read().decode("utf-8", "replace").strip()
