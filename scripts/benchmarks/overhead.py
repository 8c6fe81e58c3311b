"""What the plugin costs where it is not used, a warm verdict, and the check in a cold verdict.

Every figure is the median of runs that take turns with the ones they are compared to, so that
whatever else the machine does meets all of them alike.
"""

from __future__ import annotations

import argparse
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

from pytest_microtvm.boards import Board, load_boards
from scripts.benchmarks.processes import processor_seconds

ROOT = Path(__file__).parents[2]
MODEL = ROOT / "conftest_examples" / "models" / "sine_int8.tflite"
BOARD = "qemu_x86"

UNUSED_LIMIT_S = 0.020
WARM_LIMIT = 1.5
CHECK_LIMIT = 0.15
"""Of a cold verdict, by the clock and by the processors' time."""
TIMEOUT_S = 120.0

Step = Callable[[], None]


def add_command(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare `scripts/bench overhead`."""
    parser = commands.add_parser(
        "overhead", help="the plugin unused, verdicts, the check of models"
    )
    parser.add_argument("--runs", type=int, default=21, help="runs of each kind (default 21)")
    parser.add_argument("--cold-runs", type=int, default=7, help="of cold ones (default 7)")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Measure, print, and compare with the limits."""
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        unused = _measure_unused(directory, arguments.runs)
        warm = _measure_warm(directory, arguments.runs)
        check = _measure_check(directory, arguments.cold_runs)
    return 0 if unused and warm and check else 1


def _measure_unused(directory: Path, runs: int) -> bool:
    (directory / "test_plain.py").write_text("def test_plain():\n    pass\n")
    seconds = _take_turns(
        {
            "with the plugin": lambda: _pytest(directory, "test_plain.py"),
            "-p no:microtvm": lambda: _pytest(directory, "-p", "no:microtvm", "test_plain.py"),
        },
        runs,
    )
    print(f"plain pytest run, median of {runs} pairs")
    for label, values in seconds.items():
        print(f"  {label:28} {statistics.median(values) * 1e3:8.1f} ms")
    pairs = zip(*seconds.values(), strict=True)
    cost_s = statistics.median(used - without for used, without in pairs)
    return _judge("the plugin, unused, costs", cost_s * 1e3, UNUSED_LIMIT_S * 1e3, "ms")


def _measure_warm(directory: Path, runs: int) -> bool:
    cache = directory / "cache"
    verdict = (f"--microtvm-board={BOARD}", f"--microtvm-cache-dir={cache}", str(MODEL))
    _pytest(directory, *verdict)  # compiles and builds
    image = next(cache.glob("firmware/*/project/build/firmware.elf"))
    board = load_boards()[BOARD]
    seconds = _take_turns(
        {
            "plain pytest": lambda: _pytest(directory, "-p", "no:microtvm", "test_plain.py"),
            "import tvm": lambda: _run(directory, sys.executable, "-c", "import tvm"),
            "bare boot of the firmware": lambda: _boot(board, image),
            "warm verdict": lambda: _pytest(directory, *verdict),
        },
        runs,
    )
    print(f"warm verdict on {BOARD}, median of {runs} runs")
    medians = {label: statistics.median(values) for label, values in seconds.items()}
    for label, median in medians.items():
        print(f"  {label:28} {median * 1e3:8.1f} ms")
    verdict_s = medians.pop("warm verdict")
    return _judge("verdict / sum of the others", verdict_s / sum(medians.values()), WARM_LIMIT)


def _measure_check(directory: Path, runs: int) -> bool:
    """What holding a model to its own interpreter takes, in runs that compile and build it all."""
    cold = ("--microtvm-no-cache", f"--microtvm-board={BOARD}", str(MODEL))
    used_s: dict[str, list[float]] = {"cold verdict": [], "without the check": []}

    def run(label: str, *arguments: str) -> None:
        before = processor_seconds()
        _pytest(directory, *cold, *arguments)
        used_s[label].append(processor_seconds() - before)

    seconds = _take_turns(
        {
            "cold verdict": lambda: run("cold verdict"),
            "without the check": lambda: run("without the check", "--microtvm-no-model-check"),
        },
        runs,
    )
    print(f"cold verdict on {BOARD}, median of {runs} pairs")
    kept = []
    for what, times in (("by the clock", seconds), ("of processors", used_s)):
        with_check, without = (values[-runs:] for values in times.values())
        for label, values in zip(times, (with_check, without), strict=True):
            print(f"  {label}, {what:14} {statistics.median(values) * 1e3:8.1f} ms")
        parts = [(a - b) / b for a, b in zip(with_check, without, strict=True)]
        kept.append(
            _judge(f"the check, {what}", statistics.median(parts) * 100, CHECK_LIMIT * 100, "%")
        )
    return all(kept)


def _take_turns(steps: dict[str, Step], runs: int) -> dict[str, list[float]]:
    seconds: dict[str, list[float]] = {label: [] for label in steps}
    for step in steps.values():
        step()  # fills the file caches
    for _ in range(runs):
        for label, step in steps.items():
            start = time.perf_counter()
            step()
            seconds[label].append(time.perf_counter() - start)
    return seconds


def _pytest(directory: Path, *arguments: str) -> None:
    _run(directory, sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments)


def _run(directory: Path, *command: str) -> None:
    # subprocess's own timeout polls, in steps of up to 50 ms: too coarse to measure with.
    with subprocess.Popen(
        command, cwd=directory, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL
    ) as process:
        guard = threading.Timer(TIMEOUT_S, process.kill)
        guard.start()
        try:
            status = process.wait()
        finally:
            guard.cancel()
    if status != 0:
        raise SystemExit(f"{' '.join(command)} ended with status {status}")


def _boot(board: Board, image: Path) -> None:
    """Start the emulator by hand and wait for the firmware's first byte."""
    assert board.emulator is not None
    ours, theirs = socket.socketpair()
    with ours, theirs:
        command = [
            board.emulator.program,
            *("-machine", board.emulator.machine, *board.emulator.arguments),
            *("-display", "none", "-nodefaults", "-no-reboot"),
            *("-chardev", f"socket,id=uart,fd={theirs.fileno()}", "-serial", "chardev:uart"),
            *("-kernel", str(image)),
        ]
        with subprocess.Popen(command, pass_fds=[theirs.fileno()]) as process:
            try:
                ours.settimeout(TIMEOUT_S)
                ours.recv(1)
            finally:
                process.kill()


def _judge(what: str, value: float, limit: float, unit: str = "") -> bool:
    kept = value <= limit
    print(f"  {what:28} {value:8.2f} {unit} (limit {limit:g}: {'kept' if kept else 'EXCEEDED'})")
    return kept
