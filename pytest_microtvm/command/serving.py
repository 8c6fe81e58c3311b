"""`microtvm serve`: a project's device, offered to a TVM RPC tracker."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pytest_microtvm.command.parsers import OK, CommandParser
from pytest_microtvm.command.projects import (
    add_project_options,
    project_and_options,
    require_build,
)


def add_commands(commands: Any) -> None:
    """Add the subcommand to the parser of `microtvm`."""
    commands.add_parser("serve", help="offer the device of a project to a tracker.").fill = _fill


def _fill(parser: CommandParser, _given: Sequence[str]) -> None:
    parser.add_argument(
        "project_dir", metavar="PROJECT_DIR", type=Path, help="path to the project directory."
    )
    parser.add_argument(
        "--tracker", required=True, metavar="HOST:PORT", help="address of the RPC tracker"
    )
    parser.add_argument("--key", required=True, help="what clients ask the tracker for")
    parser.add_argument(
        "--port", type=int, default=0, metavar="N", help="where clients come in; any unless given"
    )
    add_project_options(parser, "open_transport", "--options")
    parser.set_defaults(run=_serve, count_instructions=False, tell_steps=True)


def _serve(arguments: argparse.Namespace) -> int:
    project, values = project_and_options(arguments)
    if project is None:
        return OK
    require_build(project)
    project.serve(arguments.tracker, arguments.key, port=arguments.port, **values)
