"""A whole matrix of models, boards and executors: cold and warm, with one and with two workers.

Warm runs take turns, so that whatever else the machine does meets both alike.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
MODELS = ROOT / "conftest_examples" / "models"

SPEEDUP_LIMIT = 1.6
VERDICT_LIMIT_S = 0.5
TIMEOUT_S = 3600.0

Records = list[dict[str, Any]]


def add_command(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare `scripts/bench matrix`."""
    parser = commands.add_parser("matrix", help="models x boards x executors, cold and warm")
    parser.add_argument("--boards", default="available", help="default: all that can run here")
    parser.add_argument("--executors", default="aot,graph")
    parser.add_argument("--runs", type=int, default=3, help="warm runs of each kind (default 3)")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Measure, print, and compare with the limits."""
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        seconds, records = _pytest(directory, arguments, workers=2)
        verdicts = [record for record in records if record["outcome"] == "passed"]
        outcomes = Counter(record["outcome"] for record in records)
        print(f"{len(records)} pairs: {', '.join(f'{n} {o}' for o, n in outcomes.items())}")
        built = [
            record["build_id"] for record in records if record["cached"].get("firmware") is False
        ]
        print(f"  cold, -n 2      {seconds:8.1f} s, {len(built)} firmware built")
        warm: dict[int, list[float]] = {1: [], 2: []}
        device_s = 0.0
        for _ in range(arguments.runs):
            for workers in warm:
                seconds, again = _pytest(directory, arguments, workers=workers)
                warm[workers].append(seconds)
                device_s = _device_seconds(again)
                if not all(record["cached"].get("firmware", True) for record in again):
                    raise SystemExit("a warm run built firmware")
    one, two = (statistics.median(warm[workers]) for workers in (1, 2))
    print(f"  warm, -n 1      {one:8.1f} s")
    print(f"  warm, -n 2      {two:8.1f} s")
    beyond_s = (one - device_s) / max(1, len(verdicts))
    kept = [
        _judge("firmware built twice", len(built) - len(set(built)), 0, at_most=True),
        _judge("warm -n 1 / warm -n 2", one / two, SPEEDUP_LIMIT, at_most=False),
        _judge("warm seconds a verdict", beyond_s, VERDICT_LIMIT_S, at_most=True),
        outcomes["failed"] == outcomes["error"] == 0,
    ]
    return 0 if all(kept) else 1


def _pytest(
    directory: Path, arguments: argparse.Namespace, *, workers: int
) -> tuple[float, Records]:
    path = directory / "records.json"
    command = [
        *(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"-n{workers}"),
        *(f"--microtvm-board={arguments.boards}", f"--microtvm-executor={arguments.executors}"),
        *(f"--microtvm-cache-dir={directory / 'cache'}", f"--microtvm-json={path}", str(MODELS)),
    ]
    start = time.perf_counter()
    result = subprocess.run(
        command,
        cwd=directory,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=TIMEOUT_S,
    )
    seconds = time.perf_counter() - start
    if result.returncode not in (0, 1) or not path.is_file():
        raise SystemExit(result.stdout)
    records: Records = json.loads(path.read_text())["records"]
    return seconds, records


def _device_seconds(records: Records) -> float:
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
