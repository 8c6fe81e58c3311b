"""Files that a user names, written whole or not at all."""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path


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


def is_special(path: Path) -> bool:
    """Whether a path is a link, or what is neither a file nor a folder."""
    return path.is_symlink() or (path.exists() and not path.is_file() and not path.is_dir())
