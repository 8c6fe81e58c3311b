"""`microtvm report`: pages about runs whose records were kept."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from pytest_microtvm.command.parsers import OK, CommandParser, tell


def add_commands(commands: Any) -> None:
    """Add the subcommand to the parser of `microtvm`."""
    help_text = "write an HTML page about runs whose records were kept."
    commands.add_parser("report", help=help_text).fill = _fill_report


def _fill_report(parser: CommandParser, _given: Sequence[str]) -> None:
    parser.add_argument(
        "records",
        type=Path,
        nargs="+",
        metavar="PATH",
        help="a file of records (--microtvm-json), or a folder of them, from the oldest on by "
        "name. One file makes the report of that run, several show how figures went.",
    )
    parser.add_argument(
        "--html", type=Path, required=True, metavar="FILE", help="the page to write."
    )
    parser.set_defaults(run=_report)


def _report(arguments: argparse.Namespace) -> int:
    from pytest_microtvm.measure.record_files import check_writable, write_file
    from pytest_microtvm.report.history import read_runs
    from pytest_microtvm.report.html.run import About, run_page
    from pytest_microtvm.report.html.trends import trends_page

    check_writable(arguments.html, "--html")
    runs = read_runs(arguments.records)
    if len(runs) == 1:
        written = datetime.now().astimezone().strftime("%Y-%m-%d %H:%M:%S %Z")
        page = run_page(runs[0].records, (), About(runs[0].label, written))
    else:
        page = trends_page(runs, arguments.records[0].resolve().name)
    write_file(arguments.html, page, "--html")
    tell(f"wrote {arguments.html}")
    return OK
