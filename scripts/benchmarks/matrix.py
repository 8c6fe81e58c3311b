"""A whole matrix of models, boards and executors: cold and warm, with one and with two workers.

Warm runs take turns, so that whatever else the machine does meets both alike. Processor time is
that of all processes of a run together: it tells what a run costs when others use the machine, too.

The models are networks as large as those that devices run (`networks.py`): with tiny ones, much of
a warm run is the start of pytest's own processes.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import statistics
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scripts.benchmarks.networks import write_networks
from scripts.benchmarks.processes import processor_seconds, run_quietly

BOARDS = "qemu_x86,mps2_an385,mps2_an386,mps2_an500,qemu_riscv32,qemu_riscv64"

WITHOUT = ("-p", "no:cacheprovider", "-p", "no:labgrid")
"""Plugins that a user of emulated boards need not have; labgrid's takes half a second to load."""

SPEEDUP_LIMIT = 1.6
VERDICT_LIMIT_S = 0.5
TIMEOUT_S = 3600.0

# What a run tells of its progress: each step once, and again with its seconds when it lasts.
STEP = re.compile(r"^microtvm: (?:\[gw\d+\] )?((?:compiling|building|running) .*)$", re.MULTILINE)
KINDS = ("mlf", "firmware", "reference")
STILL = re.compile(r" \(\d+ s\)$")


@dataclass(frozen=True)
class Run:
    """One run of pytest.

    Attributes:
        wall_s: How long it took.
        cpu_s: Processor time, of all its processes.
        records: What it recorded.
        made: How often something was compiled, built, or run as a reference.
        kept: How many such things are in the cache.
    """

    wall_s: float
    cpu_s: float
    records: list[dict[str, Any]]
    made: int
    kept: int

    def describe(self) -> str:
        """The times, for the table."""
        return f"{self.wall_s:8.1f} s, {self.cpu_s:6.1f} s of processor time"


def add_command(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare `scripts/bench matrix`."""
    parser = commands.add_parser("matrix", help="models x boards x executors, cold and warm")
    parser.add_argument("--boards", default=BOARDS, help=f"default: {BOARDS}")
    parser.add_argument("--executors", default="aot,graph")
    parser.add_argument(
        "--models",
        type=Path,
        nargs="+",
        default=[],
        metavar="PATH",
        help="model files or folders, instead of networks as large as MLPerf Tiny's",
    )
    parser.add_argument("--runs", type=int, default=5, help="warm runs of each kind (default 5)")
    parser.add_argument("--warm-only", action="store_true", help="no cold run with one worker")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Measure, print, and compare with the limits."""
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        if not arguments.models:
            arguments.models = write_networks(directory / "models")
        cold = {2: _pytest(directory / "2", arguments, workers=2)}
        if not arguments.warm_only:
            cold[1] = _pytest(directory / "1", arguments, workers=1)
        records = cold[2].records
        outcomes = Counter(record["outcome"] for record in records)
        print(f"{len(records)} pairs: {', '.join(f'{n} {o}' for o, n in outcomes.items())}")
        for workers, result in sorted(cold.items()):
            print(f"  cold, -n {workers}      {result.describe()}, {result.made} things made")
        warm: dict[int, list[Run]] = {1: [], 2: []}
        for _ in range(arguments.runs):
            for workers, results in warm.items():
                results.append(_pytest(directory / "2", arguments, workers=workers))
    medians = {}
    for workers, results in warm.items():
        wall_s, cpu_s = (
            statistics.median(times)
            for times in zip(*((each.wall_s, each.cpu_s) for each in results), strict=True)
        )
        medians[workers] = wall_s
        print(f"  warm, -n {workers}      {Run(wall_s, cpu_s, [], 0, 0).describe()}")
    passed = max(1, outcomes["passed"])
    beyond_s = (medians[1] - _device_seconds(warm[1][-1].records)) / passed
    twice = sum(result.made - result.kept for result in cold.values())
    again = sum(each.made for results in warm.values() for each in results)
    kept = [
        _judge("cold: made twice", twice, 0, at_most=True),
        _judge("warm: made again", again, 0, at_most=True),
        _judge("warm -n 1 / warm -n 2", medians[1] / medians[2], SPEEDUP_LIMIT, at_most=False),
        _judge("warm seconds a verdict", beyond_s, VERDICT_LIMIT_S, at_most=True),
        outcomes["failed"] == outcomes["error"] == 0,
    ]
    return 0 if all(kept) else 1


def _pytest(directory: Path, arguments: argparse.Namespace, *, workers: int) -> Run:
    directory.mkdir(exist_ok=True)
    path = directory / "records.json"
    command = [
        *(sys.executable, "-m", "pytest", f"-n{workers}", *WITHOUT),
        *(f"--microtvm-board={arguments.boards}", f"--microtvm-executor={arguments.executors}"),
        *(f"--microtvm-cache-dir={directory / 'cache'}", f"--microtvm-json={path}"),
        *(str(model.resolve()) for model in arguments.models),
    ]
    # As after an installation, which compiles Python's modules: not in every process anew.
    environment = {**os.environ, "PYTHONPYCACHEPREFIX": str(directory / "bytecode")}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    before = processor_seconds()
    start = time.perf_counter()
    result = run_quietly(command, directory, environment, TIMEOUT_S)
    wall_s = time.perf_counter() - start
    cpu_s = processor_seconds() - before
    if result.returncode not in (0, 1) or not path.is_file():
        raise SystemExit(result.stdout)
    made = sum(STILL.search(step) is None for step in STEP.findall(result.stdout))
    kept = sum(len(list((directory / "cache" / kind).iterdir())) for kind in KINDS)
    return Run(wall_s, cpu_s, json.loads(path.read_text())["records"], made, kept)


def _device_seconds(records: list[dict[str, Any]]) -> float:
    """What the devices themselves computed, in seconds of their own timers."""
    return sum(
        float(record["metrics"]["latency_us"]["value"]) / 1e6
        for record in records
        if "latency_us" in record["metrics"]
    )


def _judge(what: str, value: float, limit: float, *, at_most: bool) -> bool:
    kept = value <= limit if at_most else value >= limit
    bound = "at most" if at_most else "at least"
    print(f"  {what:24} {value:8.2f} ({bound} {limit:g}: {'kept' if kept else 'MISSED'})")
    return kept
