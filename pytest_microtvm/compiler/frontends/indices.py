"""Which inputs of a model are indices, and what they have to be below."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

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
    for name, indexed in _INDEXED.items():
        for call in values.calls(name):
            if not is_static_tensor(call.args[0]):
                continue
            for places, extent in indexed(call, values):
                for variable, offset in _sources(values, places, 0):
                    limit = max(1, extent - offset)
                    found[variable] = min(limit, found.get(variable, limit))
    return found


def _by_axis(call: Any, values: Values) -> Iterator[tuple[Any, int]]:
    if call.attrs.axis is not None:
        shape = shape_of(call.args[0])
        yield call.args[1], shape[int(call.attrs.axis) % len(shape)]


def _by_places(call: Any, values: Values) -> Iterator[tuple[Any, int]]:
    """The last axis of the indices has one for each axis that is indexed."""
    data, places = call.args[:2]
    if is_static_tensor(places):
        first = int(getattr(call.attrs, "batch_dims", 0))
        yield places, min(shape_of(data)[first : first + shape_of(places)[-1]])


def _by_axes(call: Any, values: Values) -> Iterator[tuple[Any, int]]:
    """A tuple has the indices of each of the first axes."""
    places = values.definition(call.args[1])
    yield from zip(getattr(places, "fields", ()), shape_of(call.args[0]), strict=False)


def _by_comparison(call: Any, values: Values) -> Iterator[tuple[Any, int]]:
    """What is held to each number from 0 on says which of so many places is meant."""
    for places, others in (call.args, reversed(call.args)):
        known = values.constant(others)
        if known is None or known.size < 2 or known.dtype.kind != "i":
            continue
        if np.array_equal(known.reshape(-1), np.arange(known.size)):
            yield places, int(known.size)


_INDEXED = {
    "equal": _by_comparison,
    "gather_elements": _by_axis,
    "gather_nd": _by_places,
    "index_put": _by_axes,
    "index_tensor": _by_axes,
    "scatter_elements": _by_axis,
    "scatter_nd": _by_places,
    "take": _by_axis,
}
"""By operator, its indices and what they have to be below."""


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
