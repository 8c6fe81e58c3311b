"""ONNX's operators, one by one: compiled, and compared with the results that ONNX states.

Its own test cases of each operator in the versions 13 to 23 are compiled for this machine. An
operator counts as refused when none of its cases is compiled.
"""

from __future__ import annotations

import argparse
import tempfile
from collections import Counter
from pathlib import Path

from pytest_microtvm.errors import MicroTVMError
from tests.unit.compiler.onnx.coverage import Case, Outcome, cases, computed, operators

MOST_REFUSED = 40


def add_command(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare `scripts/bench onnx-operators`."""
    parser = commands.add_parser("onnx-operators", help="each operator of ONNX, by ONNX's cases")
    parser.add_argument("--operator", action="append", default=[], help="only these")
    parser.add_argument(
        "--cases", type=int, default=0, help="of each operator at the most (default: all)"
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Compile and compare; 0 when nothing differs and no more than 40 operators are refused."""
    found = cases()
    names = [name for name in operators() if not arguments.operator or name in arguments.operator]
    refused = differing = 0
    for name in names:
        chosen = found[name][: arguments.cases or None]
        outcomes = [(case, _outcome(case)) for case in chosen]
        counts = Counter(outcome.kind for _, outcome in outcomes)
        refused += not counts["equal"] and not counts["differs"]
        differing += bool(counts["differs"])
        shown = ", ".join(f"{count} {kind}" for kind, count in sorted(counts.items()))
        print(f"{name:28} {shown or 'refused: ONNX has no case of tensors'}", flush=True)
        for case, outcome in outcomes:
            if outcome.kind != "equal":
                print(f"    {outcome.kind} {case.name}: {outcome.text[:200]}", flush=True)
    print(f"{len(names)} operators, {refused} refused, {differing} differing")
    return 0 if not differing and refused <= MOST_REFUSED else 1


def _outcome(case: Case) -> Outcome:
    with tempfile.TemporaryDirectory() as folder:
        try:
            return computed(case, Path(folder))
        except (AssertionError, TypeError, ValueError, MicroTVMError) as error:
            lines = str(error).splitlines() or [type(error).__name__]
            return Outcome("differs", f"cannot be run: {lines[0]}")
