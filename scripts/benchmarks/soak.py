"""Sessions opened, run and closed while the machine is busy: none may fail or leave anything.

Processes of this benchmark keep every core busy, unless others do. After the sessions, and every
hundred of them, the processes that they started, the file descriptors and threads of this process,
its memory and the temporary folder are counted.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pytest_microtvm.errors import MicroTVMError
from pytest_microtvm.process import kill_group, package_environment
from pytest_microtvm.project.firmware import Firmware
from pytest_microtvm.session.device import Session
from scripts.benchmarks.devices import MODELS, ROOT, build_firmware, inputs_of, same_bytes

MODEL = MODELS / "sine_int8.tflite"
TIMEOUT_S = 60.0
COUNT_EVERY = 100
SLOW_S = 5.0
TOKEN = "MICROTVM_SOAK_TOKEN"
BUSY = """
from pytest_microtvm.process import die_with_parent
die_with_parent({parent})
while True:
    pass
"""


def add_command(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare `scripts/bench soak`."""
    parser = commands.add_parser("soak", help="many sessions on a busy machine")
    parser.add_argument("--sessions", type=int, default=2000, help="how many (default 2000)")
    parser.add_argument("--board", default="qemu_x86", help="the board (default qemu_x86)")
    parser.add_argument(
        "--busy",
        type=int,
        default=os.cpu_count() or 1,
        help="processes that keep a core busy (default: one for each; 0 on a machine that is)",
    )
    parser.set_defaults(run=run)


@dataclass(frozen=True)
class Held:
    """What this process holds."""

    processes: int
    descriptors: int
    threads: int
    temporary: int
    memory_kb: int

    @classmethod
    def count(cls, token: str, directory: Path) -> Held:
        """Count it: the processes by an environment variable that they inherited."""
        status = Path("/proc/self/status").read_text()
        memory = next(line.split()[1] for line in status.splitlines() if line.startswith("VmRSS"))
        return cls(
            processes=len(descendants(token)),
            descriptors=len(list(Path("/proc/self/fd").iterdir())),
            threads=len(list(Path("/proc/self/task").iterdir())),
            temporary=len(list(directory.iterdir())),
            memory_kb=int(memory),
        )

    def __str__(self) -> str:
        return (
            f"{self.processes} processes, {self.descriptors} file descriptors, {self.threads} "
            f"threads, {self.temporary} temporary files, {self.memory_kb} KB"
        )


def descendants(token: str) -> list[int]:
    """The living processes that inherited an environment variable of ours, without this one."""
    found = []
    for process in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if process.name.isdigit() and int(process.name) != os.getpid():
                state = (process / "stat").read_text().rpartition(")")[2].split()[0]
                if token.encode() in (process / "environ").read_bytes() and state != "Z":
                    found.append(int(process.name))
    return found


def parent_of(pid: int) -> int:
    """The parent of a process.

    Raises:
        OSError: There is no such process.
    """
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def run(arguments: argparse.Namespace) -> int:
    """Open, run and close; print the counts; 0 when nothing failed and nothing is left."""
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        firmware = build_firmware(MODEL, arguments.board, directory / "cache")
        temporary = directory / "tmp"
        temporary.mkdir()
        with busy_cores(arguments.busy):
            token = f"{os.getpid()}-{time.monotonic_ns()}"
            os.environ.update({TOKEN: token, "TMPDIR": str(temporary)})
            tempfile.tempdir = str(temporary)  # it is read once only
            try:
                return soak(firmware, arguments.sessions, f"{TOKEN}={token}", temporary)
            finally:
                tempfile.tempdir = None


def soak(firmware: Firmware, count: int, token: str, temporary: Path) -> int:
    """Open, run and close `count` sessions."""
    inputs = inputs_of(firmware)
    with Session(firmware, TIMEOUT_S) as session:  # loads what stays loaded
        expected = session.run(inputs)
    before = Held.count(token, temporary)
    print(f"before: {before}", flush=True)
    failures: list[str] = []
    seconds: list[float] = []
    for number in range(1, count + 1):
        start = time.monotonic()
        lines: list[str] = []
        try:
            with Session(firmware, TIMEOUT_S, lines.append) as session:
                if not same_bytes(session.run(inputs), expected):
                    failures.append(f"session {number}: wrong outputs")
        except MicroTVMError as error:
            failures.append(f"session {number}: {type(error).__name__}: {error}")
        seconds.append(time.monotonic() - start)
        if lines or seconds[-1] > SLOW_S:
            print(
                f"session {number} took {seconds[-1]:.1f} s, {session.open_s:.1f} of them to open"
            )
            print("\n".join(f"  {line}" for line in lines), flush=True)
        if number % COUNT_EVERY == 0 or number == count:
            held = Held.count(token, temporary)
            print(
                f"{number} sessions, {len(failures)} failures, median "
                f"{statistics.median(seconds):.2f} s, slowest {max(seconds):.2f} s: {held}",
                flush=True,
            )
    after = Held.count(token, temporary)
    for failure in failures[:20]:
        print(failure)
    left = [
        name
        for name in ("processes", "descriptors", "threads", "temporary")
        if getattr(after, name) > getattr(before, name)
    ]
    print(f"{count} sessions, {len(failures)} failures; left over: {', '.join(left) or 'nothing'}")
    return 1 if failures or left else 0


@contextlib.contextmanager
def busy_cores(count: int) -> Iterator[None]:
    """Keep cores busy meanwhile."""
    command = [sys.executable, "-c", BUSY.format(parent=os.getpid())]
    with contextlib.ExitStack() as stack:
        for _ in range(count):
            process = subprocess.Popen(
                command,
                cwd=ROOT,
                env=package_environment(),
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
            stack.callback(kill_group, process)
        yield
