"""Where a device goes wrong: the first kernel whose result is not what it is on this machine."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pytest_microtvm.session.host_driven import NodeResult, first_difference


def explain_difference(
    device: Sequence[NodeResult], reference: Sequence[NodeResult], otherwise: str
) -> tuple[str, ...]:
    """Say which kernel is the first to differ.

    Args:
        device: Every call's outputs on the device.
        reference: The same calls' outputs on this machine.
        otherwise: Where to look for the cause when every kernel gives the same on both.

    Returns:
        Lines for a report.
    """
    difference = first_difference(device, reference)
    if difference is None:
        return (
            "kernel by kernel (executor host_driven) the device computes what this machine does: "
            f"look for the cause in {otherwise}",
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
    return tuple(lines)
