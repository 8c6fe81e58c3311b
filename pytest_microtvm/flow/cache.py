"""The build cache: what was compiled or built once is never made again.

An entry is a folder named by the hash of everything that went into it. It is made in a folder of
its own and renamed into place when whole, so a reader sees all of it or nothing. One process makes
an entry while others that want the same one wait for it. The cache is bounded in size: the entries
that were used longest ago go first, never one that was used within the last hour.

Each entry has a manifest with the digests of its files (see `manifest`), which is checked whenever
the entry is used: one that is damaged, or that another user made, is removed and made anew. What is
in the cache is executed, so nobody else may write to its folder.

    <cache>/<kind>/<key>/     an entry; its mtime is when it was last used
    <cache>/locks/<key>       held while the entry is made, by the process that makes it
    <cache>/tmp/<key>/        an entry in the making; one whose lock is free was left by a process
                              that was killed
    <cache>/tmp/<random>.old/ something that is being removed
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import stat
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import filelock

from pytest_microtvm.deadline import Deadline
from pytest_microtvm.errors import BuildError, ConfigError
from pytest_microtvm.files import OTHERS_MAY_WRITE
from pytest_microtvm.flow.manifest import find_damage, write_manifest
from pytest_microtvm.flow.progress import Progress, silent

IN_USE_S = 3600.0
_DOOMED = ".old"
_OWN_FOLDERS = ("locks", "tmp")
_NO_ENTRIES = ("virtual-lab",)
"""Folders of the user's that are here because nobody named another place for them."""
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_ANOTHER_FOLDER = "name another folder with --microtvm-cache-dir, or use --microtvm-no-cache"
DEFAULT_LIMIT_BYTES = 2 << 30
_SHARE = 4
"""Of the room in the cache, one process fills one part in so many before it looks again."""


def default_cache_directory() -> Path:
    """Where a user's cache is, as the XDG Base Directory Specification says."""
    base = Path(os.environ.get("XDG_CACHE_HOME", ""))
    return (base if base.is_absolute() else Path.home() / ".cache") / "pytest-microtvm"


@dataclass(frozen=True)
class Entry:
    """One entry of the cache.

    Attributes:
        path: Its folder.
        cached: Whether it was there before it was asked for.
        seconds: What it took to make, waiting for another process included; 0 where cached.
    """

    path: Path
    cached: bool
    seconds: float


