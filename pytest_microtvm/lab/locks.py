"""Locks on physical things, which every user of this machine sees.

A lock is an flock on a file named after the thing, so that it dies with its holder however that
ends, and two lab files that name the same port exclude each other. Beside it lies a note of who
holds it. Locks of boards on other machines keep apart the users of this machine only; labgrid is
for more.

    /run/lock/microtvm/<thing>.lock    locked while somebody holds the thing
    /run/lock/microtvm/<thing>.json    who holds it, or held it last
    /run/lock/microtvm/<thing>.turn    locked by whoever gets it next
    /run/lock/microtvm/<thing>.place-<uid>   there while a labgrid place is acquired
"""

from __future__ import annotations

import contextlib
import getpass
import hashlib
import json
import os
import re
import stat
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import filelock

from pytest_microtvm.errors import ConfigError
from pytest_microtvm.lab.file import LabBoard
from pytest_microtvm.lab.usb import find_usb_ports

DIRECTORY_VARIABLE = "MICROTVM_LEASES"
"""Names another folder for the locks, one that containers share, say."""
_SHARED_MODE = 0o1777
_FILE_MODE = 0o666
_SHOWN_COMMAND = 200
_LOCAL_HOSTS = ("localhost", "::1", "")


@dataclass(frozen=True)
class Holder:
    """Who holds a board.

    Attributes:
        pid: The process.
        user: Its user.
        command: What it was started as.
        since: Seconds since the epoch.
        firmware: What the board was last flashed with (`Firmware.flashed_as`), as a hint; may be of
            the holder before.
    """

    pid: int
    user: str
    command: str
    since: float
    firmware: str = ""

    def __str__(self) -> str:
        when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(self.since))
        return f"process {self.pid} of {self.user} since {when}: {self.command}"


def things_of(board: LabBoard) -> tuple[str, ...]:
    """The physical things that a board's user needs alone, the most lasting name first.

    A port goes by the path in the lab file, and by the device that the path leads to: the links in
    /dev/serial mean the same port, and they are gone while it is unplugged. A USB device goes by
    its ids and by its port.
    """
    things: list[str] = []
    if board.place:
        things.append(f"place:{board.coordinator}/{board.place}")
    if board.usb:
        things.append(f"usb:{board.usb.lower()}")
        # More than one device may match ids without a serial number: whoever opens it decides.
        things += [f"port:{os.path.realpath(p.device)}" for p in find_usb_ports(board.usb)[:1]]
    if "://" in board.port:
        things.append(_socket_name(urlsplit(board.port).netloc))
    elif board.port:
        things += [f"port:{Path(board.port).absolute()}", f"port:{os.path.realpath(board.port)}"]
    if board.probe:
        host, colon, number = board.probe.rpartition(":")
        is_socket = bool(colon) and number.isdecimal() and "/" not in host and ":" not in host
        things.append(_socket_name(board.probe) if is_socket else f"probe:{board.probe}")
    return tuple(dict.fromkeys(things))


class ThingLocks:
    """Locks on all the things of one board: all or none.

    Args:
        directory: Where the locks are; see `lock_directory`.
        things: Their names.
    """

    def __init__(self, directory: Path, things: Sequence[str]) -> None:
        self._paths = [directory / _file_name(thing) for thing in things]
        self._locks: list[filelock.BaseFileLock] = []
        self._turn: filelock.BaseFileLock | None = None

    def acquire(self, command: str) -> bool:
        """Take them if nobody holds any of them, or waits for them.

        Who takes them in vain is the next to get them, until it does or calls `give_up`. Else one
        that gives its board back and at once wants it again would never let others have it.

        Args:
            command: What the holder was started as.

        Raises:
            ConfigError: The folder cannot be used.
        """
        try:
            if self._turn is None:
                turn = _lock(self._paths[0], ".turn")
                turn.acquire(blocking=False)
                self._turn = turn
            for path in self._paths:
                lock = _lock(path, ".lock")
                lock.acquire(blocking=False)
                self._locks.append(lock)
        except filelock.Timeout:
            self.release()
            return False
        except OSError as error:
            self.release()
            self.give_up()
            raise ConfigError(
                f"cannot lock a board in {self._paths[0].parent}: {error.strerror or error}",
                cure=f"make it writable for all, or name another folder with {DIRECTORY_VARIABLE}",
            ) from error
        self.give_up()
        self._note(Holder(os.getpid(), _user(), _shortened(command), time.time(), self.firmware))
        return True

    def give_up(self) -> None:
        """Wait for them no more."""
        turn, self._turn = self._turn, None
        if turn is not None:
            turn.release()

    def release(self) -> None:
        """Let go of them."""
        while self._locks:
            self._locks.pop().release()

    @property
    def place_mark(self) -> Path:
        """A file of this user's, for `labgrid.acquire_place`."""
        return self._paths[0].with_suffix(f".place-{os.getuid()}")

    @property
    def holder(self) -> Holder | None:
        """Who holds one of them, or held it last; None when nobody left a note."""
        held = (_read_note(path.with_suffix(".json")) for path in self._paths if self._busy(path))
        return next(filter(None, held), None)

    @property
    def firmware(self) -> str:
        """What the board was last flashed with, as far as its users noted it."""
        note = _read_note(self._paths[0].with_suffix(".json"))
        return "" if note is None else note.firmware

    @firmware.setter
    def firmware(self, build_id: str) -> None:
        note = _read_note(self._paths[0].with_suffix(".json"))
        if note is not None and self._locks:
            self._note(Holder(**{**asdict(note), "firmware": build_id}))

    @property
    def last_used(self) -> float:
        """When somebody last took the board, in seconds since the epoch; 0 if nobody noted it."""
        note = _read_note(self._paths[0].with_suffix(".json"))
        return 0.0 if note is None else note.since

    def _busy(self, path: Path) -> bool:
        """Whether somebody holds this one thing."""
        lock = _lock(path, ".lock")
        try:
            lock.acquire(blocking=False)
        except filelock.Timeout:
            return True
        except OSError:
            return False
        lock.release()
        return False

    def _note(self, holder: Holder) -> None:
        text = json.dumps(asdict(holder))
        for path in self._paths:
            with contextlib.suppress(OSError):  # a note is a courtesy, the lock is what counts
                _write_shared(path.with_suffix(".json"), text)


