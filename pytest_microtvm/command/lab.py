"""`microtvm lab scan` and `microtvm lab check`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_microtvm.boards import Board, load_boards
from pytest_microtvm.errors import ConfigError, MicroTVMError
from pytest_microtvm.executors import AOT
from pytest_microtvm.lab.file import LAB_FILE, LabBoard, find_lab_file, load_lab
from pytest_microtvm.temporary import TemporaryFolder

if TYPE_CHECKING:
    from pytest_microtvm.flow.workshop import Workshop

CHECK_TIMEOUT_S = 20.0
LEASE_TIMEOUT_S = 2.0


def add_commands(commands: Any) -> None:
    """Add them to the parser of `microtvm lab`."""
    scan = commands.add_parser(
        "scan",
        help="write a lab file from what is plugged in",
        description="Add every board that is plugged in, and not there yet, to the lab file.",
    )
    scan.set_defaults(run=_scan)
    scan.add_argument(
        "--kind", action="append", default=[], help="look only for these; may be repeated"
    )
    check = commands.add_parser(
        "check",
        help="flash each board of the lab and see whether it answers",
        description="Flash a small program to each board of the lab, and see whether it computes.",
    )
    check.set_defaults(run=_check)
    check.add_argument(
        "--platform", metavar="NAME", help="the platform that makes the program; a board's first"
    )
    check.add_argument(
        "--platforms-dir",
        type=Path,
        action="append",
        default=[],
        metavar="DIR",
        help="find more platforms here, the folder of one or of several; may be repeated",
    )
    check.add_argument("names", nargs="*", metavar="NAME", help="only these boards of the lab")
    for command in (scan, check):
        command.add_argument(
            "--lab", type=Path, metavar="PATH", help=f"the lab file, {LAB_FILE} unless set"
        )
        command.add_argument(
            "--boards-dir",
            type=Path,
            action="append",
            default=[],
            metavar="DIR",
            help="find more board definitions here; may be repeated",
        )


def _scan(arguments: argparse.Namespace) -> int:
    from pytest_microtvm.lab.scan import entry_text, find_boards
    from pytest_microtvm.lab.usb import usb_ports

    definitions = load_boards(arguments.boards_dir)
    for kind in arguments.kind:
        if kind not in definitions:
            raise ConfigError(f"there is no board definition {kind!r}")
    path = find_lab_file(arguments.lab, None, Path.cwd()) or Path(LAB_FILE)
    known = load_lab(path, definitions) if path.exists() else ()
    ports = list(usb_ports())
    entries = [
        entry_text(found) for found in find_boards(ports, definitions, known, arguments.kind)
    ]
    if not entries:
        print(f"nothing new: {len(ports)} USB serial ports, {len(known)} boards in {path}")
        for port in ports:
            print(f"  {port.device}  {port.usb_id}  {port.serial or '-'}  {port.description}")
        return 0
    try:
        with path.open("a", encoding="utf-8") as file:
            file.write("".join(f"\n{entry}" for entry in entries))
    except OSError as error:
        raise ConfigError(f"cannot write {path}: {error.strerror or error}") from error
    print("\n".join(entries))
    print(f"added to {path}; 'microtvm lab check' tries each board")
    return 0


def _check(arguments: argparse.Namespace) -> int:
    from pytest_microtvm.flow.cache import Cache, default_cache_directory
    from pytest_microtvm.flow.workshop import Workshop
    from pytest_microtvm.project.platforms import load_platforms

    definitions = load_boards(arguments.boards_dir)
    path = find_lab_file(arguments.lab, None, Path.cwd())
    if path is None:
        raise ConfigError(f"there is no {LAB_FILE}", cure="'microtvm lab scan' writes one")
    boards = _chosen(load_lab(path, definitions), arguments.names, path)
    cache = Cache(default_cache_directory(), progress=print)
    cache.open()
    workshop = Workshop(cache, platforms=load_platforms(arguments.platforms_dir))
    failures = 0
    for board in boards:
        try:
            definition = definitions[board.kind]
            if arguments.platform is not None:
                definition = definition.on(arguments.platform)
            line = _check_board(board, definition, workshop)
        except MicroTVMError as error:
            error.board = board.label
            print(f"{error.one_line()}\n{error.details}".strip(), flush=True)
            failures += 1
        else:
            print(f"{board.label}: {line}", flush=True)
    if failures:
        print(f"{failures} of {len(boards)} boards are out of order", file=sys.stderr)
    return 1 if failures else 0


def _chosen(boards: Iterable[LabBoard], names: list[str], path: Path) -> list[LabBoard]:
    by_name = {board.name: board for board in boards}
    for name in names:
        if name not in by_name:
            raise ConfigError(
                f"{path} has no board {name!r}", cure=f"it has {', '.join(by_name) or 'none'}"
            )
    return [by_name[name] for name in dict.fromkeys(names or by_name)]


def _check_board(board: LabBoard, definition: Board, workshop: Workshop) -> str:
    """Flash a board and have it compute; returns what to say of it."""
    import numpy as np

    from pytest_microtvm.flow.rig import Rig
    from pytest_microtvm.flow.selftest import selftest_inputs, selftest_outputs, write_selftest
    from pytest_microtvm.lab.pool import Lab, Quarantine
    from pytest_microtvm.measure.records import Record
    from pytest_microtvm.project.server.api import FLASH

    record = Record("", definition.label, definition.platform, AOT)
    with TemporaryFolder("check") as folder:
        library = write_selftest(folder / "selftest.tar")
        workshop.toolchains.require(definition, FLASH)
        firmware = workshop.build(library, definition, AOT)
        lab = Lab([board], Quarantine(folder))
        rig = Rig(lab, CHECK_TIMEOUT_S, LEASE_TIMEOUT_S, _say, always_flash=True)
        try:
            session = rig.open(firmware, record, lambda line: None)
            outputs = session.run({"x": selftest_inputs()})
        finally:
            rig.release()
    if not np.array_equal(outputs["y"], selftest_outputs()):
        raise MicroTVMError(
            "the board computes, but not what it should",
            cure="are its memory sizes those of its definition?",
        )
    seconds = record.timings_s
    return f"flashed in {seconds['flash']:.1f} s, answers in {seconds['open']:.1f} s"


def _say(line: str) -> None:
    print(f"  {line}", flush=True)
