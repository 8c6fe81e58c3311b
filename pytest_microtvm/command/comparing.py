"""`microtvm compare`: what two runs measured, held against each other."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pytest_microtvm.command.parsers import FAILED, OK, CommandParser, print_json, tell


def add_commands(commands: Any) -> None:
    """Add the subcommand to the parser of `microtvm`."""
    commands.add_parser("compare", help="compare the records of two runs.").fill = _fill


def _fill(parser: CommandParser, _given: Sequence[str]) -> None:
    parser.add_argument("before", type=Path, metavar="A.json", help="the records of a run")
    parser.add_argument("now", type=Path, metavar="B.json", help="those of a later one")
    parser.add_argument(
        "--limit",
        action="append",
        default=[],
        metavar="NAME=LIMIT",
        help="how far a figure may grow, as flash_bytes=1%% or ram_bytes=64; may be repeated. "
        "Exit status 1 if one grew further.",
    )
    parser.add_argument("--json", action="store_true", help="print it as JSON.")
    parser.add_argument("--html", type=Path, metavar="FILE", help="write a page about both, too.")
    parser.set_defaults(run=_compare)


def _compare(arguments: argparse.Namespace) -> int:
    from pytest_microtvm.measure.baseline import compare_runs, parse_limits
    from pytest_microtvm.measure.metrics import METRICS
    from pytest_microtvm.measure.record_files import read_records
    from pytest_microtvm.report.comparison import comparison_lines

    limits = parse_limits(arguments.limit, METRICS)
    before, now = (read_records(path, str(path)) for path in (arguments.before, arguments.now))
    comparison = compare_runs(before, now, limits)
    if arguments.html is not None:
        _write_page(arguments)
    if arguments.json:
        print_json(comparison.to_json())
    else:
        for line in comparison_lines(comparison):
            print(line)
    return FAILED if comparison.is_over else OK


def _write_page(arguments: argparse.Namespace) -> None:
    """Write the page of both runs.

    Raises:
        ConfigError: It cannot be written, or a library is missing.
    """
    from pytest_microtvm.measure.record_files import check_writable, write_file
    from pytest_microtvm.report.history import read_runs
    from pytest_microtvm.report.html.trends import trends_page

    check_writable(arguments.html, "--html")
    runs = read_runs([arguments.before, arguments.now])
    title = f"{arguments.before.name} and {arguments.now.name}"
    write_file(arguments.html, trends_page(runs, title), "--html")
    tell(f"wrote {arguments.html}")
