"""`microtvm cache` and `microtvm doctor`."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_microtvm.command.models import select
from pytest_microtvm.command.parsers import (
    FAILED,
    OK,
    CommandParser,
    add_environment,
    environment_of,
    print_json,
)
from pytest_microtvm.errors import MicroTVMError

if TYPE_CHECKING:
    from pytest_microtvm.boards import Board
    from pytest_microtvm.flow.cache import Cache
    from pytest_microtvm.flow.workshop import Workshop

PROBE_TOOLS = ("gdb-multiarch", "openocd", "pyocd", "st-flash", "esptool", "dfu-util", "west")
_VERSION_TIMEOUT_S = 10.0
_SERIAL_GROUP = "dialout"


def add_commands(commands: Any) -> None:
    """Add the subcommands to the parser of `microtvm`."""
    for name, help_text, fill in (
        ("cache", "tell what the cache holds, or clear it.", _fill_cache),
        ("doctor", "tell which boards can run here, and what others miss.", _fill_doctor),
    ):
        commands.add_parser(name, help=help_text).fill = fill


def _fill_cache(parser: CommandParser, _given: Sequence[str]) -> None:
    parser.add_argument(
        "step",
        choices=["info", "clear"],
        help="info: what it holds. clear: remove all of it; no run may be using it.",
    )
    parser.add_argument("--json", action="store_true", help="print it as JSON.")
    add_environment(parser, device=False)
    parser.set_defaults(run=_cache)


def _cache(arguments: argparse.Namespace) -> int:
    cache = _cache_of(arguments)
    kinds = cache.contents()
    total_bytes = sum(size for _, size in kinds.values())
    if arguments.step == "clear":
        cache.clear()
    if arguments.json:
        print_json(
            {
                "directory": str(cache.directory),
                "limit_bytes": cache.limit_bytes,
                "bytes": total_bytes,
                "kinds": {
                    kind: {"entries": count, "bytes": size} for kind, (count, size) in kinds.items()
                },
            }
        )
    elif arguments.step == "clear":
        print(f"removed {total_bytes / 1e6:,.1f} MB from {cache.directory}")
    else:
        for line in _cache_lines(cache):
            print(line)
    return OK


def _cache_lines(cache: Cache) -> Iterator[str]:
    from pytest_microtvm.report.layout import format_table

    kinds = cache.contents()
    total_bytes = sum(size for _, size in kinds.values())
    yield (
        f"{cache.directory}: {total_bytes / 1e6:,.1f} MB of at most "
        f"{cache.limit_bytes / 1e6:,.0f} MB"
    )
    if kinds:
        rows = [
            (kind, str(count), f"{size / 1e6:,.1f} MB") for kind, (count, size) in kinds.items()
        ]
        yield from format_table([("KIND", "ENTRIES", "SIZE"), *rows], lambda column: column > 0)


def _cache_of(arguments: argparse.Namespace) -> Cache:
    from pytest_microtvm.flow.cache import Cache, default_cache_directory

    return Cache(arguments.cache_dir or default_cache_directory())


def _fill_doctor(parser: CommandParser, _given: Sequence[str]) -> None:
    parser.add_argument(
        "boards", nargs="*", metavar="BOARD", help="these have to run here: names, globs, tags."
    )
    parser.add_argument("--json", action="store_true", help="print it as JSON.")
    add_environment(parser)
    parser.set_defaults(run=_doctor)


def _doctor(arguments: argparse.Namespace) -> int:
    from pytest_microtvm.boards.selection import matches

    environment = environment_of(arguments)
    boards = select(environment.boards(), arguments.boards, matches)
    in_lab = environment.lab_kinds()
    with environment.open_workshop() as workshop:
        troubles = {
            name: _trouble_of(board, workshop, name in in_lab) for name, board in boards.items()
        }
    failed = bool(arguments.boards) and any(troubles.values())
    if arguments.json:
        print_json(
            {
                "boards": {
                    name: {"runs": not trouble, "missing": trouble}
                    for name, trouble in troubles.items()
                },
                "versions": dict(_versions(boards.values())),
                "ports": _port_trouble() or "ok",
                "cache": str(_cache_of(arguments).directory),
            }
        )
        return FAILED if failed else OK
    for name, trouble in troubles.items():
        print(f"{name}: {'; '.join(trouble) if trouble else 'can run here'}")
    print()
    for program, version in _versions(boards.values()):
        print(f"{program}: {version}")
    print(f"serial ports: {_port_trouble() or 'this user may open them'}")
    print(f"cache: {next(_cache_lines(_cache_of(arguments)))}")
    return FAILED if failed else OK


def _trouble_of(board: Board, workshop: Workshop, in_lab: bool) -> list[str]:
    """What a board misses to run here, each with the line that installs it."""
    from pytest_microtvm.project.support import missing_tools

    try:
        support = workshop.toolchains.support(board)
    except MicroTVMError as error:
        return [error.one_line()]
    missing = missing_tools(board, support, in_lab=in_lab)
    cures = {tool.name: tool.install for tool in support.tools}
    return [
        f"{name} is missing{f', install it: {cures[name]}' if cures.get(name) else ''}"
        for name in missing
    ]


def _versions(boards: Any) -> Iterator[tuple[str, str]]:
    """The versions of what is installed, by program."""
    from importlib import metadata

    from pytest_microtvm.boards import SIMAVR

    for package in ("apache-tvm", "ai-edge-litert", "onnx", "labgrid"):
        try:
            yield package, metadata.version(package)
        except metadata.PackageNotFoundError:
            yield package, "not installed"
    emulators = {
        board.emulator.program
        for board in boards
        if board.emulator is not None
        and board.emulator.kind != SIMAVR  # a library has no --version
    }
    for program in ("cc", "make", "ccache", *sorted(emulators), *PROBE_TOOLS):
        yield program, _version_of(program)


def _version_of(program: str) -> str:
    import shutil
    import subprocess

    if shutil.which(program) is None:
        return "not installed"
    try:
        result = subprocess.run(
            [program, "--version"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=_VERSION_TIMEOUT_S,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"does not run: {error}"
    lines = result.stdout.strip().splitlines()
    return lines[0] if lines else "tells no version"


def _port_trouble() -> str:
    """Why this user may not open serial ports; empty if nothing is known against it."""
    import grp
    import os

    if os.geteuid() == 0:
        return ""
    try:
        group = grp.getgrnam(_SERIAL_GROUP).gr_gid
    except KeyError:
        return ""
    if group in (*os.getgroups(), os.getegid()):
        return ""
    closed = [
        str(path)
        for pattern in ("ttyACM*", "ttyUSB*")
        for path in sorted(Path("/dev").glob(pattern))
        if not os.access(path, os.R_OK | os.W_OK)
    ]
    where = f" ({', '.join(closed)} cannot be opened)" if closed else ""
    return (
        f"this user is not in the group {_SERIAL_GROUP}{where}: sudo usermod -aG {_SERIAL_GROUP} "
        "$USER, then log in again; or add a udev rule"
    )
