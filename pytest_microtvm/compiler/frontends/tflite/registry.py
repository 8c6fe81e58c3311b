"""By the name of a builtin operator, the function that converts it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pytest_microtvm.compiler.frontends.tflite.call import Call

Result = Any
"""A Relax expression, or a NumPy array where the result is known; a list of them for several."""


@dataclass(frozen=True)
class Registration:
    """How an operator is converted.

    Args:
        name: Of the builtin operator.
        convert: Makes its results.
        versions: Greatest version whose meaning is known here.
        options: The table of its options in the schema; empty when it has none.
        reads: The fields of that table that `convert` reads.
        ignored: Fields that do not matter for the result, each with the reason.
    """

    name: str
    convert: Callable[[Call], Result]
    versions: int
    options: str
    reads: tuple[str, ...]
    ignored: Mapping[str, str]


OPERATORS: dict[str, Registration] = {}
"""Filled by the modules of `operators/`."""


def operator(
    *names: str,
    versions: int = 1,
    options: str = "",
    reads: tuple[str, ...] = (),
    ignored: Mapping[str, str] | None = None,
) -> Callable[[Callable[[Call], Result]], Callable[[Call], Result]]:
    """Register a function for builtin operators (see `Registration`).

    Raises:
        ValueError: An operator has two functions.
    """

    def register(convert: Callable[[Call], Result]) -> Callable[[Call], Result]:
        for name in names:
            if name in OPERATORS:
                raise ValueError(f"two functions convert {name}")
            OPERATORS[name] = Registration(name, convert, versions, options, reads, ignored or {})
        return convert

    return register
