"""What the `microtvm` command costs before it does anything: a help text, a platform's options.

Every figure is the median of runs that take turns, beside Python itself, so that whatever else the
machine does meets all of them alike.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from scripts.benchmarks.overhead import _judge, _take_turns

ROOT = Path(__file__).parents[2]
HELP_LIMIT_S = 0.15
QUERY_LIMIT_S = 0.05
TIMEOUT_S = 60.0

# A warm query, by the clock of the process that asks; the imports that it takes are part of it.
_QUERY = """
import pathlib, sys, time
start = time.perf_counter()
from pytest_microtvm.project.queries import query_options
query_options(pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]), 30.0)
print(time.perf_counter() - start)
"""


def add_command(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare `scripts/bench command`."""
    parser = commands.add_parser("command", help="help texts and queries of the command")
    parser.add_argument("--runs", type=int, default=21, help="runs of each kind (default 21)")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Measure, print, and compare with the limits."""
    template = ROOT / "pytest_microtvm" / "platforms" / "baremetal"
    queries: list[float] = []
    with tempfile.TemporaryDirectory() as answers:
        seconds = _take_turns(
            {
                "python -c pass": lambda: _run_python("-c", "pass"),
                "microtvm -h": lambda: _run_python("-m", "pytest_microtvm.command", "-h"),
                "a warm query": lambda: queries.append(
                    float(_python("-c", _QUERY, str(template), answers))
                ),
            },
            arguments.runs,
        )
    print(f"the command, median of {arguments.runs} runs")
    for label, values in seconds.items():
        print(f"  {label:28} {statistics.median(values) * 1e3:8.1f} ms")
    help_s = statistics.median(seconds["microtvm -h"])
    query_s = statistics.median(queries[1:])  # the first one asks the server
    kept = [
        _judge("microtvm -h, in all", help_s * 1e3, HELP_LIMIT_S * 1e3, "ms"),
        _judge("the query itself", query_s * 1e3, QUERY_LIMIT_S * 1e3, "ms"),
    ]
    return 0 if all(kept) else 1


def _run_python(*arguments: str) -> None:
    _python(*arguments)


def _python(*arguments: str) -> str:
    return subprocess.run(
        [sys.executable, *arguments],
        check=True,
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=TIMEOUT_S,
    ).stdout
