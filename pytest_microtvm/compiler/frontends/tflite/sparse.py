"""Sparse constants of TFLite: compressed dimension by dimension, possibly in blocks."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import tflite

Array = npt.NDArray[Any]


def densified(values: Array, sparsity: Any, shape: tuple[int, ...]) -> Array:
    """A sparse tensor with its zeros.

    Args:
        values: What is stored, in the order of traversal.
        sparsity: The `tflite.SparsityParameters`.
        shape: Of the tensor.

    Raises:
        ValueError: The parameters do not fit each other.
    """
    order = [int(axis) for axis in sparsity.TraversalOrderAsNumpy()]
    rank = len(shape)
    blocks = [int(axis) for axis in np.atleast_1d(sparsity.BlockMapAsNumpy())]
    blocks = blocks if sparsity.BlockMapLength() else []
    levels = [_Level(sparsity.DimMetadata(i)) for i in range(sparsity.DimMetadataLength())]
    if len(order) != len(levels) or sorted(order) != list(range(rank + len(blocks))):
        raise ValueError("sparse dimensions")
    block_sizes = {
        rank + number: levels[order.index(rank + number)].size for number in range(len(blocks))
    }
    result = np.zeros(shape, values.dtype)
    count = 0
    for place in _places(levels, 0, 0):
        at = dict(zip(order, place, strict=True))
        index = [at[axis] for axis in range(rank)]
        for number, axis in enumerate(blocks):
            index[axis] = index[axis] * block_sizes[rank + number] + at[rank + number]
        result[tuple(index)] = values[count]
        count += 1
    if count != values.size:
        raise ValueError("sparse values")
    return result


class _Level:
    """How the indices along a dimension are stored."""

    def __init__(self, metadata: Any) -> None:
        self.is_dense = metadata.Format() == tflite.DimensionType.DENSE
        self.size = int(metadata.DenseSize())
        self.segments = self.indices = np.zeros(0, np.int64)
        if not self.is_dense:
            self.segments = _vector(metadata.ArraySegmentsType(), metadata.ArraySegments())
            self.indices = _vector(metadata.ArrayIndicesType(), metadata.ArrayIndices())


def _vector(kind: int, table: Any) -> npt.NDArray[np.int64]:
    names = {1: tflite.Int32Vector, 2: tflite.Uint16Vector, 3: tflite.Uint8Vector}
    vector = names[kind]()
    vector.Init(table.Bytes, table.Pos)
    return np.array(vector.ValuesAsNumpy(), np.int64)


def _places(levels: list[_Level], depth: int, parent: int) -> Any:
    """The indices of all stored elements, in the order of traversal."""
    if depth == len(levels):
        yield ()
        return
    level = levels[depth]
    if level.is_dense:
        children = ((parent * level.size + i, i) for i in range(level.size))
    else:
        span = range(int(level.segments[parent]), int(level.segments[parent + 1]))
        children = ((i, int(level.indices[i])) for i in span)
    for position, index in children:
        for rest in _places(levels, depth + 1, position):
            yield (index, *rest)
