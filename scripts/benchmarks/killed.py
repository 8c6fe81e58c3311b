"""Parts of a run killed at random moments: errors with a clear line, never a failure.

Each run has four tests. `--what workers` kills one of its two workers of pytest-xdist, `--what
parts` a process that a run without workers started: a fork server, the bridge, the emulator, the
server of the platform, the compiler, the model's interpreter or a tool of the build. Every second
run compiles and builds everything. The run ends by itself, every test passes or is an error that
says what went wrong, and nothing is left.
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
NOT_STARTED = "execnet/gateway_bootstrap.py"
"""Where pytest-xdist itself fails when a worker is killed before there is a session."""
PARTS = {
    b"pytest_microtvm.forks.server": "fork server",
    b"pytest_microtvm.session.bridge": "bridge",
    b"qemu-system-": "emulator",
    b"microtvm_api_server.py": "server",
    b"pytest_microtvm.compiler": "compiler",
    b"interpreter_child": "interpreter",
    b"microtvm-caretaker": "caretaker",
    b"firmware": "host's firmware",
}
"""What the command line of each part has in it; tools of the build are the rest."""
COUNT = re.compile(r"(\d+) (passed|failed|error)")
TOLD = re.compile(r"^(?!E )[A-Z]\w+(?:Error|Closed|Timeout): .+$", re.MULTILINE)


def add_command(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare `scripts/bench killed`."""
    parser = commands.add_parser("killed", help="workers and other parts of a run that are killed")
    parser.add_argument("--runs", type=int, default=50, help="how many (default 50)")
    parser.add_argument("--what", choices=("workers", "parts"), default="workers", help="whom")
    parser.add_argument("--seed", type=int, default=1, help="of victims and moments (default 1)")
    parser.add_argument("--board", default="qemu_x86", help="the board (default qemu_x86)")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Start, kill and count; 0 when every run ended as it has to and nothing is left."""
    generator = random.Random(arguments.seed)
    counts: collections.Counter[str] = collections.Counter()
    bad, workers = 0, 2 if arguments.what == "workers" else 0
    with tempfile.TemporaryDirectory() as name:
        runs = Runs(Path(name), f"host,{arguments.board}")
        lasts_s = {}
        for cached in (True, True, False):
            start = time.monotonic()
            runs.start(workers, *ARGUMENTS, cached=cached).wait(TIMEOUT_S)
            lasts_s[cached] = time.monotonic() - start
        for number in range(1, arguments.runs + 1):
            cached = number % 2 == 0
            process = runs.start(workers, *ARGUMENTS, cached=cached)
            time.sleep(generator.uniform(0.0, lasts_s[cached]))
            victims = workers_of(process.pid) if workers else parts_of(runs, process.pid)
            pid, victim = generator.choice(victims or [(0, "nobody")])
            with contextlib.suppress(ProcessLookupError):
                if pid:
                    os.kill(pid, signal.SIGKILL)
            left = runs.wait(process)
            output = runs.output.read_text(errors="replace")
            kind, faults = judge(process.returncode, output)
            counts[f"{victim}: {kind}"] += 1
            for line in TOLD.findall(output):
                print(f"{number}, {victim}: {line[:300]}", flush=True)
            faults += [f"left: {each}" for each in left]
            if faults:
                bad += 1
                print(f"{number}, {victim}: {faults}\n{output}", flush=True)
            if number % 10 == 0 or number == arguments.runs:
                print(f"{number} runs: {dict(sorted(counts.items()))}, {bad} bad", flush=True)
        folders = runs.folders()
        print(f"folders left: {folders or 'none'}")
    return 1 if bad or folders else 0


def workers_of(controller: int) -> list[tuple[int, str]]:
    """The workers of a pytest process."""
    found = []
    for process in Path("/proc").iterdir():
        with contextlib.suppress(OSError, ValueError):  # it may end at any time; not a process
            pid = int(process.name)
            if parent_of(pid) == controller and WORKER in (process / "cmdline").read_bytes():
                found.append((pid, "worker"))
    return sorted(found)


def parts_of(runs: Runs, main: int) -> list[tuple[int, str]]:
    """The processes that a pytest process started, and what each is."""
    found = []
    for pid in runs.processes():
        with contextlib.suppress(OSError):
            command = Path(f"/proc/{pid}/cmdline").read_bytes()
            parts = [part for text, part in PARTS.items() if text in command]
            if pid != main:
                found.append((pid, parts[0] if parts else "tool"))
    return sorted(found)


def judge(status: int, output: str) -> tuple[str, list[str]]:
    """What became of a run, and what is wrong with that."""
    if NOT_STARTED in output:
        return "xdist could not start it", []
    lines = output.strip().splitlines()
    results = {what: int(count) for count, what in COUNT.findall(lines[-1] if lines else "")}
    errors, told = results.get("error", 0), TOLD.findall(output)
    faults = [
        f"{word!r} in its output" for word in ("Traceback", "INTERNALERROR") if word in output
    ]
    if results.get("failed") or results.get("passed", 0) + errors < TESTS:
        faults.append(f"of {TESTS} tests: {results}")
    if errors != len(told):
        faults.append(f"{errors} errors, and {len(told)} lines that tell of them")
    if status != (1 if errors else 0):
        faults.append(f"exit status {status}")
    reasons = {line.partition(":")[0] for line in told}
    return f"{', '.join(sorted(reasons))}" if errors else "all passed", faults
