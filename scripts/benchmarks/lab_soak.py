"""Two virtual boards, flashed, run and reset again and again, while things go wrong at random.

Two processes share the boards. Each cycle leases one, flashes it with one of two models, opens a
session, runs the model and gives the board back. In some cycles a fault is planted while the board
is leased: it is unplugged at a random moment, its power fails in the middle of flashing, or it is
off. A cycle must end in time; with the right outputs, perhaps of the other board, or with an error;
and a fault that came in time must be reported with the name of its board, nothing else must.
"""

from __future__ import annotations

import argparse
import collections
import concurrent.futures
import multiprocessing
import os
import random
import statistics
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from pytest_microtvm.boards import load_boards
from pytest_microtvm.deadline import Deadline
from pytest_microtvm.errors import MicroTVMError
from pytest_microtvm.flow.cache import Cache
from pytest_microtvm.flow.rig import Rig
from pytest_microtvm.flow.selftest import selftest_inputs, selftest_outputs, write_selftest
from pytest_microtvm.flow.workshop import Workshop
from pytest_microtvm.lab.file import LabBoard, load_lab
from pytest_microtvm.lab.pool import Lab, Lease, Quarantine
from pytest_microtvm.measure.records import Record
from pytest_microtvm.project.firmware import Firmware
from pytest_microtvm.virtual_lab.client import BoardSwitches, VirtualLab

KIND = "netduinoplus2"
BOARDS = ("left", "right")
STEPS = (37, 41)
"""Two models, so that stale firmware gives wrong outputs."""
TIMEOUT_S = 20.0
LEASE_TIMEOUT_S = 120.0
CYCLE_LIMIT_S = 300.0
FAULT_RATE = 0.4
LONGEST_DELAY_S = 2.0
MOST_WRITES = 8
"""A power failure comes after fewer writes of the debugger than the firmware has."""


