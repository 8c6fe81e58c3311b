"""TopK: the elements along an axis, one after the other, without sorting them."""

from __future__ import annotations

import math
from typing import Any

from tvm import relax, te, tirx
from tvm.script.ir_builder import IRBuilder
from tvm.script.ir_builder import tirx as ir


def top_k(builder: Any, inputs: list[Any], attributes: dict[str, Any]) -> Any:
    """The converter of TopK: of equal elements the first comes first, whether sorted or not."""
    source = inputs[0]
    known = inputs[1].value.numpy().reshape(-1)[0] if len(inputs) > 1 else attributes["k"]
    count = int(known)
    shape = [int(extent.value) for extent in source.ty.shape]
    axis = int(attributes.get("axis", -1)) % len(shape)
    order = [*(a for a in range(len(shape)) if a != axis), axis]
    is_last = axis == len(shape) - 1
    if not is_last:
        source = builder.emit(relax.op.permute_dims(source, order))
    largest = bool(attributes.get("largest", 1))
    rows, extent = math.prod(shape) // shape[axis], shape[axis]
    dtype = str(source.ty.dtype.dtype)

    def compute(tensor: Any) -> Any:
        made = [*(shape[a] for a in order[:-1]), count]
        return te.extern(
            [made, made],
            [tensor],
            lambda ins, outs: _loops(ins[0], outs[0], outs[1], rows, extent, count, largest),
            dtype=[dtype, "int64"],
            name="top_k",
        )

    call = builder.emit_te(compute, source, primfunc_name_hint="top_k")
    results = [builder.emit(relax.TupleGetItem(call, i)) for i in range(2)]
    if not is_last:
        back = [order.index(a) for a in range(len(shape))]
        results = [builder.emit(relax.op.permute_dims(result, back)) for result in results]
    return relax.Tuple(results)


def _loops(
    source: Any, values: Any, places: Any, rows: int, extent: int, count: int, largest: bool
) -> Any:
    """For each rank, the best element that comes after the one before in the order."""
    with IRBuilder() as made:
        given, best, place = (ir.buffer_proxy(buffer) for buffer in (source, values, places))
        with ir.serial(0, rows) as row, ir.serial(0, count) as rank:
            at = row * count + rank
            place[at] = tirx.const(-1, "int64")
            with ir.serial(0, extent) as j:
                element = given[row * extent + j]

                def is_before(one: Any, other: Any) -> Any:
                    return one > other if largest else one < other

                previous = tirx.max(at - 1, 0)
                last, last_place = best[previous], place[previous]
                is_later = tirx.any(
                    rank == 0,
                    is_before(last, element),
                    tirx.all(last == element, tirx.Cast("int64", j) > last_place),
                )
                is_better = tirx.any(
                    place[at] < tirx.const(0, "int64"), is_before(element, best[at])
                )
                with ir.If(tirx.all(is_later, is_better)), ir.Then():
                    best[at] = element
                    place[at] = tirx.Cast("int64", j)
        return made.get()
