"""Which inputs of a model are indices, and what they have to be below."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pytest_microtvm.compiler.quantized.recognise.values import (
    Values,
    is_static_tensor,
    operator_name,
    shape_of,
)

_VIEWS = frozenset(
    {"astype", "expand_dims", "flatten", "permute_dims", "reshape", "squeeze", "strided_slice"}
)
"""Operators whose result has no other elements than their first argument."""


def index_limits(values: Values) -> dict[Any, int]:
    """By variable, the extent of the axis that its elements number.

    Args:
        values: The bindings of `main`.
    """
    found: dict[Any, int] = {}
    for call in values.calls("take"):
        data, places = call.args[:2]
        if not is_static_tensor(data) or call.attrs.axis is None:
            continue
        shape = shape_of(data)
        extent = shape[int(call.attrs.axis) % len(shape)]
        for variable, offset in _sources(values, places, 0):
            limit = max(1, extent - offset)
            found[variable] = min(limit, found.get(variable, limit))
    return found


def _sources(values: Values, expression: Any, offset: int) -> Iterator[tuple[Any, int]]:
    """The variables that indices come from, with the most that is added to them."""
    value = values.definition(expression)
    name = operator_name(value)
    if type(value).__name__ == "Var":
        yield value, offset
    elif name in _VIEWS:
        yield from _sources(values, value.args[0], offset)
    elif name == "where":
        # An index that is counted from the end, or else as it is.
        yield from _sources(values, value.args[2], offset)
    elif name == "add":
        for one, other in (value.args, reversed(value.args)):
            known = values.constant(other)
            if known is not None and known.size:
                yield from _sources(values, one, offset + max(0, int(known.max())))
