"""Runs of pytest ended by a signal at a random moment: nothing of them may be left.

Each run is of a model on an emulated board, every third with two workers of pytest-xdist and every
second without a cache, so that compilers and builds are ended as well. Some seconds after each the
processes that it started are counted, and at the end, after one more run that may finish, what is
left in the temporary folder.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from pytest_microtvm.process import package_environment
from scripts.benchmarks.devices import MODELS
from scripts.benchmarks.soak import descendants

MODEL = "sine_int8.tflite"
GONE_WITHIN_S = 5.0
TIMEOUT_S = 600.0
TOKEN = "MICROTVM_SIGNALS_TOKEN"
SIGNALS = (signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGKILL, signal.SIGINT)


def add_command(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare `scripts/bench signals`."""
    parser = commands.add_parser("signals", help="runs that a signal ends")
    parser.add_argument("--runs", type=int, default=200, help="how many (default 200)")
    parser.add_argument("--seed", type=int, default=1, help="of signals and moments (default 1)")
    parser.add_argument("--board", default="qemu_x86", help="the board (default qemu_x86)")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Start, signal and count; 0 when nothing is left."""
    generator = random.Random(arguments.seed)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # SIGQUIT would leave one each
    counts: collections.Counter[str] = collections.Counter()
    with tempfile.TemporaryDirectory() as name:
        bench = Runs(Path(name), arguments.board)
        lasts_s = {}
        for workers, cached in ((0, True), (0, False), (2, True), (2, False)):
            bench.start(workers, cached=True).wait(TIMEOUT_S)  # so that it is warm
            start = time.monotonic()
            bench.start(workers, cached=cached).wait(TIMEOUT_S)
            lasts_s[workers, cached] = time.monotonic() - start
        for number in range(1, arguments.runs + 1):
            workers, cached = 0 if number % 3 else 2, number % 2 == 0
            process = bench.start(workers, cached=cached)
            time.sleep(generator.uniform(0.0, lasts_s[workers, cached]))
            chosen = generator.choice(SIGNALS)
            process.send_signal(chosen)
            left = bench.wait(process)
            counts["ended" if process.returncode < 0 else f"exit {process.returncode}"] += 1
            if left:
                counts["left processes"] += 1
                print(f"{number}: {chosen.name} with {workers} workers left {left}", flush=True)
            if number % 20 == 0 or number == arguments.runs:
                print(f"{number} runs: {dict(counts)}, folders: {bench.folders()}", flush=True)
        status = bench.start(0, cached=True).wait(TIMEOUT_S)
        folders = bench.folders()
        print(
            f"{arguments.runs} runs ended by signals, {counts['left processes']} left processes; "
            f"after one more run, which ended with {status}, folders left: "
            f"{', '.join(folders) or 'none'}"
        )
    return 1 if counts["left processes"] or folders or status else 0


class Runs:
    """A project with a model, its cache and its temporary folder; what a run prints is kept."""

    def __init__(self, directory: Path, board: str) -> None:
        self._directory = directory
        self._board = board
        self._temporary = directory / "tmp"
        self._temporary.mkdir()
        self._project = directory / "project"
        self._project.mkdir()
        (self._project / "pytest.ini").write_text("[pytest]\n")
        shutil.copy(MODELS / MODEL, self._project)
        self._token = f"{os.getpid()}-{time.monotonic_ns()}"
        self.output = directory / "output"

    def start(self, workers: int, *arguments: str, cached: bool) -> subprocess.Popen[bytes]:
        """Start pytest."""
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", MODEL]
        command += [f"--microtvm-board={self._board}", f"-n{workers}", *arguments]
        cache = self._directory / "cache"
        command.append(f"--microtvm-cache-dir={cache}" if cached else "--microtvm-no-cache")
        with self.output.open("wb") as output:
            return subprocess.Popen(
                command,
                cwd=self._project,
                env={**package_environment(), TOKEN: self._token, "TMPDIR": str(self._temporary)},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def wait(self, process: subprocess.Popen[bytes]) -> list[str]:
        """Wait for the end of all that a run started; the command lines of what did not end."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(TIMEOUT_S)  # Ctrl-C is an orderly end
        end = time.monotonic() + GONE_WITHIN_S
        while self.processes() and time.monotonic() < end:
            time.sleep(0.05)
        left = []
        for pid in self.processes():
            command = Path(f"/proc/{pid}/cmdline")
            if command.exists():
                left.append(command.read_bytes().replace(b"\0", b" ").decode()[:200])
        process.kill()
        process.wait()
        return left

    def processes(self) -> list[int]:
        """The living processes of all runs."""
        return descendants(f"{TOKEN}={self._token}")

    def folders(self) -> list[str]:
        """What is in the temporary folder, without pytest's own."""
        names = (path.name for path in self._temporary.iterdir())
        return sorted(name for name in names if not name.startswith("pytest-"))
