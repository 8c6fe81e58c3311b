"""The build cache: what was compiled or built once is never made again.

An entry is a folder named by the hash of everything that went into it. It is made in a folder of
its own and renamed into place when whole, so a reader sees all of it or nothing. One process makes
an entry while others that want the same one wait for it. The cache is bounded in size: the entries
that were used longest ago go first, never one that was used within the last hour.

    <cache>/<kind>/<key>/     an entry; its mtime is when it was last used
    <cache>/locks/<key>       held while the entry is made, by the process that makes it
    <cache>/tmp/<key>/        an entry in the making; one whose lock is free was left by a process
                              that was killed
    <cache>/tmp/<random>.old/ something that is being removed
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import filelock

from pytest_microtvm.deadline import Deadline
from pytest_microtvm.errors import BuildError, ConfigError

IN_USE_S = 3600.0
_DOOMED = ".old"
DEFAULT_LIMIT_BYTES = 2 << 30


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
    """

    def __init__(self, directory: Path, limit_bytes: int = DEFAULT_LIMIT_BYTES) -> None:
        self.directory = directory
        self.limit_bytes = limit_bytes

    def open(self) -> None:
        """Make the folder and make sure that it can be written.

        Raises:
            ConfigError: It cannot.
        """
        try:
            for name in ("locks", "tmp"):
                (self.directory / name).mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self.directory / "tmp"):
                pass
        except OSError as error:
            raise ConfigError(
                f"cannot write the cache {self.directory}: {error.strerror or error}",
                cure="name another folder with --microtvm-cache-dir, or use --microtvm-no-cache",
            ) from error

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
        if self._use(path):
            return Entry(path, True, 0.0)
        start = time.monotonic()
        lock = filelock.FileLock(self.directory / "locks" / key)
        try:
            try:
                lock.acquire(timeout=0)
            except filelock.Timeout:
                with on_wait():
                    lock.acquire(timeout=deadline.remaining_s, poll_interval=0.05)
            try:
                if not self._use(path):
                    self._make(path, make)
                    self._evict()
            finally:
                lock.release()
        except filelock.Timeout as error:
            raise BuildError(
                f"another process has been making the same {kind} for {deadline.timeout_s:.0f} s",
                cure=f"end it, or raise --microtvm-timeout (lock: {lock.lock_file})",
            ) from error
        except OSError as error:
            raise ConfigError(
                f"cannot write the cache {self.directory}: {error.strerror or error}",
                cure="free some space, or name another folder with --microtvm-cache-dir",
            ) from error
        return Entry(path, False, time.monotonic() - start)

    def _use(self, path: Path) -> bool:
        """Mark an entry as used now; False where there is none."""
        try:
            os.utime(path)
        except FileNotFoundError:
            return False
        except PermissionError:
            return path.is_dir()
        return True

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
        path.parent.mkdir(parents=True, exist_ok=True)
        making = self.directory / "tmp" / path.name
        self._remove(making)
        making.mkdir()
        try:
            make(making)
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

    def _evict(self) -> None:
        """Bring the cache below its limit."""
        now = time.time()
        entries = []
        for path in self.directory.glob("*/*/"):
            if path.parent.name in ("tmp", "locks"):
                continue
            with contextlib.suppress(FileNotFoundError):
                entries.append((path.stat().st_mtime, _size_bytes(path), path))
        total_bytes = sum(size for _, size, _ in entries)
        for used, size, path in sorted(entries):
            if total_bytes <= self.limit_bytes or now - used < IN_USE_S:
                break
            self._remove(path)
            total_bytes -= size


def _size_bytes(directory: Path) -> int:
    total = 0
    for path in directory.rglob("*"):
        with contextlib.suppress(FileNotFoundError):
            if path.is_file():
                total += path.stat().st_size
    return total
