"""A bit flipped in any file of a warm cache: the verdict stays right, and the entry is made anew.

Each time one bit of one file is flipped, both chosen at random, and the model is run once more as a
run of pytest would: with all that the cache has. What the device answers must be what it answered
before, without an error, and a line must say that something was made anew. What ccache and the
tools of a platform keep is theirs to check: the firmware is removed, so that it is used.
"""

from __future__ import annotations

import argparse
import collections
import random
import shutil
import tempfile
from pathlib import Path

from pytest_microtvm.boards import load_boards
from pytest_microtvm.errors import MicroTVMError, OutputMismatch
from pytest_microtvm.flow.cache import Cache
from pytest_microtvm.flow.model_under_test import ModelUnderTest
from pytest_microtvm.flow.opening import open_harness
from pytest_microtvm.verify.inputs import Tensors
from scripts.benchmarks.devices import CACHE_LIMIT_BYTES, MODELS, same_bytes

MODEL = MODELS / "sine_int8.tflite"
EXECUTOR = "aot"
GOOD = {"found", "right"}
TOOLS_FOLDERS = ("objects", "builds")


def add_command(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare `scripts/bench damage`."""
    parser = commands.add_parser("damage", help="runs with a damaged cache")
    parser.add_argument("--count", type=int, default=300, help="how many flips (default 300)")
    parser.add_argument("--seed", type=int, default=1, help="of the choice of bits (default 1)")
    parser.add_argument("--board", default="qemu_x86", help="the board (default qemu_x86)")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Flip, run and count; 0 when no verdict was wrong or missing, and each flip was found."""
    generator = random.Random(arguments.seed)
    counts: collections.Counter[str] = collections.Counter()
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name) / "cache"
        expected, _lines = verdict(directory, arguments.board)
        for number in range(1, arguments.count + 1):
            damaged = flip_bit(directory, generator)
            is_a_tools = damaged.parts[0] in TOOLS_FOLDERS
            if is_a_tools:
                shutil.rmtree(directory / "firmware")
            try:
                outputs, lines = verdict(directory, arguments.board)
            except MicroTVMError as error:
                kind, lines = "errors", [error.one_line()]
            except OutputMismatch as mismatch:
                kind, lines = "wrong", str(mismatch).splitlines()[:1]
            else:
                anew = any(" anew, because " in line for line in lines)
                kind = "right" if is_a_tools else "found" if anew else "overlooked"
                if not same_bytes(outputs, expected):
                    kind = "wrong"
            counts[kind] += 1
            if kind not in GOOD:
                print(f"{number}: {damaged}: {kind}: {lines}", flush=True)
            if number % 50 == 0 or number == arguments.count:
                print(f"{number} flips: {dict(counts)}", flush=True)
    return 0 if set(counts) <= GOOD else 1


def verdict(directory: Path, board_name: str) -> tuple[Tensors, list[str]]:
    """Run the model with a cache, as a new process would, and compare it with the reference.

    Returns:
        The device's outputs, and the lines that were told.

    Raises:
        MicroTVMError: There was no verdict.
        OutputMismatch: There was a wrong one.
    """
    lines: list[str] = []
    cache = Cache(directory, CACHE_LIMIT_BYTES, lines.append)
    cache.open()
    with open_harness(cache, progress=lines.append) as harness:
        model = ModelUnderTest(
            harness, MODEL, load_boards()[board_name], EXECUTOR, lambda line: None
        )
        model.check()
        outputs = model.run()
    cache.close()
    return outputs, lines


def flip_bit(directory: Path, generator: random.Random) -> Path:
    """Flip a bit of a file in a cache; its path inside of it."""
    paths = (
        path for path in directory.glob("*/*/**/*") if path.is_file() and not path.is_symlink()
    )
    files = sorted(path for path in paths if path.stat().st_size)
    path = generator.choice(files)
    data = bytearray(path.read_bytes())
    data[generator.randrange(len(data))] ^= 1 << generator.randrange(8)
    path.write_bytes(data)
    return path.relative_to(directory)
