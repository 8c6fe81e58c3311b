"""Time to the first answer of a real board, beside the same steps by hand.

On a virtual board. By hand is what a script of one's own would do, no more: gdb writes the
firmware, compares and resets, or for an unchanged one compares and resets; then a program opens the
serial port, starts a session, writes the inputs, runs the model once and reads the outputs. Ours is
the way that tests go: lease, flash if need be, open, check the build id, write the inputs, run,
read the outputs, close, give the board back; in a process that has done so before, as pytest's has
after its first test. Both take turns in one run, and must get the same answer.
"""

from __future__ import annotations

import argparse
import dataclasses
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from pytest_microtvm.boards import load_boards
from pytest_microtvm.flow.rig import Rig
from pytest_microtvm.lab.file import load_lab
from pytest_microtvm.lab.pool import Lab, Quarantine
from pytest_microtvm.measure.records import Record
from pytest_microtvm.project.firmware import Firmware
from pytest_microtvm.session.bridges import Bridges
from pytest_microtvm.verify.inputs import Tensors
from pytest_microtvm.virtual_lab.client import VirtualLab
from scripts.benchmarks.devices import MODELS, build_firmware, inputs_of

BOARD = "netduinoplus2"
MODEL_FILES = ("keyword_int8.tflite", "sine_int8.tflite")
LIMIT = 1.3
TIMEOUT_S = 60.0
SCRIPTS = {"new": ("load", "compare-sections"), "unchanged": ("compare-sections",)}


def add_command(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare `scripts/bench flash`."""
    parser = commands.add_parser("flash", help="time to a board's first answer, beside by hand")
    parser.add_argument("--runs", type=int, default=7, help="rounds (default 7)")
    parser.set_defaults(run=run)


@dataclasses.dataclass(frozen=True)
class Answer:
    """What the model gave, and the seconds that each part took, where they are known."""

    output: bytes
    parts: Mapping[str, float] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass
class Desk:
    """A virtual board and the two ways to use it."""

    lab: VirtualLab
    rig: Rig
    quarantine: Path

    def by_hand(self, firmware: Firmware, inputs: Tensors, kind: str) -> Answer:
        """Flash if it is new, compare, reset, and ask."""
        elf = str(firmware.elf)
        target = f"target extended-remote {self.lab.probes['one']}"
        commands = (target, *SCRIPTS[kind], "monitor reset", "detach")
        words = [word for command in commands for word in ("-ex", command)]
        gdb = ["gdb-multiarch", "-nx", "-batch", *words, elf]
        output = subprocess.run(gdb, text=True, capture_output=True, check=True).stdout
        if ": matched." not in output or "MIS-MATCHED" in output:
            raise SystemExit(f"gdb did not flash the board:\n{output}")
        ask = [sys.executable, str(Path(__file__).with_name("raw_answer.py"))]
        ask += [str(self.lab["one"].port), str(firmware.board.settings["packet_bytes"])]
        (data,) = inputs.values()
        result = subprocess.run(ask, input=data.tobytes(), stdout=subprocess.PIPE, check=True)
        return Answer(result.stdout)

    def ours(self, firmware: Firmware, inputs: Tensors) -> Answer:
        """The way that tests go."""
        record = Record("", BOARD, "baremetal", "aot")
        session = self.rig.open(firmware, record, lambda line: None)
        (output,) = session.run(inputs).values()
        self.rig.release()
        if record.incidents:
            raise SystemExit(f"incidents: {record.incidents}")
        return Answer(output.tobytes(), record.timings_s)


def run(arguments: argparse.Namespace) -> int:
    """Measure, print, and compare with the limit."""
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        first, other = (
            build_firmware(MODELS / file, BOARD, directory / "cache") for file in MODEL_FILES
        )
        with VirtualLab({"one": load_boards()[BOARD]}) as lab:
            quarantine = directory / "quarantine"
            quarantine.mkdir()
            boards = load_lab(lab.lab_file)
            bridges = Bridges()
            rig = Rig(
                Lab(boards, Quarantine(quarantine)),
                TIMEOUT_S,
                TIMEOUT_S,
                lambda line: None,
                bridges=bridges,
            )
            desk = Desk(lab, rig, quarantine)
            try:
                kept = [_compare(desk, first, other, kind, arguments.runs) for kind in SCRIPTS]
            finally:
                bridges.close()
    return 0 if all(kept) else 1


def _compare(desk: Desk, firmware: Firmware, other: Firmware, kind: str, runs: int) -> bool:
    inputs, other_inputs = inputs_of(firmware), inputs_of(other)
    steps: dict[str, Callable[[], Answer]] = {
        "by hand": lambda: desk.by_hand(firmware, inputs, kind),
        "ours": lambda: desk.ours(firmware, inputs),
    }
    outputs = set()
    seconds: dict[str, list[float]] = {label: [] for label in steps}
    parts: dict[str, list[float]] = {}
    for _ in range(runs):
        for label, step in steps.items():
            desk.ours(
                other if kind == "new" else firmware, other_inputs if kind == "new" else inputs
            )
            flashed = desk.lab["one"].flashed
            start = time.perf_counter()
            answer = step()
            seconds[label].append(time.perf_counter() - start)
            if desk.lab["one"].flashed - flashed != (kind == "new"):
                raise SystemExit(f"{label} flashed what it should not have, or did not")
            outputs.add(answer.output)
            for part, value in answer.parts.items():
                parts.setdefault(part, []).append(value)
    if len(outputs) != 1:
        raise SystemExit("the two ways do not get the same answer")
    medians = {label: statistics.median(values) for label, values in seconds.items()}
    ratio = medians["ours"] / medians["by hand"]
    size = (firmware.image.flash_bytes if firmware.image else 0) / 1000
    print(f"{kind} firmware, {size:.0f} KB, to the first answer; median of {runs}")
    for label, value in medians.items():
        print(f"  {label:10}{value:8.3f} s")
    detail = ", ".join(f"{part} {statistics.median(v):.3f}" for part, v in parts.items() if any(v))
    print(f"  of ours: {detail}")
    print(f"  ratio     {ratio:8.2f}   (limit {LIMIT})")
    return ratio <= LIMIT
