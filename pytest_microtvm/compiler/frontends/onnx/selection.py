"""TopK along any axis."""

from __future__ import annotations

from typing import Any

from tvm import relax

from pytest_microtvm.compiler.frontends.top_k import top_k_of_rows


def top_k(builder: Any, inputs: list[Any], attributes: dict[str, Any]) -> Any:
    """The converter of TopK: of equal elements the first comes first, whether sorted or not."""
    source = inputs[0]
    known = inputs[1].value.numpy().reshape(-1)[0] if len(inputs) > 1 else attributes["k"]
    shape = [int(extent.value) for extent in source.ty.shape]
    axis = int(attributes.get("axis", -1)) % len(shape)
    order = [*(a for a in range(len(shape)) if a != axis), axis]
    is_last = axis == len(shape) - 1
    if not is_last:
        source = builder.emit(relax.op.permute_dims(source, order))
    moved = [shape[a] for a in order]
    largest = bool(attributes.get("largest", 1))
    results = top_k_of_rows(builder, source, moved, int(known), "int64", largest)
    if not is_last:
        back = [order.index(a) for a in range(len(shape))]
        results = [builder.emit(relax.op.permute_dims(result, back)) for result in results]
    return relax.Tuple(results)
