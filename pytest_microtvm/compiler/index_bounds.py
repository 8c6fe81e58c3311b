"""Keeps kernels inside their tensors, whatever indices they are given.

Indices that are computed as a model runs come from its inputs, and TVM's kernels read and write
where these say. A negative one is counted from the end, as in ONNX and PyTorch; one that is beyond
its axis is taken for the nearest on it. LiteRT and onnxruntime end the run there, which a kernel
cannot.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from pytest_microtvm.compiler.rewritten_calls import rewritten_calls


def bounded_indices() -> Any:
    """A Relax pass that brings the indices of what gathers and scatters into their axes."""
    return rewritten_calls(
        {
            "relax.gather_elements": _along_axis,
            "relax.gather_nd": _by_places,
            "relax.index_put": _by_axes,
            "relax.index_tensor": _by_axes,
            "relax.scatter_elements": _along_axis,
            "relax.scatter_nd": _by_places,
            "relax.take": _take,
        }
    )


def _inside(indices: Any, extents: Any, builder: Any) -> Any:
    """Indices of which each, or each of those along their last axis, is below an extent."""
    from tvm import relax

    dtype = str(indices.ty.dtype.dtype)
    if np.dtype(dtype).itemsize < 4:  # may not hold the extent
        indices, dtype = builder.emit(relax.op.astype(indices, "int32")), "int32"
    count = np.asarray(extents, dtype)
    known: Any = getattr(indices, "value", None)
    if hasattr(known, "numpy"):
        given = known.numpy()
        wrapped = np.where(given < 0, given + count, given)
        return relax.const(np.clip(wrapped, 0, count - 1).astype(dtype), dtype)
    emit, zero = builder.emit, relax.const(np.zeros((), dtype), dtype)
    is_negative = emit(relax.op.less(indices, zero))
    from_end = emit(relax.op.add(indices, relax.const(count, dtype)))
    indices = emit(relax.op.where(is_negative, from_end, indices))
    indices = emit(relax.op.maximum(indices, zero))
    return emit(relax.op.minimum(indices, relax.const(count - 1, dtype)))


def _take(call: Any, builder: Any) -> Any:
    from tvm import relax

    if str(call.attrs.mode) != "fast":
        return call
    data, indices = call.args
    axis = 0 if call.attrs.axis is None else int(call.attrs.axis)  # then it has one only
    indices = _inside(indices, _shape(data)[axis], builder)
    return relax.op.take(data, indices, axis=axis, mode="fast")


def _along_axis(call: Any, builder: Any) -> Any:
    data, indices, *rest = call.args
    return _again(call, data, _inside(indices, _shape(data)[int(call.attrs.axis)], builder), *rest)


def _by_places(call: Any, builder: Any) -> Any:
    """The last axis of the indices has one for each axis that is indexed."""
    data, indices, *rest = call.args
    first = int(getattr(call.attrs, "batch_dims", 0))
    extents = _shape(data)[first : first + _shape(indices)[-1]]
    return _again(call, data, _inside(indices, extents, builder), *rest)


def _by_axes(call: Any, builder: Any) -> Any:
    """A tuple has the indices of each of the first axes."""
    from tvm import relax

    data, places, *rest = call.args
    fields = [relax.TupleGetItem(places, i) for i in range(len(places.ty.fields))]
    if isinstance(places, relax.Tuple):
        fields = list(places.fields)
    extents = _shape(data)[: len(fields)]
    found = [_inside(field, extent, builder) for field, extent in zip(fields, extents, strict=True)]
    return _again(call, data, relax.Tuple(found), *rest)


def _shape(tensor: Any) -> list[int]:
    return [int(extent) for extent in tensor.ty.shape]


def _again(call: Any, *arguments: Any) -> Any:
    from tvm import relax

    return relax.Call(call.op, list(arguments), call.attrs)
