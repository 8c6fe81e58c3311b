"""The container of an archive: a tar file that is not believed.

An archive may come from anywhere: neither the number of its members nor their sizes, kinds or names
are what an honest one has, until they were checked.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import tarfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

from pytest_microtvm.errors import MicroTVMError, ModelError

METADATA = "metadata.json"

MAX_ARCHIVE_BYTES = 512 * 1024 * 1024
MAX_MEMBERS = 4096
MAX_UNPACKED_BYTES = 512 * 1024 * 1024
MAX_PATH_LENGTH = 240

FOREIGN_CURE = "take an archive that pytest-microtvm compiled"
DAMAGED_CURE = "compile the model again, or copy the whole archive"
HOSTILE_CURE = "do not use this archive"

_NAME = re.compile(r"(?!-|.*/-)[A-Za-z0-9_.+/-]+\Z")
"""What the names of members are: nothing that means something to a shell or to make, or looks like
an option."""


def pack_library(files: Mapping[str, bytes], modified_s: int = 0) -> bytes:
    """The bytes of an archive; see `write_library`."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name in sorted(files, key=lambda name: (name != METADATA, name)):
            member = tarfile.TarInfo(name)
            member.size = len(files[name])
            member.mtime = modified_s
            member.mode = 0o644
            archive.addfile(member, io.BytesIO(files[name]))
    return stream.getvalue()


class Archive:
    """An open archive whose list of members has been checked."""

    def __init__(self, path: Path, stream: BinaryIO, archive: tarfile.TarFile) -> None:
        self.path = path
        self._stream = stream
        self._archive = archive
        self.members = self._checked_members()

    def _checked_members(self) -> dict[str, tarfile.TarInfo]:
        """Members by normal path, folders left out."""
        members: dict[str, tarfile.TarInfo] = {}
        total_bytes = 0
        for count, member in enumerate(self._archive, 1):
            if count > MAX_MEMBERS:
                raise self.error(f"has more than {MAX_MEMBERS} members", HOSTILE_CURE)
            name = self._checked_name(member)
            if member.isdir():
                continue
            if not member.isreg():
                raise self.error(f"holds {name!r}, a link or device node", HOSTILE_CURE)
            if member.sparse is not None:
                raise self.error(f"holds {name!r}, a sparse file", HOSTILE_CURE)
            if name in members:
                raise self.error(f"holds {name!r} twice", HOSTILE_CURE)
            total_bytes += member.size
            if total_bytes > MAX_UNPACKED_BYTES:
                raise self.error(f"unpacks to more than {MAX_UNPACKED_BYTES} bytes", HOSTILE_CURE)
            members[name] = member
        folders = {str(parent) for name in members for parent in PurePosixPath(name).parents}
        for name in members:
            if name in folders:
                raise self.error(f"holds {name!r} as a file and a folder", HOSTILE_CURE)
        return members

    def _checked_name(self, member: tarfile.TarInfo) -> str:
        name = member.name
        path = PurePosixPath(name)
        is_bad = (
            path.is_absolute()
            or ".." in path.parts
            or len(name) > MAX_PATH_LENGTH
            or (not path.parts and not member.isdir())
        )
        if is_bad:
            raise self.error(f"holds a member that leaves its folder: {name[:80]!r}", HOSTILE_CURE)
        if not _NAME.match(name):
            raise self.error(
                f"holds a member whose name is not made of letters, digits, . _ + / and -, or "
                f"begins with -: {name[:80]!r}",
                HOSTILE_CURE,
            )
        return str(path)

    def read(self, member: tarfile.TarInfo) -> bytes:
        """All bytes of a member."""
        stream = self._archive.extractfile(member)
        if stream is None:
            raise self.error(f"holds {member.name!r}, which cannot be read", HOSTILE_CURE)
        content = stream.read(member.size)
        if len(content) != member.size:
            raise self.error("is truncated", DAMAGED_CURE)
        return content

    def sha256(self) -> str:
        """Hash of the archive's own bytes."""
        self._stream.seek(0)
        digest = hashlib.sha256()
        while block := self._stream.read(1 << 20):
            digest.update(block)
        return digest.hexdigest()

    def error(self, what: str, cure: str) -> ModelError:
        """An error about this archive."""
        return ModelError(f"the archive {self.path} {what}", cure=cure)


@contextmanager
def opened(path: Path) -> Iterator[Archive]:
    """Open an archive and check its list of members; no error but ours leaves."""
    try:
        size_bytes = path.stat().st_size
        if not path.is_file():
            raise ModelError(f"the archive {path} is not a file", cure=FOREIGN_CURE)
        if size_bytes > MAX_ARCHIVE_BYTES:
            raise ModelError(
                f"the archive {path} has {size_bytes} bytes, more than {MAX_ARCHIVE_BYTES}",
                cure=HOSTILE_CURE,
            )
        # Compression is not part of the format, and hides how large the contents are.
        with path.open("rb") as stream, tarfile.open(fileobj=stream, mode="r:") as archive:
            yield Archive(path, stream, archive)
    except FileNotFoundError as error:
        raise ModelError(f"there is no archive {path}", cure="check the path") from error
    except OSError as error:
        raise ModelError(
            f"the archive {path} cannot be read: {error.strerror or error}",
            cure="check the path and its permissions",
        ) from error
    except MicroTVMError:
        raise
    except Exception as error:  # whatever tarfile raises of bytes made to hurt it
        raise ModelError(
            f"the archive {path} is no uncompressed tar file, or is truncated "
            f"({type(error).__name__})",
            cure=DAMAGED_CURE,
        ) from error


def read_json(archive: Archive, name: str, max_bytes: int) -> dict[str, Any]:
    """The JSON object in a member."""
    member = archive.members.get(name)
    if member is None:
        raise archive.error(f"has no {name}", FOREIGN_CURE)
    if member.size > max_bytes:
        raise archive.error(f"has a {name} of {member.size} bytes", HOSTILE_CURE)
    try:
        document = json.loads(
            archive.read(member), object_pairs_hook=_unique_keys, parse_constant=_no_constant
        )
    except (ValueError, RecursionError) as error:
        raise archive.error(f"has a {name} that is not JSON", DAMAGED_CURE) from error
    if not isinstance(document, dict):
        raise archive.error(f"has a {name} that is not an object", FOREIGN_CURE)
    return document


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ValueError("a key comes twice")
    return result


def _no_constant(text: str) -> float:
    raise ValueError(f"{text} is not JSON")
