"""Whether framing and packet decoders in C and in Python agree, on generated streams."""

from __future__ import annotations

import argparse
import subprocess
import tempfile
import time
from pathlib import Path

from tests.c.agreement import find_difference
from tests.c.toolchain import build_wire_tool

STREAMS = 1_000_000


def add_command(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare `scripts/bench wire`."""
    parser = commands.add_parser("wire", help="the decoders in C and in Python, side by side")
    parser.add_argument(
        "--streams", type=int, default=STREAMS, help=f"how many (default {STREAMS:,})"
    )
    parser.add_argument("--seed", type=int, default=1, help="for the streams (default 1)")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Compare, and print the first difference."""
    start = time.monotonic()
    with tempfile.TemporaryDirectory() as directory:
        try:
            tool = build_wire_tool(Path(directory))
        except subprocess.CalledProcessError as error:
            print(error.stderr)
            return 1
        difference = find_difference(tool, arguments.streams, arguments.seed)
    if difference is not None:
        print(f"the decoders differ on this stream:\n{difference}")
        return 1
    seconds = time.monotonic() - start
    print(f"C and Python agree on {arguments.streams:,} streams ({seconds:.0f} s)")
    return 0