def lock_directory(environment: Mapping[str, str] = os.environ) -> Path:
    """The folder of the locks, made if need be: the same for every user of this machine.

    Raises:
        ConfigError: It cannot be made.
    """
    named = environment.get(DIRECTORY_VARIABLE)
    directory = Path(named) if named else _common_folder() / "microtvm"
    try:
        if not directory.is_dir():
            directory.mkdir(parents=True, exist_ok=True)
            directory.chmod(_SHARED_MODE)  # mkdir's mode is subject to the umask
    except OSError as error:
        raise ConfigError(
            f"cannot make the folder {directory} for the boards' locks: {error.strerror or error}",
            cure=f"name another with {DIRECTORY_VARIABLE}",
        ) from error
    return directory


def _common_folder() -> Path:
    """A folder where every user may make files; by its mode, since root may write anywhere."""
    folder = Path("/run/lock")
    with contextlib.suppress(OSError):
        if folder.stat().st_mode & stat.S_IWOTH:
            return folder
    return Path("/tmp")


def _lock(path: Path, suffix: str) -> filelock.BaseFileLock:
    return filelock.FileLock(path.with_suffix(suffix), mode=_FILE_MODE, thread_local=False)


def _file_name(thing: str) -> str:
    """A file name that a person can read and that no other thing has."""
    readable = re.sub(r"[^A-Za-z0-9]+", "-", thing)[:60]
    return f"{readable}-{hashlib.sha256(thing.encode()).hexdigest()[:12]}"


def _socket_name(netloc: str) -> str:
    host, _, port = netloc.lower().rpartition(":")
    return f"socket:{'127.0.0.1' if host in _LOCAL_HOSTS else host}:{port}"


def _read_note(path: Path) -> Holder | None:
    try:
        values: Any = json.loads(path.read_text())
        holder = Holder(**{field.name: values[field.name] for field in fields(Holder)})
        str(holder)  # another user may have written anything
    except (OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return None  # not written yet, or being written
    texts = (holder.user, holder.command, holder.firmware)
    return holder if all(isinstance(t, str) and t.isprintable() for t in texts) else None


def _write_shared(path: Path, text: str) -> None:
    """Write a file that other users may write, too.

    Not by renaming: in a sticky folder nobody can replace another user's file. And without O_CREAT
    where the file exists: Linux may refuse that for another user's (fs.protected_regular).
    """
    flags = os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        descriptor = os.open(path, flags | os.O_TRUNC)
    except FileNotFoundError:
        descriptor = os.open(path, flags | os.O_CREAT | os.O_EXCL, _FILE_MODE)
        os.fchmod(descriptor, _FILE_MODE)
    with open(descriptor, "w", encoding="utf-8") as file:
        file.write(text)


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # no entry for this id, as in many containers
        return f"user id {os.getuid()}"


def _shortened(command: str) -> str:
    command = "".join(each if each.isprintable() else " " for each in command)
    return command if len(command) <= _SHOWN_COMMAND else f"{command[: _SHOWN_COMMAND - 1]}…"
