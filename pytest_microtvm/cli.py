"""The `microtvm` command."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from typing import Any

from pytest_microtvm import cli_lab
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
