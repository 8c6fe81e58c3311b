"""The greatest or least elements of each row, one after the other, without sorting the row."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from tvm import relax, te, tirx
from tvm.script.ir_builder import IRBuilder
from tvm.script.ir_builder import tirx as ir


def top_k_of_rows(
    builder: Any, source: Any, shape: Sequence[int], count: int, places: str, largest: bool = True
) -> list[Any]:
    """Elements and their places along the last axis; of equal ones the first comes first.

    Args:
        builder: The block builder.
        source: The tensor.
        shape: Its extents.
        count: How many of each row.
        places: Element type of the places.
        largest: Whether the greatest are taken, not the least.
    """
    rows, extent = math.prod(shape[:-1]), shape[-1]
    made = [*shape[:-1], count]

    def compute(tensor: Any) -> Any:
        return te.extern(
            [made, made],
            [tensor],
            lambda ins, outs: _loops(ins[0], outs[0], outs[1], rows, extent, count, largest),
            dtype=[str(tensor.dtype), places],
            name="top_k",
        )

    call = builder.emit_te(compute, source, primfunc_name_hint="top_k")
    return [builder.emit(relax.TupleGetItem(call, i)) for i in range(2)]


def _loops(
    source: Any, values: Any, places: Any, rows: int, extent: int, count: int, largest: bool
) -> Any:
    """For each rank, the best element that comes after the one before in the order."""
    with IRBuilder() as made:
        given, best, place = (ir.buffer_proxy(buffer) for buffer in (source, values, places))
        kind = str(places.dtype)
        with ir.serial(0, rows) as row, ir.serial(0, count) as rank:
            at = row * count + rank
            place[at] = tirx.const(-1, kind)
            with ir.serial(0, extent) as j:
                element = given[row * extent + j]

                def is_before(one: Any, other: Any) -> Any:
                    return one > other if largest else one < other

                previous = tirx.max(at - 1, 0)
                last, last_place = best[previous], place[previous]
                is_later = tirx.any(
                    rank == 0,
                    is_before(last, element),
                    tirx.all(last == element, tirx.Cast(kind, j) > last_place),
                )
                is_better = tirx.any(place[at] < tirx.const(0, kind), is_before(element, best[at]))
                with ir.If(tirx.all(is_later, is_better)), ir.Then():
                    best[at] = element
                    place[at] = tirx.Cast(kind, j)
        return made.get()