def add_command(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare `scripts/bench lab-soak`."""
    parser = commands.add_parser("lab-soak", help="flash and run while boards are unplugged")
    parser.add_argument("--cycles", type=int, default=500, help="how many (default 500)")
    parser.add_argument("--seed", type=int, default=0, help="of what goes wrong (default 0)")
    parser.set_defaults(run=run)


@dataclass
class Fault:
    """Something that goes wrong with the first board of a cycle."""

    kind: str
    delay_s: float = 0.0
    writes: int = 0
    board: str = ""
    planted_at: float | None = None


@dataclass
class Result:
    """What came of a cycle."""

    number: int
    seconds: float
    right: bool
    error: str
    fault: Fault | None
    boards: list[str]
    incidents: list[str] = field(default_factory=list)
    run_ended: float | None = None

    @property
    def came_in_time(self) -> bool:
        """Whether the fault was there before the outputs were."""
        planted = None if self.fault is None else self.fault.planted_at
        return planted is not None and (self.run_ended is None or planted < self.run_ended)

    @property
    def is_reported(self) -> bool:
        """Whether the fault's board is named by an error or an incident."""
        assert self.fault is not None
        label = f"{KIND} ({self.fault.board})"
        return any(line.startswith(label) for line in (self.error, *self.incidents))

    @property
    def trouble(self) -> str:
        """What is wrong with the cycle; empty when nothing is."""
        if self.seconds > CYCLE_LIMIT_S:
            return "it hung"
        if not self.right and not self.error:
            return "wrong outputs"
        if self.came_in_time and not self.is_reported:
            return "the fault was not reported"
        if not self.came_in_time and (self.error or self.incidents):
            return "an error without a fault"
        return ""


class PlantedLab(Lab):
    """A lab whose boards fail while they are leased.

    Args:
        boards: As of `Lab`.
        quarantine: As of `Lab`.
        control: The virtual lab's control socket.
        fault: What happens to the first board that is leased; None for nothing.
    """

    def __init__(
        self,
        boards: tuple[LabBoard, ...],
        quarantine: Quarantine,
        control: Path,
        fault: Fault | None,
    ) -> None:
        super().__init__(boards, quarantine)
        self._control = control
        self._fault = fault

    def acquire(
        self,
        kind: str,
        deadline: Deadline,
        *,
        firmware: str = "",
        without: collections.abc.Collection[str] = (),
        on_wait: Callable[[str], None] = lambda line: None,
    ) -> Lease:
        """See `Lab.acquire`."""
        lease = super().acquire(kind, deadline, firmware=firmware, without=without, on_wait=on_wait)
        fault, self._fault = self._fault, None
        if fault is None:
            return lease
        return PlantedLease(lease, BoardSwitches(self._control, lease.board.name, Path()), fault)


class PlantedLease(Lease):
    """A lease on a board that fails; it is repaired when it is given back."""

    def __init__(self, lease: Lease, switches: BoardSwitches, fault: Fault) -> None:
        super().__init__(lease.board, lease._locks)
        self._switches = switches
        self._fault = fault
        self._over = threading.Event()
        fault.board = lease.board.name
        if fault.kind == "power fails":
            switches.fail_power_after(fault.writes)
            fault.planted_at = time.monotonic()
        elif fault.kind == "no power":
            switches.power_off()
            fault.planted_at = time.monotonic()
        self._thread = threading.Thread(target=self._unplug_later)
        self._thread.start()

    def release(self) -> None:
        """See `Lease.release`."""
        self._over.set()
        self._thread.join()
        self._switches.plug()
        self._switches.power_on()
        super().release()

    def _unplug_later(self) -> None:
        if self._fault.kind == "unplugged" and not self._over.wait(self._fault.delay_s):
            self._fault.planted_at = time.monotonic()
            self._switches.unplug()


@dataclass(frozen=True)
class Soak:
    """What the processes of the soak have in common."""

    boards: tuple[LabBoard, ...]
    control: Path
    firmware: tuple[Firmware, ...]
    seed: int

    def cycle(self, number: int) -> Result:
        """Lease, flash, run, reset."""
        chance = random.Random(f"{self.seed}-{number}")
        fault = _random_fault(chance)
        model = chance.randrange(len(self.firmware))
        record = Record("", KIND, "baremetal", "aot")
        start = time.monotonic()
        right, error, run_ended = False, "", None
        with tempfile.TemporaryDirectory() as directory:
            lab = PlantedLab(self.boards, Quarantine(Path(directory)), self.control, fault)
            rig = Rig(lab, TIMEOUT_S, LEASE_TIMEOUT_S, lambda line: None, always_flash=True)
            try:
                session = rig.open(self.firmware[model], record, lambda line: None)
                outputs = session.run({"x": selftest_inputs()})
                run_ended = time.monotonic()
                right = np.array_equal(outputs["y"], selftest_outputs(STEPS[model]))
            except MicroTVMError as caught:
                error = caught.one_line()
            finally:
                rig.release()
        seconds = time.monotonic() - start
        return Result(
            number,
            seconds,
            right,
            error,
            fault,
            record.lab_boards,
            record.incidents,
            run_ended,
        )


def run(arguments: argparse.Namespace) -> int:
    """Run the cycles; 0 when each ended as it must."""
    definition = load_boards()[KIND]
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        os.environ["MICROTVM_LEASES"] = str(directory / "leases")
        cache = Cache(directory / "cache")
        cache.open()
        firmware = tuple(
            Workshop(cache).build(
                write_selftest(directory / f"selftest-{step}.tar", step), definition, "aot"
            )
            for step in STEPS
        )
        with VirtualLab(dict.fromkeys(BOARDS, definition)) as lab:
            soak = Soak(load_lab(lab.lab_file), lab[BOARDS[0]].control, firmware, arguments.seed)
            results = _run_cycles(soak, arguments.cycles)
    return _report(results, arguments.cycles)


def _run_cycles(soak: Soak, count: int) -> list[Result]:
    results = []
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(len(BOARDS), mp_context=context) as pool:
        for result in concurrent.futures.as_completed(
            [pool.submit(soak.cycle, number) for number in range(count)]
        ):
            results.append(cycle := result.result())
            if cycle.trouble:
                print(f"cycle {cycle.number}: {cycle.trouble}: {cycle}", flush=True)
            if len(results) % 50 == 0:
                troubles = sum(bool(result.trouble) for result in results)
                print(f"{len(results)} cycles, {troubles} in trouble", flush=True)
    return results


def _report(results: list[Result], count: int) -> int:
    kinds = collections.Counter(r.fault.kind for r in results if r.fault is not None)
    for kind, planted in sorted(kinds.items()):
        of_kind = [r for r in results if r.fault is not None and r.fault.kind == kind]
        in_time = [r for r in of_kind if r.came_in_time]
        reported = sum(r.is_reported for r in in_time)
        passed = sum(r.right for r in in_time)
        print(
            f"{kind}: {planted} planted, {planted - len(in_time)} after the run was over; of the "
            f"others {reported} of {len(in_time)} reported; {passed} went on to the right outputs"
        )
    used = collections.Counter(name for r in results for name in r.boards)
    seconds = [r.seconds for r in results]
    wrong = sum(not r.right and not r.error for r in results)
    troubles = sum(bool(r.trouble) for r in results)
    print(
        f"{len(results)} cycles on {dict(sorted(used.items()))}: {sum(r.right for r in results)} "
        f"right, {sum(bool(r.error) for r in results)} errors, {wrong} wrong; median "
        f"{statistics.median(seconds):.2f} s, slowest {max(seconds):.2f} s; {troubles} in trouble"
    )
    return 1 if troubles or len(results) != count else 0


def _random_fault(chance: random.Random) -> Fault | None:
    if chance.random() >= FAULT_RATE:
        return None
    kind = chance.choice(("unplugged", "unplugged", "power fails", "no power"))
    return Fault(
        kind,
        delay_s=chance.uniform(0.0, LONGEST_DELAY_S),
        writes=chance.randrange(MOST_WRITES),
    )
