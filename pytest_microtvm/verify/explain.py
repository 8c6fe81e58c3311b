"""Where a device goes wrong: the first kernel whose result is not what it is on this machine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pytest_microtvm.mlf.graph import COPY
from pytest_microtvm.session.host_driven import NodeResult, first_difference


@dataclass(frozen=True)
class Explanation:
    """Where a device goes wrong.

    Attributes:
        notes: Lines for a report.
        kernel: The function of the first call that differs; empty where none does, where it is a
            mere copy, or where nothing is known.
        earlier_calls: How often that function was called before, in the same run or sequence.
    """

    notes: tuple[str, ...]
    kernel: str = ""
    earlier_calls: int = 0


def explain_difference(
    device: Sequence[NodeResult], reference: Sequence[NodeResult], otherwise: str
) -> Explanation:
    """Say which kernel is the first to differ.

    Args:
        device: Every call's outputs on the device.
        reference: The same calls' outputs on this machine.
        otherwise: Where to look for the cause when every kernel gives the same on both.
    """
    difference = first_difference(device, reference)
    if difference is None:
        return Explanation(
            (
                "kernel by kernel (executor host_driven) the device computes what this machine "
                f"does: look for the cause in {otherwise}",
            )
        )
    ours, theirs = difference
    lines = []
    for actual, expected in zip(ours.outputs, theirs.outputs, strict=True):
        wrong = int(np.count_nonzero(actual != expected))
        if wrong:
            lines.append(
                f"first difference: node {ours.node.index} {ours.node.function}, "
                f"{wrong} of {expected.size} elements"
            )
    function = ours.node.function
    before = device[: next(at for at, result in enumerate(device) if result is ours)]
    earlier_calls = sum(result.node.function == function for result in before)
    return Explanation(tuple(lines), "" if function == COPY else function, earlier_calls)
