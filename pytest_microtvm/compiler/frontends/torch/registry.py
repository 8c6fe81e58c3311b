"""The operators that are converted, by their names in PyTorch's schemas."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Converter = Callable[..., Any]
"""Of a `Call` and of the operator's arguments, by the names that the schema gives them ("self" is
"x" here): the result as a Relax expression; a list of several results; None where there are none.
An argument that it does not take is refused where it is not the default."""

OPERATORS: dict[str, Converter] = {}
"""By name with its namespace, as "aten::add", for all overloads."""


def operator(*names: str) -> Callable[[Converter], Converter]:
    """Register the converter of operators.

    Args:
        names: Theirs; without a namespace they are of "aten".
    """

    def register(converter: Converter) -> Converter:
        for name in names:
            OPERATORS[name if "::" in name else f"aten::{name}"] = converter
        return converter

    return register
