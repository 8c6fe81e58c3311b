"""simavr in a board's place: a program over libsimavr, compiled when a board first needs it.

`simavr.c` is that program. It is compiled by this machine's C compiler and kept in the user's cache
by what it was made of, with a digest that is checked at each use: what is in the cache is executed.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shlex
import shutil
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from .api import EMULATE, Tool
from .errors import OptionError, ProjectError
from .process import ChildTransport, find_tool, run_tool
from .project import install_cure

STATUSES = {
    2: "the line before says why it cannot start",
    3: "the firmware gave up, and its log says why",
    4: "the firmware crashed",
}
"""What the exit statuses of the program mean."""

FUNCTIONS_OPTION, LOG_OPTION = "simavr_functions", "simavr_log"
"""The project options of `open_transport` that have instructions and cycles counted."""

_SOURCE = Path(__file__).with_name("simavr.c")
_NAME, _DIGEST = "simavr", "sha256"
_HEADER = "simavr/sim_avr.h"
_FLAGS = ("-std=gnu11", "-O2")
_LIBRARIES = ("-lsimavr",)
_COMPILE_TIMEOUT_S = 60.0
_OTHERS_MAY_WRITE = stat.S_IWGRP | stat.S_IWOTH


def simavr_tools(emulator: Mapping[str, Any]) -> list[Tool]:
    """What it takes to run simavr: a compiler, and the library with its headers."""
    install = emulator.get("install", "")
    header = _find_header()
    return [
        Tool("cc", shutil.which("cc"), install, EMULATE),
        Tool("libsimavr", None if header is None else str(header), install, EMULATE),
    ]


def start_simavr(
    emulator: Mapping[str, Any],
    firmware: Path,
    options: Mapping[str, Any],
    statuses: Mapping[int, str] | None = None,
) -> ChildTransport:
    """Start simavr; the board's first UART is its standard input and output.

    Args:
        emulator: The table `emulator` of a board's definition.
        firmware: An ELF file.
        options: Of `open_transport`.
        statuses: What exit statuses mean to the platform, in place of `STATUSES`.

    Raises:
        ProjectError: The library or a C compiler is not installed.
        OptionError: A debugger is to be waited for.
    """
    if options.get("gdbserver_port"):
        raise OptionError(
            "gdbserver_port: simavr's gdb server would listen on every network of this machine",
            cure="debug the model on an emulated board of another CPU, or on a real board",
        )
    arguments = [emulator["machine"], str(emulator["clock_hz"]), str(firmware)]
    if options.get(FUNCTIONS_OPTION) and options.get(LOG_OPTION):
        arguments += [options[FUNCTIONS_OPTION], options[LOG_OPTION]]
    with _program(emulator) as program:
        return ChildTransport([str(program), *arguments], {**STATUSES, **(statuses or {})})


def cached_programs() -> Path:
    """Where the compiled program is kept."""
    base = Path(os.environ.get("XDG_CACHE_HOME", ""))
    return (base if base.is_absolute() else Path.home() / ".cache") / "pytest-microtvm" / "simavr"


@contextlib.contextmanager
def _program(emulator: Mapping[str, Any]) -> Iterator[Path]:
    """The compiled program, in the cache; where that cannot be written, for this one start."""
    import tempfile  # costs some milliseconds, and only where it is not in the cache

    install = install_cure(emulator.get("install", ""))
    compiler = find_tool("cc", install)
    header = _find_header()
    if header is None:
        raise ProjectError("libsimavr is not installed with its headers", cure=install)
    entry = cached_programs() / _key(compiler, header)
    if _is_whole(entry):
        yield entry / _NAME
        return
    try:
        entry.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        temporary = tempfile.TemporaryDirectory(prefix=".making-", dir=entry.parent)
        keep = True
    except OSError:
        temporary = tempfile.TemporaryDirectory(prefix="microtvm-simavr-")
        keep = False
    with temporary as name:
        made = Path(name) / "made"
        made.mkdir(mode=0o700)
        _compile(compiler, made / _NAME, install)
        (made / _DIGEST).write_text(_digest(made / _NAME))
        yield (_move(made, entry) if keep else made) / _NAME


def _move(made: Path, entry: Path) -> Path:
    """Move what was made to its place in the cache; where it is then."""
    try:
        shutil.rmtree(entry, ignore_errors=True)  # it is damaged
        made.rename(entry)
    except OSError:
        return made  # another process was faster
    return entry


def _compile(compiler: str, program: Path, install: str) -> None:
    command = [compiler, *_FLAGS, "-o", str(program), str(_SOURCE), *_LIBRARIES]
    status, output = run_tool(command, program.parent, _COMPILE_TIMEOUT_S)
    if status != 0:
        raise ProjectError(
            f"the program over libsimavr does not build: try '{shlex.join(command)}'",
            cure=install,
            details=output,
        )


def _key(compiler: str, header: Path) -> str:
    """A hash of what decides how the program is compiled."""
    digest = hashlib.sha256(_SOURCE.read_bytes())
    for path in (Path(compiler).resolve(), header):
        about = path.stat()
        digest.update(f"{path} {about.st_size} {about.st_mtime_ns}\n".encode())
    return digest.hexdigest()[:32]


def _is_whole(entry: Path) -> bool:
    """Whether a program of the cache is as it was made, and nobody else may have changed it."""
    try:
        for path in (entry.parent, entry, entry / _NAME):
            about = path.stat()
            if about.st_uid != os.getuid() or about.st_mode & _OTHERS_MAY_WRITE:
                return False
        return (entry / _DIGEST).read_bytes() == _digest(entry / _NAME).encode()
    except OSError:
        return False


def _digest(program: Path) -> str:
    return hashlib.sha256(program.read_bytes()).hexdigest()


def _find_header() -> Path | None:
    """The library's header, where the compiler looks for it."""
    folders = [*os.environ.get("CPATH", "").split(":"), "/usr/local/include", "/usr/include"]
    paths = (Path(folder) / _HEADER for folder in folders if folder)
    return next((path for path in paths if path.is_file()), None)
