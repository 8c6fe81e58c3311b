"""The project options of a template or project, asked of its server once and kept in a folder.

An answer is kept as long as the files that decide it are the same: those beside the server, and the
server base of this package. Nothing here imports what takes long, because a command line is parsed
with it.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from .answers import keep_answer, kept_answer
from .descriptions import Option

_SERVER = Path(__file__).with_name("server")
_HASHED_BYTES = 1 << 20
"""Larger files, such as a project's archive, are told apart by their size and time."""


@dataclass(frozen=True)
class KnownOptions:
    """What is known of a template or project.

    Attributes:
        platform_name: What its server calls its platform.
        is_template: Whether it is a template's server, not a project's.
        options: The project options that it takes.
        typed: Whether values have to be of the types that they declare; one that was written for
            TVM had text for all of them.
    """

    platform_name: str
    is_template: bool
    options: tuple[Option, ...]
    typed: bool = True


def query_options(directory: Path, answers: Path, timeout_s: float) -> KnownOptions:
    """Find out the project options of a template or project.

    Args:
        directory: Its folder.
        answers: Where answers are kept; they are asked for each time if it cannot be written.
        timeout_s: For asking.

    Raises:
        ConfigError: The folder holds no server, or it cannot be started.
        BuildError: The server does not answer.
        ProtocolError: Its answer makes no sense.
    """
    path = answers / f"{_identity(directory)}.json"
    known = _kept(path)
    if known is None:
        known = _ask(directory, timeout_s)
        keep_answer(path, asdict(known))
    return known


def _ask(directory: Path, timeout_s: float) -> KnownOptions:
    from ..deadline import Deadline
    from .client import ProjectAPIClient

    with ProjectAPIClient(directory, Deadline(timeout_s)) as client:
        info = client.info
    return KnownOptions(
        info.platform_name, info.is_template, info.options, info.board_keys is not None
    )


def _kept(path: Path) -> KnownOptions | None:
    data = kept_answer(path)
    if data is None:
        return None
    try:
        data["options"] = tuple(_option(**option) for option in data["options"])
        return KnownOptions(**data)
    except (TypeError, KeyError):
        return None


def _option(**fields: object) -> Option:
    """An option, with tuples where JSON has lists."""
    values = {
        name: tuple(value) if isinstance(value, list) and name != "default" else value
        for name, value in fields.items()
    }
    return Option(**values)  # type: ignore[arg-type]


def _identity(directory: Path) -> str:
    """A hash of what decides the answer, the folder's place included: options may name files."""
    digest = hashlib.sha256(str(directory.absolute()).encode("utf-8", "surrogateescape"))
    for folder in (directory, _SERVER):
        for path in _files(folder):
            about = path.stat()
            digest.update(path.name.encode("utf-8", "surrogateescape"))
            if about.st_size > _HASHED_BYTES:
                digest.update(f"{about.st_size} {about.st_mtime_ns}".encode())
            else:
                digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()[:32]


def _files(folder: Path) -> Iterator[Path]:
    with contextlib.suppress(OSError):
        yield from sorted(
            path for path in folder.iterdir() if path.is_file() and not _is_ours(path)
        )


def _is_ours(path: Path) -> bool:
    """Whether a file changes with each step of a project, and decides nothing."""
    return path.name.startswith(".microtvm.json")
