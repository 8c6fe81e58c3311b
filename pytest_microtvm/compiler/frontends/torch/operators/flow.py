"""Branches and loops: operators that run parts of the program."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pytest_microtvm.compiler.frontends.stacking import stacked
from pytest_microtvm.compiler.frontends.torch.call import Call, Refusal, Type, dtype_of, shape_of
from pytest_microtvm.compiler.frontends.torch.registry import operator
from pytest_microtvm.compiler.quantized.given import Branch, Loop, Subgraph

Nested = Any
"""A part of the program: `subgraph(inputs)`, and `results(inputs)` in place (see `converter`)."""


def _types(values: Sequence[Any]) -> list[Type]:
    return [(shape_of(value), dtype_of(value)) for value in values]


def _tensors(call: Call, values: Sequence[Any], types: Sequence[Any] = ()) -> list[Any]:
    """Operands as variables: numbers, too."""
    found = []
    for value in values:
        if isinstance(value, (bool, int, float)):
            raise Refusal("one of its operands is a number", "give it tensors")
        found.append(call.emit(value))
    return found


@operator("higher_order::cond")
def cond(call: Call, pred: Any, then: Nested, otherwise: Nested, operands: Sequence[Any]) -> Any:
    """One of two parts; both have the same results."""
    if isinstance(pred, bool):
        return (then if pred else otherwise).results(operands)
    values = _tensors(call, operands)
    first: Subgraph = then.subgraph(values)
    second: Subgraph = otherwise.subgraph(values)
    condition = call.emit(call.reshaped(pred, []))
    spec = Branch(first, second, dtype_of(condition))
    return call.kernel("branch", spec, [condition, *values], call.outputs)


@operator("higher_order::while_loop")
def while_loop(
    call: Call,
    condition: Nested,
    body: Nested,
    carried: Sequence[Any],
    others: Sequence[Any] = (),
) -> Any:
    """Steps as long as a condition holds."""
    values = _tensors(call, [*carried, *others])
    count = len(carried)
    holds, step = condition.subgraph(values), body.subgraph(values)
    spec = Loop(holds, step, tuple(range(count)))
    return call.kernel("loop", spec, values, _types(values[:count]))


@operator("higher_order::scan")
def scan(
    call: Call, combine: Nested, init: Sequence[Any], xs: Sequence[Any], others: Sequence[Any] = ()
) -> Any:
    """The same steps for each row, with values that are carried on; the steps are written out."""
    carried = list(init)
    rows: list[list[Any]] = []
    for step in range(shape_of(xs[0])[0]):
        made = combine.results([*carried, *_row(call, xs, step), *others])
        carried, found = made[: len(init)], made[len(init) :]
        rows.append(found)
    return [*carried, *_stacked(call, rows)]


@operator("higher_order::map_impl")
def map_rows(call: Call, body: Nested, xs: Sequence[Any], others: Sequence[Any] = ()) -> Any:
    """The same for each row."""
    count = shape_of(xs[0])[0]
    return _stacked(call, [body.results([*_row(call, xs, step), *others]) for step in range(count)])


def _row(call: Call, tensors: Sequence[Any], step: int) -> list[Any]:
    return [
        call.reshaped(call.part(tensor, 0, step, step + 1), shape_of(tensor)[1:])
        for tensor in tensors
    ]


def _stacked(call: Call, rows: Sequence[Sequence[Any]]) -> list[Any]:
    return [call.emit(stacked(column, 0)) for column in zip(*rows, strict=True)]
