"""Which operators of TFLite are compiled, for which element types, and how."""

from __future__ import annotations

import argparse

from tests.operators.coverage import PAGE, page, table


def add_command(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare `scripts/bench coverage`."""
    parser = commands.add_parser("coverage", help="operators by element type, as a table")
    parser.add_argument("--write", action="store_true", help=f"into {PAGE.name}")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Print the table, or write it."""
    if arguments.write:
        PAGE.write_text(page(), encoding="utf-8")
    else:
        print(table(), end="")
    return 0
