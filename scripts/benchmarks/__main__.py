"""Run a benchmark by its name."""

from __future__ import annotations

import argparse
from importlib import import_module

BENCHMARKS = (
    *("cold", "command", "coverage", "damage", "dispatch", "faults", "flash", "fuzz", "kernels"),
    *("killed", "lab_soak", "link", "matrix", "mutants", "onnx_operators", "operators", "outputs"),
    *("overhead", "signals", "soak", "strangers", "wire", "zoo"),
)
"""Modules beside this one, each with a function `add_command`."""


def main() -> int:
    """Run it; the exit status says whether every limit was kept."""
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__)
    commands = parser.add_subparsers(dest="name", required=True, metavar="NAME")
    for name in BENCHMARKS:
        import_module(f"scripts.benchmarks.{name}").add_command(commands)
    arguments = parser.parse_args()
    status: int = arguments.run(arguments)
    return status


if __name__ == "__main__":
    raise SystemExit(main())