class Cache:
    """A folder of entries that several processes share.

    Args:
        directory: The folder; made by `open()`.
        limit_bytes: What all entries together may take.
        progress: Told which entries are damaged, a line each.
    """

    def __init__(
        self,
        directory: Path,
        limit_bytes: int = DEFAULT_LIMIT_BYTES,
        progress: Progress = silent,
    ) -> None:
        self.directory = directory
        self.limit_bytes = limit_bytes
        self._progress = progress
        self._used: set[Path] = set()
        self._room_bytes = 0

    def open(self) -> None:
        """Make the folder and make sure that this user, and nobody else, can write it.

        Raises:
            ConfigError: It cannot be written, or others can write it.
        """
        try:
            self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._check_private()
            for name in _OWN_FOLDERS:
                self._make_folder(self.directory / name)
            with tempfile.TemporaryFile(dir=self.directory / "tmp"):
                pass
        except OSError as error:
            raise self._cannot_write(error) from error

    def obtain(
        self,
        kind: str,
        key: str,
        make: Callable[[Path], None],
        deadline: Deadline,
        on_wait: Callable[[], contextlib.AbstractContextManager[object]] = contextlib.nullcontext,
    ) -> Entry:
        """Find an entry, or make it.

        Args:
            kind: The family of the entry, a folder's name.
            key: The hash of all that goes into it.
            make: Fills an empty folder with the entry. When it raises, the folder is removed.
            deadline: For waiting while another process makes the same entry; `make` has its own.
            on_wait: Its context is held while there is such a wait.

        Returns:
            The entry.

        Raises:
            BuildError: Another process is still making the entry when the deadline expires.
            ConfigError: The cache cannot be written.
            MicroTVMError: Whatever `make` raises.
        """
        path = self.directory / kind / key
        start = time.monotonic()
        try:
            if self._trouble(path) == "":
                return self._use(path)
            lock = self._lock(key)
            try:
                lock.acquire(timeout=0)
            except filelock.Timeout:
                with on_wait():
                    lock.acquire(timeout=deadline.remaining_s, poll_interval=0.05)
            try:
                trouble = self._trouble(path)
                if trouble == "":
                    return self._use(path, time.monotonic() - start)
                if trouble is not None:
                    name = f"{kind}/{key[:8]}"
                    self._progress(f"making {name} of the cache anew, because {trouble}")
                    self._remove_damaged(path)
                self._make(path, make)
                self._used.add(path)
                self._make_room(path)
            finally:
                lock.release()
        except filelock.Timeout as error:
            raise BuildError(
                f"another process has been making the same {kind} for {deadline.timeout_s:.0f} s",
                cure=f"end it, or raise --microtvm-timeout (lock: {lock.lock_file})",
            ) from error
        except OSError as error:
            raise self._cannot_write(error) from error
        return Entry(path, False, time.monotonic() - start)

    def folder(self, kind: str, name: str) -> Path:
        """A folder that a tool keeps in the cache, and checks what it finds there by itself.

        It is an entry without a manifest: as old as its last use, and removed as a whole.

        Args:
            kind: The family of the entry, a folder's name.
            name: The tool.

        Raises:
            ConfigError: The cache cannot be written.
        """
        path = self.directory / kind / name
        try:
            if self._was_open(path.parent) or self._was_open(path):
                self._progress(f"making {kind} of the cache anew, because others can write to it")
                self._remove(path)
            self._make_folder(path.parent)
            self._make_folder(path)
        except OSError as error:
            raise self._cannot_write(error) from error
        self._use(path)
        return path

    def _cannot_write(self, error: OSError) -> ConfigError:
        is_full = error.errno in _FULL
        return ConfigError(
            f"cannot write the cache {self.directory}: {error.strerror or error}",
            cure=f"free some space, or {_ANOTHER_FOLDER}" if is_full else _ANOTHER_FOLDER,
        )

    def _trouble(self, path: Path) -> str | None:
        """What is wrong with an entry, to follow "because"; None where there is no entry."""
        try:
            about = path.parent.lstat()
            if not stat.S_ISDIR(about.st_mode) or about.st_uid != os.geteuid():
                return f"{path.parent.name} is not a folder of this user"
            if about.st_mode & OTHERS_MAY_WRITE:
                return f"other users can write to {path.parent.name}"
            return find_damage(path)
        except FileNotFoundError:
            return None
        except OSError as error:
            return f"it cannot be read: {error.strerror}"

    def _use(self, path: Path, waited_s: float = 0.0) -> Entry:
        """A whole entry, which is marked as used now."""
        self._used.add(path)
        with contextlib.suppress(OSError):  # another process may have evicted it just now
            os.utime(path)
        return Entry(path, waited_s == 0.0, waited_s)

    def _lock(self, key: str) -> filelock.BaseFileLock:
        path = self.directory / "locks" / key
        if os.path.lexists(path) and not stat.S_ISREG(path.lstat().st_mode):
            self._remove(path)
        return filelock.FileLock(path)

    def _check_private(self) -> None:
        """Make sure that no other user can put anything into the cache.

        A folder of the cache's own, or an empty one, is closed to them.

        Raises:
            ConfigError: They can.
            OSError: The folder cannot be read or changed.
        """
        about = self.directory.stat()
        sticky = bool(about.st_mode & stat.S_ISVTX)  # others cannot rename what is not theirs
        if about.st_uid != os.geteuid() and not (about.st_uid == 0 and sticky):
            raise ConfigError(
                f"the cache {self.directory} belongs to another user, and what is in a cache is "
                "executed",
                cure=_ANOTHER_FOLDER,
            )
        if not about.st_mode & OTHERS_MAY_WRITE or sticky:
            return
        names = {path.name for path in self.directory.iterdir()}
        if names and not names.issuperset(_OWN_FOLDERS):
            raise ConfigError(
                f"other users can write to the cache {self.directory}, and what is in a cache is "
                "executed",
                cure=f"run 'chmod go-w {self.directory}', or name another folder with "
                "--microtvm-cache-dir",
            )
        self.directory.chmod(stat.S_IMODE(about.st_mode) & ~OTHERS_MAY_WRITE)

    def _was_open(self, path: Path) -> bool:
        """Whether other users can have put something into a folder, if there is one."""
        with contextlib.suppress(FileNotFoundError):
            return bool(path.lstat().st_mode & OTHERS_MAY_WRITE)
        return False

    def _make_folder(self, path: Path) -> None:
        """Make a folder for this user alone, in place of whatever has its name.

        Raises:
            ConfigError: There is one that belongs to another user.
            OSError: It cannot be made.
        """
        if os.path.lexists(path) and not stat.S_ISDIR(path.lstat().st_mode):
            path.unlink()
        path.mkdir(mode=0o700, exist_ok=True)
        about = path.stat()
        if about.st_uid != os.geteuid():
            raise ConfigError(
                f"{path} belongs to another user, and what is in a cache is executed",
                cure="remove it, or name another folder with --microtvm-cache-dir",
            )
        if about.st_mode & OTHERS_MAY_WRITE:
            path.chmod(0o700)

    def close(self) -> None:
        """Clear what killed processes left. Never raises."""
        with contextlib.suppress(OSError):
            for leftover in (self.directory / "tmp").iterdir():
                if leftover.suffix == _DOOMED:
                    shutil.rmtree(leftover, ignore_errors=True)
                    continue
                lock = filelock.FileLock(self.directory / "locks" / leftover.name)
                with contextlib.suppress(filelock.Timeout), lock.acquire(timeout=0):
                    self._remove(leftover)

    def _make(self, path: Path, make: Callable[[Path], None]) -> None:
        self._make_folder(path.parent)
        making = self.directory / "tmp" / path.name
        self._remove(making)
        making.mkdir()
        try:
            make(making)
            write_manifest(making)
            making.chmod(0o755)
            making.rename(path)
        except BaseException:
            self._remove(making)
            raise

    def _remove(self, path: Path) -> None:
        """Remove a folder that nobody else may find half of; a dying tool may still write to it."""
        doomed = Path(tempfile.mkdtemp(dir=self.directory / "tmp", suffix=_DOOMED))
        with contextlib.suppress(OSError):
            path.rename(doomed / "entry")
        shutil.rmtree(doomed, ignore_errors=True)

    def _remove_damaged(self, path: Path) -> None:
        """Remove an entry.

        Raises:
            ConfigError: It cannot be removed.
        """
        with contextlib.suppress(OSError):
            if not path.is_symlink():
                path.chmod(0o700)
        self._remove(path)
        if os.path.lexists(path):
            raise ConfigError(
                f"cannot remove {path}, which is damaged",
                cure="remove it, with the rights of its owner",
            )

    def contents(self) -> dict[str, tuple[int, int]]:
        """How many entries there are of each kind, and the bytes that they take."""
        found = {}
        for folder in self._kinds():
            entries = list(folder.iterdir())
            found[folder.name] = (len(entries), _size_bytes(folder))
        return found

    def clear(self) -> None:
        """Remove every entry; one that another process uses, too.

        Raises:
            ConfigError: The cache cannot be written.
        """
        self.open()
        for folder in self._kinds():
            self._remove(folder)

    def _kinds(self) -> list[Path]:
        if not self.directory.is_dir():
            return []
        ours = (*_OWN_FOLDERS, *_NO_ENTRIES)
        folders = sorted(path for path in self.directory.iterdir() if path.is_dir())
        return [folder for folder in folders if folder.name not in ours]

    def _make_room(self, added: Path) -> None:
        """Look through the cache, where an entry that was added may have filled it."""
        self._room_bytes -= _size_bytes(added)
        if self._room_bytes < 0:
            room_bytes = self.limit_bytes - self._evict()
            self._room_bytes = room_bytes // _SHARE  # others add entries as well

    def _evict(self) -> int:
        """Bring the cache below its limit; what it takes then, in bytes."""
        now = time.time()
        entries = []
        for path in self.directory.glob("*/*/"):
            if path.parent.name in _OWN_FOLDERS:
                continue
            with contextlib.suppress(FileNotFoundError):
                entries.append((path.stat().st_mtime, _size_bytes(path), path))
        total_bytes = sum(size for _, size, _ in entries)
        for used, size, path in sorted(entries):
            if total_bytes <= self.limit_bytes or now - used < IN_USE_S:
                break
            if path in self._used:  # an hour ago, or the clock jumped
                continue
            self._remove(path)
            total_bytes -= size
        return total_bytes


def _size_bytes(directory: Path) -> int:
    total = 0
    for folder, _, names in os.walk(directory):
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                total += os.lstat(f"{folder}/{name}").st_size
    return total
