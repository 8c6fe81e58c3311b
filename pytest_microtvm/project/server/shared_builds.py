"""What further builds of a kind can use, kept in a folder for as long as it is what was left there.

Tools such as CMake, ninja and those of Arduino go by names and times: an object that was damaged
meanwhile would end up in the next firmware.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

_LOCK_FILE, _DIGEST_FILE = "lock", "digest"


@contextlib.contextmanager
def shared_folder(shared: Path, key: str) -> Iterator[Path]:
    """The folder of a kind of build, held by one at a time.

    It is empty where a file in it is not what the build before left, or where that was killed.

    Args:
        shared: The folder for all kinds.
        key: A hash of what decides about a kind.
    """
    folder = shared / key
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / _LOCK_FILE).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        os.utime(folder)  # the cache removes what was used longest ago
        note = folder / _DIGEST_FILE
        if not note.is_file() or note.read_bytes() != _digest(folder):
            for path in _parts(folder):
                shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
        note.unlink(missing_ok=True)
        try:
            yield folder
        except Exception:  # what was compiled before is good for the next build
            note.write_bytes(_digest(folder))
            raise
        note.write_bytes(_digest(folder))


def _parts(folder: Path) -> list[Path]:
    own = (_LOCK_FILE, _DIGEST_FILE)
    return sorted(path for path in folder.iterdir() if path.name not in own)


def _digest(folder: Path) -> bytes:
    digest = hashlib.blake2b()
    for part in _parts(folder):
        for path in [part, *sorted(part.rglob("*"))]:
            name = str(path.relative_to(folder))
            if path.is_symlink():
                content = str(path.readlink()).encode("utf-8", "surrogateescape")
            else:
                content = path.read_bytes() if path.is_file() else b""
            digest.update(f"{name!r} {len(content)}\n".encode("utf-8", "surrogateescape") + content)
    return digest.hexdigest().encode()
