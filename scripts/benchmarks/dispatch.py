"""What it costs to run a model by TVMExecute, over a call of its own function.

Both are built and counted as `scripts/bench kernels` does, on a Cortex-M3. The context is made
anew for each run, as an application would do that has several models.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from pytest_microtvm.boards import load_boards
from scripts.benchmarks.kernels import MODELS, Cost, measure

BOARD = "mps2_an385"
MODEL = MODELS / "sine_int8.tflite"
MAX_INSTRUCTIONS = 40
MAX_FLASH_BYTES = 300


def add_command(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare `scripts/bench dispatch`."""
    parser = commands.add_parser("dispatch", help="TVMExecute beside a direct call, on a Cortex-M3")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Measure and compare with the limits."""
    direct, dispatched = costs()
    instructions = dispatched.instructions - direct.instructions
    flash = dispatched.flash - direct.flash
    print(f"{'':20} {'direct':>8} {'context':>8} {'more':>6} {'limit':>6}")
    print(
        f"{'instructions':20} {direct.instructions:8.0f} {dispatched.instructions:8.0f} "
        f"{instructions:6.0f} {MAX_INSTRUCTIONS:6}"
    )
    print(
        f"{'bytes of flash':20} {direct.flash:8} {dispatched.flash:8} {flash:6} {MAX_FLASH_BYTES:6}"
    )
    return 0 if instructions <= MAX_INSTRUCTIONS and flash <= MAX_FLASH_BYTES else 1


def costs() -> tuple[Cost, Cost]:
    """A direct run, and one by way of a context.

    Raises:
        SystemExit: An output is wrong.
    """
    board = load_boards()[BOARD]
    found = []
    for by_context in (False, True):
        with tempfile.TemporaryDirectory() as directory:
            cost, is_equal = measure(MODEL, board, Path(directory), by_context)
        if not is_equal:
            raise SystemExit(f"{MODEL.name} has wrong outputs on {BOARD}")
        found.append(cost)
    return found[0], found[1]
