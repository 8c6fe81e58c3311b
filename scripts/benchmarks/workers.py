"""Workers of pytest-xdist killed at random moments: errors with a clear line, never a failure.

Each run has two workers and four tests. One worker is killed, every second time while things are
compiled and built. The others take over: the run ends by itself, every test passes or is an error
that tells of the worker, and nothing is left.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import os
import random
import re
import signal
import tempfile
import time
from pathlib import Path

from scripts.benchmarks.signals import TIMEOUT_S, Runs
from scripts.benchmarks.soak import parent_of

TESTS = 4
ARGUMENTS = ("--microtvm-executor=aot,graph", "--microtvm-reference=host")
WORKER = b"exec(eval(sys.stdin.readline()))"
"""What the command line of a process that execnet starts has in it."""
TOLD = re.compile(r"^MicroTVMError: the worker .* crashed or was killed while it ran", re.MULTILINE)
COUNT = re.compile(r"(\d+) (passed|failed|error)")


def add_command(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare `scripts/bench workers`."""
    parser = commands.add_parser("workers", help="workers of pytest-xdist that are killed")
    parser.add_argument("--runs", type=int, default=50, help="how many (default 50)")
    parser.add_argument("--seed", type=int, default=1, help="of victims and moments (default 1)")
    parser.add_argument("--board", default="qemu_x86", help="the board (default qemu_x86)")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Start, kill and count; 0 when every run ended as it has to and nothing is left."""
    generator = random.Random(arguments.seed)
    counts: collections.Counter[str] = collections.Counter()
    bad = 0
    with tempfile.TemporaryDirectory() as name:
        runs = Runs(Path(name), f"host,{arguments.board}")
        lasts_s = {}
        for cached in (True, True, False):
            start = time.monotonic()
            runs.start(2, *ARGUMENTS, cached=cached).wait(TIMEOUT_S)
            lasts_s[cached] = time.monotonic() - start
        for number in range(1, arguments.runs + 1):
            cached = number % 2 == 0
            process = runs.start(2, *ARGUMENTS, cached=cached)
            time.sleep(generator.uniform(0.0, lasts_s[cached]))
            workers = workers_of(process.pid)
            if workers:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(generator.choice(workers), signal.SIGKILL)
            left = runs.wait(process)
            output = runs.output.read_text(errors="replace")
            kind, faults = judge(process.returncode, output)
            counts[kind if workers else "nobody to kill"] += 1
            faults += [f"left: {each}" for each in left]
            if faults:
                bad += 1
                print(f"{number}: {faults}\n{output}", flush=True)
            if number % 10 == 0 or number == arguments.runs:
                print(f"{number} runs: {dict(counts)}, {bad} bad", flush=True)
        folders = runs.folders()
        print(f"folders left: {folders or 'none'}")
    return 1 if bad or folders else 0


def workers_of(controller: int) -> list[int]:
    """The workers of a pytest process."""
    found = []
    for process in Path("/proc").iterdir():
        with contextlib.suppress(OSError, ValueError):  # it may end at any time; not a process
            pid = int(process.name)
            if parent_of(pid) == controller and WORKER in (process / "cmdline").read_bytes():
                found.append(pid)
    return sorted(found)


def judge(status: int, output: str) -> tuple[str, list[str]]:
    """What became of a run, and what is wrong with that."""
    lines = output.strip().splitlines()
    results = {what: int(count) for count, what in COUNT.findall(lines[-1] if lines else "")}
    errors, told = results.get("error", 0), len(TOLD.findall(output))
    faults = [
        f"{word!r} in its output" for word in ("Traceback", "INTERNALERROR") if word in output
    ]
    if results.get("failed") or results.get("passed", 0) + errors < TESTS:
        faults.append(f"of {TESTS} tests: {results}")
    if errors != told:
        faults.append(f"{errors} errors, and {told} lines that tell of a worker")
    if status != (1 if errors else 0):
        faults.append(f"exit status {status}")
    return (f"{errors} errors" if errors else "all passed"), faults
