"""Real boards of a run: leased, flashed, opened, and taken out of the run when they are sick."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping
from typing import Any

from pytest_microtvm.boards import Board
from pytest_microtvm.deadline import Deadline
from pytest_microtvm.errors import (
    BuildError,
    FlashError,
    LeaseError,
    MicroTVMError,
    ProtocolError,
    TransportError,
)
from pytest_microtvm.flow.progress import Progress, long_step
from pytest_microtvm.lab.pool import Lab, Lease
from pytest_microtvm.lab.power import power_cycle
from pytest_microtvm.measure.records import Record
from pytest_microtvm.project.firmware import Firmware
from pytest_microtvm.session.bridges import Bridges
from pytest_microtvm.session.device import Session

POWER_TIMEOUT_S = 60.0
ASK_TIMEOUT_S = 5.0
"""How long a board that may run anything is given to say what it runs."""
HALF = "half"
"""Noted in place of a build id while a board is flashed: what it says of itself is no proof then.
"""
SICK = (BuildError, FlashError, ProtocolError, TransportError)
"""What a board's trouble shows as; BuildError when it keeps the project's server from answering. A
device that answers with an error of its own is well, and so is one that another program holds."""

OnLog = Callable[[str], None]


class Rig:
    """The board that a test uses.

    At most one is leased at a time, so that processes that wait for each other's boards cannot be.

    Args:
        lab: The boards that are here.
        timeout_s: For opening a device and for each call to it.
        lease_timeout_s: For waiting until a board is free.
        progress: Told what takes time and what goes wrong, as lines.
        always_flash: Flash also what runs already.
        bridges: Where sessions have their bridges from; None for one of its own each.
    """

    def __init__(
        self,
        lab: Lab,
        timeout_s: float,
        lease_timeout_s: float,
        progress: Progress,
        *,
        always_flash: bool = False,
        bridges: Bridges | None = None,
    ) -> None:
        self.lab = lab
        self._bridges = bridges
        self._always_flash = always_flash
        self._timeout_s = timeout_s
        self._lease_timeout_s = lease_timeout_s
        self._progress = progress
        self._lease: Lease | None = None
        self._session: Session | None = None
        self._record: Record | None = None
        self._options: dict[str, Any] = {}

    def serves(self, board: Board) -> bool:
        """Whether a board is taken from the lab, and not emulated."""
        return board.is_real(board.name in self.lab.kinds)

    def open(
        self,
        firmware: Firmware,
        record: Record,
        on_log: OnLog,
        options: Mapping[str, Any] | None = None,
    ) -> Session:
        """Open a board that runs a firmware, or go on with the session that is open.

        A board that cannot be flashed or does not answer is power-cycled, if the lab says how, and
        tried once more; then it is in quarantine, and another board of the lab takes its place.

        Args:
            firmware: What must run.
            record: Gets the times, and the board's name.
            on_log: Told the device's log lines, until the next `open`.
            options: Project options, beside those that say which board is meant.

        Raises:
            MicroTVMError: What is wrong with the last board there was.
        """
        session, build_id = self._session, firmware.build_id
        if session is not None and session.is_open and session.firmware.build_id == build_id:
            session.on_log = on_log
            return session
        self._close_session()
        self._record = record
        self._options = dict(options or {})
        trouble: MicroTVMError | None = None
        held: set[str] = set()  # by programs that know nothing of leases
        while True:
            try:
                lease = self._take(firmware, record, held)
            except LeaseError as error:
                # The test that finds a board sick reports the trouble in full, with details.
                raise trouble or error from None
            record.add_lab_board(lease.board.name)
            try:
                self._session = self._start(lease, firmware, record, on_log)
            except LeaseError as error:
                trouble = error
                held.add(lease.board.name)
                self._note(record, error.one_line())
                self.release()
            except SICK as error:
                trouble = error
                self._note(record, f"{error.one_line()}; {lease.board.name} is in quarantine now")
                self.lab.quarantine.add(lease.board, error.one_line())
                self.release()
            except BaseException:
                self.release()
                raise
            else:
                return self._session

    def drop(self, session: Session) -> None:
        """Close a session that failed; another may be opened on the same board."""
        if session is self._session:
            self._close_session()

    def release(self) -> None:
        """Close the session and give the board back. Never raises, may be called again."""
        self._close_session()
        lease, self._lease = self._lease, None
        if lease is not None:
            lease.release()

    def _take(self, firmware: Firmware, record: Record, without: Collection[str]) -> Lease:
        """A lease on a board for a firmware: the one that is held, or a new one."""
        kind = firmware.board.name
        if self._lease is not None and self._lease.board.kind == kind:
            return self._lease
        self.release()
        start = time.monotonic()
        self._lease = self.lab.acquire(
            kind,
            Deadline(self._lease_timeout_s),
            firmware=firmware.flashed_as,
            without=without,
            on_wait=self._progress,
        )
        record.add_seconds("lease", time.monotonic() - start)
        return self._lease

    def _start(self, lease: Lease, firmware: Firmware, record: Record, on_log: OnLog) -> Session:
        """Flash a board if need be and open it; try again once."""
        try:
            return self._flash_and_open(lease, firmware, record, on_log)
        except SICK as error:
            self._note(record, error.one_line())
        try:
            cycled = power_cycle(lease.board, Deadline(POWER_TIMEOUT_S))
        except LeaseError as error:  # whether the board is sick is another question
            self._note(record, error.one_line())
        else:
            done = "was power-cycled" if cycled else "has no power switch"
            self._progress(f"{lease.board.label} {done}; trying once more")
        return self._flash_and_open(lease, firmware, record, on_log)

    def _flash_and_open(
        self, lease: Lease, firmware: Firmware, record: Record, on_log: OnLog
    ) -> Session:
        session = self._open_unless_stale(lease, firmware, record, on_log)
        if session is not None:
            return session
        lease.note_firmware(HALF)
        return self._open(lease, firmware, record, on_log, self._timeout_s, flash=True)

    def _open_unless_stale(
        self, lease: Lease, firmware: Firmware, record: Record, on_log: OnLog
    ) -> Session | None:
        """Open a board that runs the firmware already; None when it has to be flashed.

        What it was last flashed with, as its users noted, says whether to ask; what counts is the
        answer.
        """
        if self._always_flash or lease.firmware not in ("", firmware.flashed_as):
            return None
        try:
            return self._open(lease, firmware, record, on_log, min(ASK_TIMEOUT_S, self._timeout_s))
        except SICK:
            return None

    def _open(
        self,
        lease: Lease,
        firmware: Firmware,
        record: Record,
        on_log: OnLog,
        open_timeout_s: float,
        *,
        flash: bool = False,
    ) -> Session:
        session = Session(
            firmware,
            self._timeout_s,
            on_log,
            open_timeout_s=open_timeout_s,
            options={**self._options, **lease.board.project_options, "reset": not flash},
            board=lease.board.label,
            bridges=self._bridges,
        )
        if flash:
            what = f"flashing {firmware.library.name} to {lease.board.label}"
            with long_step(what, self._progress):
                session.flash()
            record.add_seconds("flash", session.flash_s)
        session.open()
        lease.note_firmware(firmware.flashed_as)
        record.add_seconds("open", session.open_s)
        return session

    def _close_session(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            start = time.monotonic()
            session.close()
            assert self._record is not None
            self._record.add_seconds("close", time.monotonic() - start)

    def _note(self, record: Record, line: str) -> None:
        """Report an incident."""
        record.incidents.append(line)
        self._progress(line)
