"""Fourier transforms of known lengths: products with matrices of cosines and sines."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from pytest_microtvm.compiler.frontends.onnx.graph import Builder, Rewrite

_MOST_ELEMENTS = 1 << 20
"""Of a matrix: longer transforms would not fit a microcontroller."""


def _stft(builder: Builder) -> bool:
    """Frames of a real signal, gathered, by one matrix that has the window in it."""
    graph = builder.graph
    signal, step, window, length = (builder.input(position) for position in range(4))
    shape = None if signal is None else graph.shape(signal)
    known = graph.constants
    if signal is None or shape is None or shape[-1:] != (1,) or step not in known:
        return False
    if any(name is not None and name not in known for name in (window, length)):
        return False
    weights = None if window is None else known[window].astype(np.float64)
    if length is None and weights is None:
        return False
    extent = int(known[length]) if length is not None else len(weights)  # type: ignore[arg-type]
    stride = int(known[step])
    frames = (shape[1] - extent) // stride + 1
    if extent < 1 or stride < 1 or frames < 1:
        return False
    bins = extent // 2 + 1 if builder.attribute("onesided", 1) else extent
    matrix = _basis(extent, bins, is_inverse=False)[0]
    if matrix.size > _MOST_ELEMENTS or (weights is not None and len(weights) != extent):
        return False
    if weights is not None:
        matrix = matrix * weights[:, None]
    places = stride * np.arange(frames)[:, None] + np.arange(extent)
    rows = builder.reshape(signal, shape[:2])
    framed = builder.op("Gather", rows, builder.constant(places.astype(np.int64)), axis=1)
    product = builder.op("MatMul", framed, builder.constant(matrix.astype(np.float32)))
    builder.result(builder.reshape(product, (shape[0], frames, bins, 2)))
    return True


def _dft(builder: Builder) -> bool:
    """The transform along one axis, which is made the last for that."""
    graph = builder.graph
    source, length, axis_name = (builder.input(position) for position in range(3))
    shape = None if source is None else graph.shape(source)
    known = graph.constants
    if source is None or shape is None or shape[-1] not in (1, 2):
        return False
    if any(name is not None and name not in known for name in (length, axis_name)):
        return False
    rank = len(shape)
    # In version 17 it is an attribute, in later ones an input.
    axis = int(builder.attribute("axis", 1 if graph.opset < 20 else -2))
    axis = (axis if axis_name is None else int(known[axis_name])) % rank
    is_inverse, is_onesided = (bool(builder.attribute(n, 0)) for n in ("inverse", "onesided"))
    is_real = is_inverse and is_onesided  # back from one half of the bins to a real signal
    whole = 2 * (shape[axis] - 1) if is_real else shape[axis]
    extent = whole if length is None else int(known[length])
    if extent < 1 or axis == rank - 1:
        return False
    bins = extent // 2 + 1 if is_onesided and not is_inverse else extent
    given = extent // 2 + 1 if is_real else extent
    used = min(given, shape[axis])  # what is cut off, or would be padded by zeros
    parts = [part[:used] for part in _basis(extent, bins, is_inverse)][: shape[-1]]
    matrix = np.stack(parts, axis=1).reshape(used * shape[-1], 2 * bins)
    if is_real:
        is_alone = np.isin(np.arange(used), [0, extent / 2])  # has no twin in the other half
        matrix = matrix[:, ::2] * np.repeat(np.where(is_alone, 1.0, 2.0), shape[-1])[:, None]
    if matrix.size > _MOST_ELEMENTS:
        return False
    if used < shape[axis]:
        source = builder.slice(source, axis, 0, used)
    outer = [place for place in range(rank - 1) if place != axis]
    turned = builder.transpose(source, [*outer, axis, rank - 1])
    kept = [shape[place] for place in outer]
    rows = builder.reshape(turned, [*kept, used * shape[-1]])
    product = builder.op("MatMul", rows, builder.constant(matrix.astype(np.float32)))
    split = builder.reshape(product, [*kept, bins, matrix.shape[1] // bins])
    back = [*outer, axis, rank - 1]
    builder.result(builder.transpose(split, [back.index(place) for place in range(rank)]))
    return True


def _basis(extent: int, bins: int, is_inverse: bool) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """By element and bin, the parts that a real one and an imaginary one give.

    Each column is of a real part, then of an imaginary part, and so on.
    """
    turns = np.outer(np.arange(extent), np.arange(bins)) % extent / extent
    angles = 2 * np.pi * turns * (1 if is_inverse else -1)
    cosines, sines = np.cos(angles), np.sin(angles)
    scale = 1 / extent if is_inverse else 1.0
    real = np.stack([cosines, sines], axis=-1).reshape(extent, 2 * bins) * scale
    imaginary = np.stack([-sines, cosines], axis=-1).reshape(extent, 2 * bins) * scale
    return real, imaginary


REWRITES: dict[str, Rewrite] = {"DFT": _dft, "STFT": _stft}
