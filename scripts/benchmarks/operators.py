"""Integer kernels against LiteRT's reference kernels, over as many random cases as wanted."""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from tests.operators.generators import cases
from tests.operators.packs import Pack


def add_command(commands: Any) -> None:
    """Add the command."""
    parser = commands.add_parser("operators", help="integer kernels against LiteRT's")
    parser.add_argument("--cases", type=int, default=3000, help="how many (default 3000)")
    parser.add_argument("--seed", type=int, default=0, help="draws others")
    parser.add_argument("--pack", type=int, default=150, help="cases in one compilation")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Compare all cases; the exit status is 1 when one differs."""
    drawn = cases(arguments.seed, arguments.cases)
    differing = 0
    start = time.monotonic()
    for first in range(0, len(drawn), arguments.pack):
        part = drawn[first : first + arguments.pack]
        with tempfile.TemporaryDirectory() as folder:
            found = Pack(part, Path(folder)).differences(
                np.random.default_rng([arguments.seed, first])
            )
        differing += len(found)
        for difference in found:
            print(f"  {difference}")
        done, elapsed_s = first + len(part), time.monotonic() - start
        print(f"{done} of {len(drawn)} cases, {differing} differing, {elapsed_s:.0f} s", flush=True)
    return 1 if differing else 0
