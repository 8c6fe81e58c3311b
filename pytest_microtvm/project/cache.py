"""The build cache: what was compiled or built once is never made again.

An entry is a folder named by the hash of everything that went into it. It is made in a folder of
its own and renamed into place when whole, so a reader sees all of it or nothing. One process makes
an entry while others that want the same one wait for it. The cache is bounded in size: the entries
that were used longest ago go first, never one that was used within the last hour.

    <cache>/<kind>/<key>/     an entry; its mtime is when it was last used
    <cache>/locks/<key>       held while the entry is made
    <cache>/tmp/<random>/     an entry in the making
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
STALE_TMP_S = 24 * 3600.0
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
        self, kind: str, key: str, make: Callable[[Path], None], deadline: Deadline
    ) -> Entry:
        """Find an entry, or make it.

        Args:
            kind: The family of the entry, a folder's name.
            key: The hash of all that goes into it.
            make: Fills an empty folder with the entry. When it raises, the folder is removed.
            deadline: For waiting while another process makes the same entry; `make` has its own.

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
            with lock.acquire(timeout=deadline.remaining_s, poll_interval=0.05):
                if not self._use(path):
                    self._make(path, make)
                    self._evict()
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

    def _make(self, path: Path, make: Callable[[Path], None]) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        making = Path(tempfile.mkdtemp(dir=self.directory / "tmp"))
        try:
            make(making)
            making.chmod(0o755)
            making.rename(path)
        except BaseException:
            shutil.rmtree(making, ignore_errors=True)
            raise

    def _evict(self) -> None:
        """Bring the cache below its limit, and clear what killed processes left."""
        now = time.time()
        for leftover in (self.directory / "tmp").iterdir():
            with contextlib.suppress(FileNotFoundError):
                if now - leftover.stat().st_mtime > STALE_TMP_S:
                    shutil.rmtree(leftover, ignore_errors=True)
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
            # Renamed first: nobody may find half an entry.
            doomed = Path(tempfile.mkdtemp(dir=self.directory / "tmp"))
            with contextlib.suppress(OSError):
                path.rename(doomed / "entry")
            shutil.rmtree(doomed, ignore_errors=True)
            total_bytes -= size


def _size_bytes(directory: Path) -> int:
    total = 0
    for path in directory.rglob("*"):
        with contextlib.suppress(FileNotFoundError):
            if path.is_file():
                total += path.stat().st_size
    return total
