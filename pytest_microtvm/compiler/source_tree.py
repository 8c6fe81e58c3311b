"""The C sources of a library as a user has them: a folder, or a CMSIS pack."""

from __future__ import annotations

import hashlib
import re
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from pytest_microtvm.errors import ConfigError

_SUFFIXES = (".c", ".h")
_INCLUDED = re.compile(r'^\s*#\s*include\s+"([\w./]+)"', re.MULTILINE)
_MAX_FILE_BYTES = 16 << 20
_MAX_FILES = 20_000


@dataclass(frozen=True)
class SourceTree:
    """C files by their paths.

    Args:
        path: The folder or pack that they are from.
        files: Contents by path inside of it.
    """

    path: Path
    files: Mapping[str, bytes]

    @classmethod
    def open(cls, path: Path, what: str) -> SourceTree:
        """Read all C files of a folder, or of a pack, which is a zip file.

        Args:
            path: The folder or pack.
            what: What should be there, for messages.

        Raises:
            ConfigError: There is nothing that can be read.
        """
        try:
            files = dict(_of_folder(path) if path.is_dir() else _of_pack(path))
        except (OSError, zipfile.BadZipFile, RuntimeError) as error:
            raise ConfigError(
                f"{path} should hold {what}, and cannot be read: {error}",
                cure="name a folder of C files, or a CMSIS pack",
            ) from error
        if not files:
            raise ConfigError(
                f"{path} should hold {what}, and has no C files", cure="name the right folder"
            )
        return cls(path, files)

    def named(self, name: str) -> str | None:
        """The path of the file of a name; the shortest of several, None where there is none."""
        found = [path for path in self.files if PurePosixPath(path).name == name]
        return min(found, key=lambda path: (len(path), path), default=None)

    def text(self, path: str) -> str:
        """A file as text."""
        return self.files[path].decode("utf-8", "replace")

    def with_included(self, paths: Iterable[str], folders: Iterable[str]) -> set[str]:
        """Files and all that they include, as far as that is here.

        Args:
            paths: The files.
            folders: Where included files are looked for, beside the folder of the file itself.
        """
        found: set[str] = set()
        pending = list(paths)
        while pending:
            path = pending.pop()
            if path in found:
                continue
            found.add(path)
            for name in _INCLUDED.findall(self.text(path)):
                for folder in (str(PurePosixPath(path).parent), *folders):
                    candidate = str(PurePosixPath(folder) / name)
                    if candidate in self.files:
                        pending.append(candidate)
                        break
        return found


def digest_of(path: Path) -> str:
    """A hash of all C files of a folder or pack; empty where it cannot be read."""
    digest = hashlib.sha256()
    try:
        for name, content in sorted(_of_folder(path) if path.is_dir() else _of_pack(path)):
            digest.update(f"{name}:{hashlib.sha256(content).hexdigest()}\n".encode())
    except (OSError, zipfile.BadZipFile, RuntimeError):
        return ""
    return digest.hexdigest()


def _of_folder(folder: Path) -> Iterable[tuple[str, bytes]]:
    count = 0
    for path in sorted(folder.rglob("*")):
        if path.suffix in _SUFFIXES and path.is_file() and path.stat().st_size <= _MAX_FILE_BYTES:
            count += 1
            if count > _MAX_FILES:
                raise OSError(f"it has more than {_MAX_FILES} C files")
            yield path.relative_to(folder).as_posix(), path.read_bytes()


def _of_pack(path: Path) -> Iterable[tuple[str, bytes]]:
    with zipfile.ZipFile(path) as pack:
        for info in pack.infolist()[: 10 * _MAX_FILES]:
            if PurePosixPath(info.filename).suffix in _SUFFIXES and (
                info.file_size <= _MAX_FILE_BYTES
            ):
                yield info.filename, pack.read(info)
