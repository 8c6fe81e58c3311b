"""Files: written whole or not at all, and read where only this user can have written them."""

from __future__ import annotations

import contextlib
import os
import stat
import tempfile
from pathlib import Path

OTHERS_MAY_WRITE = stat.S_IWGRP | stat.S_IWOTH
OWN_FILE_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
"""How a file is opened that another user may have put there: a pipe would never be opened."""


def write_whole(path: Path, content: bytes) -> None:
    """Write a file, so that others see all of it or what was there before.

    What is no file, such as /dev/stdout or a pipe, is written to: nothing may take its place.

    Args:
        path: The file; its folder exists.
        content: What it will hold.

    Raises:
        OSError: It cannot be written. Nothing is left behind then.
    """
    if is_special(path):
        path.write_bytes(content)
        return
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(content)
        Path(name).chmod(0o644)
        Path(name).replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            Path(name).unlink()
        raise


def read_own(path: Path) -> bytes:
    """Read a file that only this user can have written: what it holds decides what is executed.

    Args:
        path: The file, which is no link.

    Raises:
        OSError: It cannot be read, is no file, or another user owns it or may write to it.
    """
    fd = os.open(path, OWN_FILE_FLAGS)
    try:
        about = os.fstat(fd)
        if not stat.S_ISREG(about.st_mode):
            raise OSError(f"{path} is no file")
        if about.st_uid != os.geteuid() or about.st_mode & OTHERS_MAY_WRITE:
            raise PermissionError(f"another user can have written {path}")
        with open(fd, "rb", closefd=False) as stream:
            return stream.read()
    finally:
        os.close(fd)


def is_special(path: Path) -> bool:
    """Whether a path is a link, or what is neither a file nor a folder."""
    return path.is_symlink() or (path.exists() and not path.is_file() and not path.is_dir())
