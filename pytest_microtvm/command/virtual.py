"""`microtvm lab virtual`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any


def add_commands(commands: Any) -> None:
    """Add it to the parser of `microtvm lab`."""
    virtual = commands.add_parser(
        "virtual",
        help="run a command in a lab of virtual boards",
        description="Run a command in a lab of virtual boards, which QEMU stands for. They have "
        "serial ports, debug probes, power switches, and flash that keeps what it holds for the "
        "next time. MICROTVM_LAB names their lab file. Without a command, wait for Ctrl-C.",
    )
    virtual.add_argument(
        "--boards",
        action="append",
        required=True,
        metavar="KIND=COUNT",
        help="so many boards of this kind; may be repeated",
    )
    virtual.add_argument(
        "--boards-dir",
        action="append",
        default=[],
        type=Path,
        metavar="DIR",
        help="find more board definitions here; may be repeated",
    )
    virtual.add_argument(
        "--directory", type=Path, metavar="DIR", help="keep ports and flash contents here"
    )
    virtual.add_argument("command", nargs="*", metavar="COMMAND", help="after --")
    virtual.set_defaults(run=_run_virtual_lab)


def _run_virtual_lab(parsed: argparse.Namespace) -> int:
    from pytest_microtvm.boards import load_boards
    from pytest_microtvm.flow.cache import default_cache_directory
    from pytest_microtvm.virtual_lab.command import boards_of, run_in_lab

    boards = boards_of(parsed.boards, load_boards(parsed.boards_dir))
    directory = parsed.directory or default_cache_directory() / "virtual-lab"
    return run_in_lab(boards, directory, parsed.command)
