"""`microtvm export`: a model as a project of another ecosystem."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pytest_microtvm.command.parsers import OK, CommandParser, add_environment, environment_of
from pytest_microtvm.errors import ConfigError


def add_commands(commands: Any) -> None:
    """Add the subcommand to the parser of `microtvm`."""
    commands.add_parser(
        "export", help="write a model as a project of another ecosystem."
    ).fill = _fill


def _fill(parser: CommandParser, _given: Sequence[str]) -> None:
    from pytest_microtvm.exports import RUNTIMES
    from pytest_microtvm.extensions import EXPORTS

    parser.add_argument(
        "model", metavar="MODEL", type=Path, help="an archive, or a model file, which is compiled."
    )
    parser.add_argument("--format", required=True, choices=EXPORTS.names(), help="what is written.")
    parser.add_argument(
        "-o", "--output", type=Path, required=True, metavar="DIR", help="the folder to write."
    )
    parser.add_argument(
        "--runtime",
        choices=RUNTIMES,
        default="none",
        help="how much of the runtime goes with the model: an executor, or the RPC server. "
        "Defaults to 'none'",
    )
    parser.add_argument(
        "--board",
        metavar="NAME",
        help="compile for this board's CPU, and tell what the kernels take of its stack.",
    )
    parser.add_argument(
        "--io-in-arena",
        action="store_true",
        help="leave room for a model file's inputs and outputs in its arena.",
    )
    parser.add_argument("--name", help="names the model; the stem of the file's name if not given.")
    parser.add_argument(
        "--version", default="1.0.0", help="the version of what is written. Defaults to '1.0.0'"
    )
    parser.add_argument(
        "-f", "--force", action="store_true", help="replace an export that is there."
    )
    add_environment(parser, device=False)
    parser.set_defaults(run=_export)


def _export(arguments: argparse.Namespace) -> int:
    from pytest_microtvm.api.exports import export

    if not arguments.model.is_file():
        raise ConfigError(f"Model file {arguments.model} does not exist!")
    directory = export(
        arguments.model,
        arguments.output,
        format=arguments.format,
        runtime=arguments.runtime,
        board=arguments.board,
        name=arguments.name,
        io_in_arena=arguments.io_in_arena,
        version=arguments.version,
        force=arguments.force,
        environment=environment_of(arguments),
    )
    print(f"wrote {directory}")
    return OK
