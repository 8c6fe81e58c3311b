"""A link that goes wrong: every case must end in time, with the right bytes or a clear error.

Each case is one run of a model, or one opening of a session and a run, through all there is: TVM's
client, the bridge, a Project API server and the firmware of the board `host`. In between a
transport injects one fault by a plan (see `pytest_microtvm/session/faults.py`). A session serves
case after case until a fault breaks it.
"""

from __future__ import annotations

import argparse
import collections
import concurrent.futures
import contextlib
import multiprocessing
import random
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from pytest_microtvm.errors import MicroTVMError
from pytest_microtvm.project.firmware import Firmware
from pytest_microtvm.session.device import Session
from pytest_microtvm.session.fault_injection import (
    ANY,
    REPLY_PACKETS,
    REQUEST_PACKETS,
    SESSION_PACKETS,
    TO_DEVICE,
    TO_HOST,
    FaultPlan,
)
from scripts.benchmarks.devices import MODELS, build_firmware, inputs_of, same_bytes

MODEL = MODELS / "keyword_int8.tflite"
BOARD = "host"
CALL_TIMEOUT_S = 0.3
OPEN_TIMEOUT_S = 3.0
GRACE_S = 2.0
"""How much later than its deadline a case may end: the processes share the machine."""

SHARE = 250
"""Cases from one line of progress to the next."""

FLIP_RATE = 1e-4
HEAVY_FLIP_RATE = 3e-3
FRAME_KINDS = ("drop", "duplicate", "truncate", "delay", "reset", "silence")
RUN_PACKETS = ("copy to", "call", "copy from", "return", "copied data")
OPEN_PACKETS = ("start", "start reply", "end", "init", "get function", "call", "return")


@dataclass(frozen=True)
class Case:
    """One case: a fault in a run, or in opening a session and the run after it."""

    plan: FaultPlan
    opens: bool

    @property
    def name(self) -> str:
        """What it is counted under."""
        kind = self.plan.kind
        if kind == "flip":
            kind = f"flip {self.plan.rate:g} a byte"
        return f"{kind}, {'opening' if self.opens else 'running'}"


@dataclass(frozen=True)
class Result:
    """How a case ended: "right", an error's kind, or something that must not be."""

    case: Case
    outcome: str
    seconds: float
    text: str = ""

    @property
    def bad(self) -> bool:
        """Whether it must not be."""
        return self.outcome.isupper()


def add_command(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare `scripts/bench faults`."""
    parser = commands.add_parser("faults", help="a link that goes wrong")
    parser.add_argument("--cases", type=int, default=5000, help="how many (default 5000)")
    parser.add_argument("--jobs", type=int, default=2, help="processes (default 2)")
    parser.add_argument("--seed", type=int, default=1, help="decides the faults (default 1)")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Run the cases, print the counts; 0 when none ended as it must not."""
    start = time.monotonic()
    with tempfile.TemporaryDirectory() as name:
        firmware = build_firmware(MODEL, BOARD, Path(name))
        cases = make_cases(arguments.cases, arguments.seed)
        shares = [cases[first : first + SHARE] for first in range(0, len(cases), SHARE)]
        context = multiprocessing.get_context("spawn")
        results: list[Result] = []
        with concurrent.futures.ProcessPoolExecutor(arguments.jobs, context) as pool:
            for share in pool.map(run_cases, [firmware] * len(shares), shares):
                results += share
                bad = sum(result.bad for result in results)
                print(f"{len(results)} of {len(cases)} cases, not as they must: {bad}", flush=True)
    return report(results, time.monotonic() - start)


def make_cases(count: int, seed: int) -> list[Case]:
    """Plan the cases: flips in one half, other faults in the other; one in nine at the start."""
    rng = random.Random(seed)
    cases = []
    for number in range(count):
        opens = number % 9 == 8
        plan_seed = rng.randrange(1 << 32)
        if number % 2 == 0:
            rate = HEAVY_FLIP_RATE if number % 10 == 0 else FLIP_RATE
            cases.append(Case(FaultPlan("flip", rate=rate, seed=plan_seed), opens))
            continue
        packet = rng.choice(OPEN_PACKETS if opens else RUN_PACKETS)
        kind = FRAME_KINDS[rng.randrange(len(FRAME_KINDS))]
        nth = rng.choice((1, 1, 2)) if packet in ("return", "call", "get function") else 1
        plan = FaultPlan(
            kind, direction_of(packet), packet, nth, delay_s=rng.uniform(0, 0.1), seed=plan_seed
        )
        cases.append(Case(plan, opens))
    return cases


def direction_of(packet: str) -> str:
    """Which way a packet goes."""
    if packet in REQUEST_PACKETS or packet == "start":
        return TO_DEVICE
    return TO_HOST if packet in (*REPLY_PACKETS, *SESSION_PACKETS) else ANY


def run_cases(firmware: Firmware, cases: list[Case]) -> list[Result]:
    """Run cases one after the other; in a process of its own."""
    inputs = inputs_of(firmware)
    with Session(firmware) as whole:
        expected = whole.run(inputs)
    results = []
    with contextlib.ExitStack() as stack:
        session: Session | None = None
        for case in cases:
            if session is not None and (case.opens or not session.is_open):
                stack.close()
                session = None
            if session is None and not case.opens:
                session = stack.enter_context(_session(firmware, FaultPlan()))
            start = time.monotonic()
            limit_s = CALL_TIMEOUT_S + GRACE_S
            outcome, text = "right", ""
            try:
                if session is None:
                    limit_s += OPEN_TIMEOUT_S
                    session = stack.enter_context(_session(firmware, case.plan))
                else:
                    session.plan_faults(case.plan)
                outputs = session.run(inputs)
                if not same_bytes(outputs, expected):
                    outcome = "WRONG"
            except MicroTVMError as error:
                outcome, text = type(error).__name__, error.message
            except Exception as error:  # noqa: BLE001 - any is a finding
                outcome, text = "UNEXPECTED", repr(error)
            seconds = time.monotonic() - start
            if seconds > limit_s:
                outcome, text = "LATE", f"{outcome} after {seconds:.1f} s: {text}"
            results.append(Result(case, outcome, seconds, text))
            if outcome != "right" or case.opens:
                stack.close()
                session = None
    return results


def _session(firmware: Firmware, plan: FaultPlan) -> Session:
    return Session(firmware, CALL_TIMEOUT_S, open_timeout_s=OPEN_TIMEOUT_S, faults=plan)


def report(results: list[Result], seconds: float) -> int:
    """Print how many cases of each kind ended how."""
    names = sorted({result.case.name for result in results})
    outcomes = sorted({result.outcome for result in results}, key=lambda o: (o != "right", o))
    print(f"{'fault':36}" + "".join(f"{outcome:>17}" for outcome in outcomes))
    for name in names:
        counts = collections.Counter(r.outcome for r in results if r.case.name == name)
        print(f"{name:36}" + "".join(f"{counts[outcome] or '':>17}" for outcome in outcomes))
    counts = collections.Counter(result.outcome for result in results)
    print(f"{'all':36}" + "".join(f"{counts[outcome]:>17}" for outcome in outcomes))
    bad = [result for result in results if result.bad]
    for result in bad[:20]:
        print(f"  {result.outcome}: {result.case}: {result.text}")
    slowest_s = max(result.seconds for result in results)
    print(
        f"{len(results)} cases in {seconds:.0f} s, the slowest {slowest_s:.1f} s; "
        f"wrong outputs accepted: {counts['WRONG']}; not as they must: {len(bad)}"
    )
    return 1 if bad else 0
