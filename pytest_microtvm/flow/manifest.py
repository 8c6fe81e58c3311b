"""The manifest of a cache entry: a digest of every file in it, written when the entry is made.

What is read from the cache decides verdicts, and some of it is executed. So an entry is used only
if every file is still what was written: a disk, a copy or a user may have changed it meanwhile.
Files that came later are no concern of the manifest: the tools that use a project may leave some.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from pytest_microtvm.files import OWN_FILE_FLAGS, read_own

MANIFEST = "manifest.json"
_VERSION = 1
_DIGEST_BYTES = 16
_BLOCK_BYTES = 1 << 20
_FOLDER = "folder"
_LINK = "link to "


def write_manifest(directory: Path) -> None:
    """Write the manifest of an entry that is complete otherwise.

    Args:
        directory: The entry.

    Raises:
        OSError: It cannot be read or written.
    """
    names = sorted(_names(directory))
    parts = {name: _describe(f"{directory}/{name}") for name in ("", *names) if name != MANIFEST}
    document = {"version": _VERSION, "parts": parts}
    path = directory / MANIFEST
    path.write_text(json.dumps(document, separators=(",", ":")))
    path.chmod(0o600)  # whatever the umask: what others can write says nothing


def find_damage(directory: Path) -> str:
    """Compare an entry with its manifest.

    Args:
        directory: The entry.

    Returns:
        What is wrong, to follow "because"; empty where nothing is.

    Raises:
        FileNotFoundError: There is no entry.
    """
    if not stat.S_ISDIR(directory.lstat().st_mode):
        return "it is not a folder"
    try:
        document = json.loads(read_own(directory / MANIFEST))
        if document["version"] != _VERSION:
            return "another version made it"
        parts = dict(document["parts"])
        if "" not in parts:
            return "its manifest lists nothing"
    except FileNotFoundError:
        return "it has no manifest"
    except PermissionError:
        return "its manifest is not this user's alone"
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return "its manifest cannot be read"
    for name, expected in parts.items():
        shown = repr(name) if name else "its folder"
        try:
            if _describe(f"{directory}/{name}") != expected:
                return f"{shown} has changed"
        except (OSError, ValueError):
            return f"{shown} is missing or cannot be read"
    return ""


def _names(directory: Path) -> Iterator[str]:
    for path in directory.iterdir():
        yield path.name
        if path.is_dir() and not path.is_symlink():
            yield from (f"{path.name}/{name}" for name in _names(path))


def _describe(path: str) -> str:
    """What a file, folder or link is and holds, as a manifest has it.

    Raises:
        OSError: It cannot be read, or is another user's.
    """
    try:
        fd = os.open(path, OWN_FILE_FLAGS)
    except OSError as error:
        if error.errno == errno.ELOOP:
            return _LINK + os.readlink(path)  # noqa: PTH115 - thousands of objects cost time
        raise
    try:
        about = os.fstat(fd)
        if about.st_uid != os.geteuid():
            raise PermissionError(f"{path} belongs to another user")
        if stat.S_ISDIR(about.st_mode):
            return _FOLDER
        if not stat.S_ISREG(about.st_mode):
            raise OSError(f"{path} is no file")
        digest = hashlib.blake2b(digest_size=_DIGEST_BYTES)
        while block := os.read(fd, _BLOCK_BYTES):
            digest.update(block)
        return f"{digest.hexdigest()} {'x' if about.st_mode & stat.S_IXUSR else '-'}"
    finally:
        os.close(fd)
