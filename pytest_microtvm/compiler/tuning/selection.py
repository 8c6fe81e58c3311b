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
        memory_bytes: What they need beside the larger one of input and output, at the most.
    """

    choice: Choice
    cost: float
    code_bytes: int
    memory_bytes: int = 0


def select(
    measured: Mapping[Key, Sequence[Candidate]], limit_bytes: int, arena_bytes: int = 0
) -> dict[Key, Candidate]:
    """The candidates to take: step by step what saves most for each byte that the code grows by.

    Args:
        measured: By key its candidates, the compiler's own first.
        limit_bytes: By how much the code of all may grow.
        arena_bytes: Memory that kernels may take with their tensors all the same, where they need
            more than the compiler's own.
    """
    fitting = {
        key: [each for each in candidates if _fits(key, each, candidates[0], arena_bytes)]
        for key, candidates in measured.items()
    }
    chosen = {key: candidates[0] for key, candidates in measured.items()}
    room = limit_bytes
    while True:
        steps = [
            (key, candidate)
            for key, candidates in fitting.items()
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


def _fits(key: Key, candidate: Candidate, own: Candidate, arena_bytes: int) -> bool:
    tensor_bytes = max(key.workload.input_bytes, key.workload.output_bytes)
    return candidate.memory_bytes <= max(own.memory_bytes, arena_bytes - tensor_bytes)
