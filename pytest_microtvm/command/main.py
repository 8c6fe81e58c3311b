"""The `microtvm` command."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from pytest_microtvm.command import lab as cli_lab
from pytest_microtvm.errors import MicroTVMError

USAGE_ERROR = 2
"""The exit status of whatever could not be done, as of a mistake on the command line."""

# What `add_subparsers` gives, which has no public name.
Commands = Any


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a subcommand.

    Args:
        arguments: The command line without the program; `sys.argv[1:]` if None.

    Returns:
        The exit status.
    """
    parser = argparse.ArgumentParser(
        prog="microtvm",
        description="Machine-learning models on microcontrollers; pytest runs the tests of them.",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_lab_commands(commands)
    parsed = parser.parse_args(arguments)
    run: Callable[[argparse.Namespace], int] = parsed.run
    try:
        return run(parsed)
    except MicroTVMError as error:
        print(f"microtvm: {error}", file=sys.stderr)
        return USAGE_ERROR


def _add_lab_commands(commands: Commands) -> None:
    """`microtvm lab ...`: each command sets `run`, which takes the parsed arguments."""
    lab = commands.add_parser("lab", help="the boards that are here")
    lab_commands = lab.add_subparsers(required=True, metavar="LAB_COMMAND")
    cli_lab.add_commands(lab_commands)
    _add_virtual_lab(lab_commands)


def _add_virtual_lab(commands: Commands) -> None:
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
