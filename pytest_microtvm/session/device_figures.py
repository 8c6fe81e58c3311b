"""What a device knows of its own runs: the stack that they used, and a real board's cycles.

Functions are called on the device by `Call`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from pytest_microtvm.errors import TargetError

Call = Callable[[str], Any]
"""Calls a function of the device by its name."""

_LONGEST_S = {"DWT": 2**32 / 1e9}
"""By the counter, the seconds after which it may have begun anew: its bits at 1 GHz, which no core
that has it exceeds."""


def read_stack(call: Call) -> int | None:
    """The most bytes that were ever on the device's stack; None where it does not know."""
    try:
        used = call("microtvm.stack_bytes")
    except TargetError:
        return None  # a runtime that is not ours
    return used if isinstance(used, int) and used > 0 else None


class DeviceCycles:
    """The cycles of the run that took most, by a Cortex-M's DWT, or mcycle of a RISC-V."""

    def __init__(self) -> None:
        self.most: int | None = None
        self.counter = ""
        """What counts them, "DWT" for instance; empty where nothing does."""
        self.why = "the firmware has no counter of cycles, or it stands still"
        """Why there are none."""

    def read(self, call: Call, seconds: float) -> None:
        """Read what the last run took.

        Args:
            call: Calls a function of the device.
            seconds: How long that was, by the device's timer. A counter of 32 bits begins anew now
                and then: what took so long that it may have is left out.
        """
        try:
            text = str(call("microtvm.cycles"))
        except TargetError:
            return  # a runtime that is older, or not ours
        self.counter, _, cycles = text.partition(" ")
        if not cycles:
            return
        if seconds >= _LONGEST_S.get(self.counter, math.inf):
            self.why = f"a run took longer than {self.counter} counts without beginning anew"
        else:
            self.most = max(int(cycles), self.most or 0)

    def forget(self) -> None:
        """Begin anew."""
        self.most = None
