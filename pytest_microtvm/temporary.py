"""Temporary folders that go when their process does, however it ends.

A signal such as SIGTERM ends Python at once, with nothing removed, and handlers of signals belong
to the user's program. So each folder has a caretaker, a shell that waits for the end of its process
and then removes it. The folder is locked while its process lives: one that is not was left when the
caretaker was killed as well, and is removed by whoever makes the next.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from pytest_microtvm.errors import ConfigError

_NAME = re.compile(r"microtvm-[a-z]+-[0-9a-f]{12}")
_CARETAKER = """
read -r line
for attempt in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
    rm -rf -- "$1" && exit  # what else of the run is ending may still write to it
    sleep 0.1
done
"""
_CARETAKER_TIMEOUT_S = 5.0


class TemporaryFolder:
    """A temporary folder for this user alone.

    Args:
        purpose: A word of its name.

    Attributes:
        path: The folder.

    Raises:
        ConfigError: It cannot be made.
    """

    def __init__(self, purpose: str) -> None:
        self._caretaker: subprocess.Popen[bytes] | None = None
        try:
            parent = Path(tempfile.gettempdir()).absolute()
            _remove_leftovers(parent)
            self.path, self._lock, self._caretaker = _make(parent, purpose)
        except OSError as error:
            raise ConfigError(
                f"cannot make a temporary folder: {error}",
                cure="name a folder that can be written by the environment variable TMPDIR",
            ) from error

    def __enter__(self) -> Path:
        return self.path

    def __exit__(self, *_exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Remove it. Never raises, may be called again."""
        caretaker, self._caretaker = self._caretaker, None
        if caretaker is None:
            return
        shutil.rmtree(self.path, ignore_errors=True)
        os.close(self._lock)
        assert caretaker.stdin is not None
        caretaker.stdin.close()
        try:
            caretaker.wait(_CARETAKER_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            caretaker.kill()
            caretaker.wait()


def _make(parent: Path, purpose: str) -> tuple[Path, int, subprocess.Popen[bytes]]:
    while True:
        path = parent / f"microtvm-{purpose}-{secrets.token_hex(6)}"
        caretaker = _start_caretaker(path)  # first, so that there is no folder without one
        lock = None
        try:
            path.mkdir(mode=0o700)
            lock = _lock(path)
        finally:
            if lock is None:
                caretaker.kill()
                caretaker.communicate()
        if lock is not None:
            return path, lock, caretaker


def _lock(path: Path) -> int | None:
    """Lock a new folder; None when it was taken for a leftover just before."""
    try:
        lock = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    fcntl.flock(lock, fcntl.LOCK_SH)
    if path.exists():
        return lock
    os.close(lock)
    return None


def _start_caretaker(path: Path) -> subprocess.Popen[bytes]:
    """Start what removes a folder when the pipe to it is closed, as it is by the kernel at last."""
    return subprocess.Popen(
        ["/bin/sh", "-c", _CARETAKER, "microtvm-caretaker", str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd="/",
        start_new_session=True,  # signals to the run's process group are none to it
    )


def _remove_leftovers(parent: Path) -> None:
    """Remove what processes left that were killed together with their caretakers."""
    for path in _own_folders(parent):
        with contextlib.suppress(OSError):
            lock = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                if os.fstat(lock).st_uid != os.geteuid():
                    continue
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(path, ignore_errors=True)
            finally:
                os.close(lock)


def _own_folders(parent: Path) -> Iterator[Path]:
    with contextlib.suppress(OSError), os.scandir(parent) as entries:
        for entry in entries:
            if _NAME.fullmatch(entry.name) and entry.is_dir(follow_symlinks=False):
                yield Path(entry.path)
