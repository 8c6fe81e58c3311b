"""Which of the measured ways to write kernels to take, when code must not grow without limit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pytest_microtvm.compiler.quantized.choices import Choice
from pytest_microtvm.compiler.tuning.records import Key

LEAST_SAVING = 0.005
"""The part of a kernel's cost that another way to write it has to save to be taken."""


@dataclass(frozen=True)
class Candidate:
    """A way to write the kernels of a key.

    Args:
        choice: The way.
        cost: What all calls of these kernels take in an inference.
        code_bytes: The size of their code.
    """

    choice: Choice
    cost: float
    code_bytes: int


def select(measured: Mapping[Key, Sequence[Candidate]], limit_bytes: int) -> dict[Key, Candidate]:
    """The candidates to take: step by step what saves most for each byte that the code grows by.

    Args:
        measured: By key its candidates, the compiler's own first.
        limit_bytes: By how much the code of all may grow.
    """
    chosen = {key: candidates[0] for key, candidates in measured.items()}
    room = limit_bytes
    while True:
        steps = [
            (key, candidate)
            for key, candidates in measured.items()
            for candidate in candidates
            if candidate.cost <= chosen[key].cost - LEAST_SAVING * candidates[0].cost
            and candidate.code_bytes - chosen[key].code_bytes <= room
        ]
        if not steps:
            return chosen

        def worth(step: tuple[Key, Candidate]) -> tuple[float, float]:
            key, candidate = step
            saved = chosen[key].cost - candidate.cost
            growth = candidate.code_bytes - chosen[key].code_bytes
            return (saved / growth if growth > 0 else float("inf"), saved)

        key, candidate = max(steps, key=worth)
        room -= candidate.code_bytes - chosen[key].code_bytes
        chosen[key] = candidate
