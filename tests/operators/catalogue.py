"""All operators that can be drawn, and what draws them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from tests.operators.cases import Case
from tests.operators.dead_cases import DEAD
from tests.operators.float_cases import FLOATS
from tests.operators.more_cases import MORE
from tests.operators.quantized_cases import QUANTIZED
from tests.operators.rarer_cases import RARER

OPERATORS = {**QUANTIZED, **MORE, **DEAD, **FLOATS, **RARER}
"""Fills a case from random numbers, by name."""


def draw(
    count: int, seed: int = 0, operators: Sequence[str] = (), start: int = 0
) -> Iterator[Case]:
    """Cases, each operator as often as any other.

    Args:
        count: How many.
        seed: Each case depends on it and on its own number only.
        operators: Names of `OPERATORS`; all when empty.
        start: The first one's number.
    """
    names = operators or tuple(OPERATORS)
    for number in range(start, start + count):
        name = names[number % len(names)]
        case = Case(name, f"{name}-{number}")
        OPERATORS[name](np.random.default_rng([seed, number]), case)
        yield case
