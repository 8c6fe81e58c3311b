"""Builds a project's sketch, and says in one line why it does not build."""

from __future__ import annotations

import hashlib
import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from arduino_tools import Builder, Job

from pytest_microtvm.project import server

BUILD_FOLDER = "build"
_CURE_SIZE = "use a smaller model or a larger board"
_FLOATS = ("-ffp-contract=off", "-fno-math-errno")
"""Each operation on floats rounds by itself, on every board alike, and nothing reads errno."""
_USED = re.compile(r"^(Sketch uses|Global variables use) (\d+) bytes.*Maximum is (\d+) bytes", re.M)
_OVERFLOW = re.compile(r"region [`']([^`']+)' overflowed by (\d+) bytes?")
_OUTSIDE = re.compile(r"address 0x([0-9a-f]+) of .* is not within region [`'](\w+)'")
_AVR_DATA = 0x80_0000
"""Where the linker's addresses of an AVR's RAM begin."""
_WARNING = re.compile(r"^(\S+?):\d+:(?:\d+:)? warning: .*$", re.MULTILINE)
# The line that says why a build failed: the first match of the first pattern that has one.
_REASONS = (
    re.compile(r"^\S+?:\d+:(?:\d+:)? (?:fatal )?error: .*$", re.MULTILINE | re.IGNORECASE),
    re.compile(r"^.*(?:undefined reference to|multiple definition of|cannot find -l).*$", re.M),
    re.compile(r"^.*\S*ld(?:\.bfd)?: (?!warning|NOTE).*$", re.MULTILINE),
    re.compile(r"^.*\berror: .*$", re.MULTILINE | re.IGNORECASE),
    re.compile(r"^(?!exit status).*\b(?:not found|unknown|exceeds|too big)\b.*$", re.M | re.I),
)


def compiler_flags(
    table: Mapping[str, Any], definitions: Sequence[str], *, serves_host: bool
) -> list[str]:
    """The flags for all that is compiled.

    Args:
        table: The platform's table of the board.
        definitions: The user's, as -DNAME=VALUE.
        serves_host: Whether packets are received, for which the port's buffer has to be as large.
    """
    # Objects of link-time optimisation would hide which kernel is where.
    own = [*_FLOATS, "-fno-lto"]
    if serves_host:
        own.append(f"-DSERIAL_RX_BUFFER_SIZE={table['packet_bytes']}")
    return [*own, *table["flags"], *definitions]


def with_flags(
    properties: Mapping[str, str],
    known: Mapping[str, str],
    names: Sequence[str],
    flags: Sequence[str],
) -> dict[str, str]:
    """Settings of a build with flags for the compiler.

    Args:
        properties: Those that the board and the user give.
        known: Those that the core has.
        names: The settings that flags are added to.
        flags: The flags.
    """
    added = " ".join(_quoted(flag) for flag in flags)
    values = {name: properties.get(name, known.get(name, "")) for name in names}
    return {**properties, **{name: f"{value} {added}".strip() for name, value in values.items()}}


def _quoted(flag: str) -> str:
    """A flag as one word of a recipe of Arduino's, which knows no escaping."""
    if not re.search(r"[\s'\"]", flag):
        return flag
    for quote in "'\"":
        if quote not in flag:
            return f"{quote}{flag}{quote}"
    raise server.OptionError(
        f"compile_definitions: {flag} has both kinds of quotes, which Arduino's tools cannot pass",
        cure="leave one of them out",
    )


def split_properties(texts: Sequence[str]) -> dict[str, str]:
    """The settings that were given as NAME=VALUE.

    Raises:
        OptionError: One is not of this form.
    """
    for text in texts:
        if not re.match(r"[A-Za-z0-9_.-]+=", text):
            raise server.OptionError(
                f"properties: {text!r} is not a setting", cure="write NAME=VALUE"
            )
    return dict(text.partition("=")[::2] for text in texts)


def folder_state(folder: Path) -> str:
    """A digest of what is in a folder, by names, sizes and times."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            found = path.stat()
            digest.update(f"{path}\0{found.st_size}\0{found.st_mtime_ns}\n".encode())
    return digest.hexdigest()


def build(
    builder: Builder, job: Job, board: Mapping[str, Any], *, warnings_are_errors: bool
) -> None:
    """Build a sketch.

    Args:
        builder: What builds it.
        job: The sketch.
        board: The board's definition.
        warnings_are_errors: Whether a warning about the project's own files is one.

    Raises:
        ProjectError: It does not build, or does not fit; with the tools' output.
    """
    if warnings_are_errors:  # what is compiled already is not warned of again
        shutil.rmtree(job.build, ignore_errors=True)
    status, output = builder.compile(job)
    if status != 0:
        raise _failure(board, output)
    _check_room(board, output)
    if warnings_are_errors:
        own = [str(job.sketch.parent), str(job.build)]
        for match in _WARNING.finditer(output):
            if any(match[1].startswith(folder) for folder in own):
                raise server.ProjectError(
                    f"the firmware does not build: {match[0].strip()}", details=output
                )


def _failure(board: Mapping[str, Any], output: str) -> server.ProjectError:
    """The one line that says why a build failed, with all that the tools printed behind it."""
    excess = [(int(size), name) for name, size in _OVERFLOW.findall(output)]
    if excess:
        size, name = max(excess)
        kind = "ram" if re.search("ram|data|bss", name, re.IGNORECASE) else "flash"
        has = _memory(board, kind)
        if has:
            return _does_not_fit(board, kind, has + size, has, output)
    outside = [int(address, 16) for address, name in _OUTSIDE.findall(output) if name == "data"]
    if outside and board["cpu"]["arch"] == "avr":
        start = min(region["origin"] for region in board["memory"] if region["kind"] == "ram")
        needs = max(outside) - _AVR_DATA - start % _AVR_DATA + board["arduino"]["stack_bytes"]
        return _does_not_fit(board, "ram", needs, _memory(board, "ram"), output)
    try:
        _check_room(board, output)
    except server.DoesNotFitError as error:
        return error
    matches = filter(None, (pattern.search(output) for pattern in _REASONS))
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    reason = next(
        (match[0].strip() for match in matches), lines[-1] if lines else "no reason given"
    )
    return server.ProjectError(f"the firmware does not build: {reason}", details=output)


def _check_room(board: Mapping[str, Any], output: str) -> None:
    """Make sure that variables leave room for the stack, by what the tools say of sizes."""
    for what, used, most in _USED.findall(output):
        kind = "flash" if what == "Sketch uses" else "ram"
        stack_bytes = board["arduino"]["stack_bytes"] if kind == "ram" else 0
        if int(used) + stack_bytes > int(most):
            raise _does_not_fit(board, kind, int(used) + stack_bytes, int(most), output)


def _memory(board: Mapping[str, Any], kind: str) -> int:
    return next((region["bytes"] for region in board["memory"] if region["kind"] == kind), 0)


def _does_not_fit(
    board: Mapping[str, Any], kind: str, needs: int, has: int, output: str
) -> server.DoesNotFitError:
    label = "RAM" if kind == "ram" else kind
    return server.DoesNotFitError(
        f"firmware too large: needs {needs} bytes of {label}, {board['name']} has {has}",
        cure=_CURE_SIZE,
        details=output,
    )
