"""Boards of one kind form a pool: whoever needs one takes whichever is free and well."""

from __future__ import annotations

import contextlib
import json
import shlex
import sys
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path

from pytest_microtvm.deadline import Deadline
from pytest_microtvm.errors import LeaseError
from pytest_microtvm.lab.file import LabBoard
from pytest_microtvm.lab.labgrid import PlaceHeldError, acquire_place, release_place
from pytest_microtvm.lab.locks import ThingLocks, lock_directory, things_of

POLL_S = 0.1


class Lease:
    """The right to use one board, alone, until it is released or this process ends.

    Attributes:
        board: The board; that of a labgrid place with the port that the place has now.
    """

    def __init__(self, board: LabBoard, locks: ThingLocks) -> None:
        self.board = board
        self._locks = locks
        self._released = False

    def __enter__(self) -> Lease:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.release()

    @property
    def firmware(self) -> str:
        """What the board was last flashed with, as noted by its users; empty when nobody noted."""
        return self._locks.firmware

    def note_firmware(self, build_id: str) -> None:
        """Leave word of what the board runs, for whoever would like to flash it no more."""
        self._locks.firmware = build_id

    def release(self) -> None:
        """Give the board back; may be called again."""
        if self.board.place and not self._released:
            release_place(self.board, self._locks.place_mark)
        self._released = True
        self._locks.release()


class Quarantine:
    """The boards that nobody in this run should try again, and why.

    The processes of one run share it as a folder with a file for each board.

    Args:
        directory: The folder; there already.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def add(self, board: LabBoard, cause: str) -> None:
        """Put a board in; the first cause given stays."""
        text = json.dumps({"cause": " ".join(cause.split())})
        # The folder is gone when the process that made it was interrupted.
        gone = contextlib.suppress(FileExistsError, FileNotFoundError)
        with gone, open(self._path(board), "x", encoding="utf-8") as file:
            file.write(text)

    def cause(self, board: LabBoard) -> str | None:
        """Why a board is in; None when it is not."""
        try:
            text = self._path(board).read_text()
        except FileNotFoundError:
            return None
        try:
            return str(json.loads(text)["cause"])
        except (ValueError, KeyError):
            return "another process is saying why"

    def _path(self, board: LabBoard) -> Path:
        return self.directory / f"{board.name}.json"


class Lab:
    """The boards that are here.

    Args:
        boards: Of the lab file.
        quarantine: Shared by the processes of one run.
        command: What waiting processes are told that the holder runs; empty for this command line.
    """

    def __init__(
        self, boards: Iterable[LabBoard], quarantine: Quarantine, command: str = ""
    ) -> None:
        self.boards = tuple(boards)
        self.quarantine = quarantine
        self._command = command or shlex.join(sys.argv)
        self._held_places: dict[str, str] = {}  # by others, as labgrid says

    @property
    def kinds(self) -> frozenset[str]:
        """The kinds of board that are here."""
        return frozenset(board.kind for board in self.boards)

    def acquire(
        self,
        kind: str,
        deadline: Deadline,
        *,
        firmware: str = "",
        without: Collection[str] = (),
        on_wait: Callable[[str], None] = lambda line: None,
    ) -> Lease:
        """Take a board of a kind, waiting until one is free.

        Args:
            kind: A kind that is here.
            deadline: Ends the waiting.
            firmware: What the board is wanted for, as `Firmware.flashed_as` has it. Of the boards
                that are free one that seems to run it is taken, or else the one that was used
                longest ago.
            without: The names of boards that will not do.
            on_wait: Told who holds the boards, when nobody has given one back at once, and again
                when that changes.

        Raises:
            LeaseError: All are still held when the deadline expires, or in quarantine.
            ConfigError: Boards cannot be locked on this machine.
        """
        directory = lock_directory()
        pool = {
            board: ThingLocks(directory, things_of(board))
            for board in self.boards
            if board.kind == kind and board.name not in without
        }
        told = ""
        try:
            while True:
                self._check_healthy(kind, pool)
                lease = self._acquire_free(pool, firmware)
                if lease is not None:
                    return lease
                self._check_healthy(kind, pool)
                busy = self._troubles(pool)
                if deadline.expired:
                    raise LeaseError(
                        f"no board of the lab is free: {busy}",
                        cure="wait for it, end that process, or add a board to the lab",
                        board=kind,
                        operation="lease",
                        elapsed_s=deadline.elapsed_s,
                    )
                if busy != told:
                    on_wait(f"waiting for {kind}: {busy}")
                    told = busy
                time.sleep(deadline.at_most(POLL_S))
        finally:
            for locks in pool.values():
                locks.give_up()

    def _check_healthy(self, kind: str, pool: _Pool) -> None:
        """Make sure that there is a board to wait for.

        Raises:
            LeaseError: All are in quarantine.
        """
        if all(self.quarantine.cause(board) is not None for board in pool):
            raise LeaseError(
                f"no board of the lab is left: {self._troubles(pool)}",
                cure="'microtvm lab check' tries each",
                board=kind,
                operation="lease",
            )

    def _acquire_free(self, pool: _Pool, firmware: str) -> Lease | None:
        """Take a free and healthy board of a pool."""
        healthy = [item for item in pool.items() if self.quarantine.cause(item[0]) is None]
        # One that runs the firmware; else the one whose firmware was not wanted for longest.
        healthy.sort(key=lambda item: (item[1].firmware != firmware, item[1].last_used))
        for board, locks in healthy:
            if locks.acquire(self._command):
                lease = None
                try:
                    lease = self._lease(board, locks)
                finally:
                    if lease is None:
                        locks.release()
                if lease is not None:
                    return lease
        return None

    def _lease(self, board: LabBoard, locks: ThingLocks) -> Lease | None:
        """A lease on a board that is locked; None if it cannot be had all the same."""
        if self.quarantine.cause(board) is not None:
            return None  # put in meanwhile
        if not board.place:
            return Lease(board, locks)
        try:
            lease = Lease(acquire_place(board, locks.place_mark), locks)
        except PlaceHeldError as error:
            self._held_places[board.name] = error.message
            return None
        except LeaseError as error:
            self.quarantine.add(board, error.one_line())
            return None
        self._held_places.pop(board.name, None)
        return lease

    def _troubles(self, pool: _Pool) -> str:
        """Why each board of a pool cannot be had."""
        troubles = []
        for board, locks in pool.items():
            cause = self.quarantine.cause(board)
            holder = locks.holder
            if cause is not None:
                troubles.append(f"{board.name} is in quarantine: {cause}")
            elif board.name in self._held_places:
                troubles.append(self._held_places[board.name])
            elif holder is not None:
                troubles.append(f"{board.name} is held by {holder}")
            else:
                troubles.append(f"{board.name} is held")
        return "; ".join(troubles)


_Pool = Mapping[LabBoard, ThingLocks]
