"""Every operator over quantized tensors, compared with LiteRT byte for byte, case by case.

Each case is drawn from its number and the seed, so that a failing one can be run again alone.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path

from pytest_microtvm.compiler import CompileOptions
from pytest_microtvm.extensions import CPU_EXTENSIONS
from tests.operators.avr import BOARD, differences_on_avr
from tests.operators.catalogue import OPERATORS, draw
from tests.operators.running import Difference, differences

_BATCH = 120
"""Cases that share one C compiler call."""


def add_command(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare `scripts/bench operators`."""
    parser = commands.add_parser("operators", help="integer kernels against LiteRT, by the byte")
    parser.add_argument("--cases", type=int, default=2500, help="how many (default 2500)")
    parser.add_argument("--seed", type=int, default=0, help="draws others (default 0)")
    parser.add_argument(
        "--operator", action="append", default=[], choices=tuple(OPERATORS), help="only these"
    )
    parser.add_argument(
        "--simd",
        choices=CPU_EXTENSIONS.names(),
        default=CompileOptions.simd,
        help="kernels for these instructions, by their twins in plain C (default: none)",
    )
    parser.add_argument(
        "--board",
        choices=(BOARD,),
        default="",
        help="run on this board in its emulator, all cases that fit it, not on the host",
    )
    parser.add_argument("--jobs", type=int, default=2, help="processes (default 2)")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Run all cases; the exit status says whether every byte was right."""
    start = time.perf_counter()
    batches = range(0, arguments.cases, _BATCH)
    work = partial(
        _run_batch,
        arguments.cases,
        arguments.seed,
        tuple(arguments.operator),
        arguments.board or arguments.simd,
    )
    total: Counter[str] = Counter()
    found: list[Difference] = []
    done = 0
    # TVM keeps threads: a fork could inherit a lock that is never released.
    with ProcessPoolExecutor(arguments.jobs, mp_context=get_context("spawn")) as pool:
        for counts, wrong in pool.map(work, batches):
            total.update(counts)
            found += wrong
            for difference in wrong:
                print(f"  {difference}", flush=True)
            done = min(done + _BATCH, arguments.cases)
            print(f"{done} of {arguments.cases} cases, {len(found)} wrong", flush=True)
    failures = Counter(difference.operator for difference in found)
    for operator in OPERATORS:
        if total[operator]:
            print(f"  {operator:26} {total[operator]:6} cases {failures[operator]:6} wrong")
    seconds = time.perf_counter() - start
    wrong_bytes = sum(difference.bytes for difference in found)
    unfit = arguments.cases - sum(total.values())
    if unfit:
        print(f"{unfit} cases do not fit the board")
    print(
        f"{sum(total.values())} cases, {len(found)} wrong, {wrong_bytes} differing bytes, "
        f"{seconds:.0f} s"
    )
    return 1 if found else 0


def _run_batch(
    count: int, seed: int, operators: tuple[str, ...], where: str, start: int
) -> tuple[Counter[str], list[Difference]]:
    """Run the cases from `start` on: how many of each operator, and what was wrong.

    Args:
        count: Of all cases.
        seed: That they are drawn by.
        operators: Those that are drawn; all when empty.
        where: The board, or the vector instructions on the host.
        start: The first case.
    """
    cases = list(draw(min(_BATCH, count - start), seed, operators, start))
    with tempfile.TemporaryDirectory() as folder:
        if where == BOARD:
            found, cases = differences_on_avr(cases, Path(folder))
        else:
            found = differences(cases, Path(folder), CompileOptions(simd=where))
    return Counter(case.operator for case in cases), found
