"""What a report draws of an output that differs: how far it is off, where, and from which values.

Whatever the size of the output, a picture has a few thousand numbers at most.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

MAX_BINS = 41
"""Bins of the histogram."""
MAX_CELLS = 48
"""Rows, and columns, of the heat map."""
MAX_STEPS = 24
"""Steps of each axis of device against reference."""


@dataclass(frozen=True)
class Picture:
    """An output of which some element differs.

    Attributes:
        output: Its name.
        dtype: Its element type.
        shape: Its shape.
        elements: How many elements it has.
        mismatched: How many of them are outside the tolerance.
        not_finite: How many are NaN or infinite on either side; these are in no plot.
        histogram: How often the device is off by how much: (from, to, elements).
        heat_map: The largest absolute difference by place, row by row; the output as `layout` says.
        layout: What a row and a column of the heat map are.
        values: How often the device gave which value where the reference has which, of the elements
            that are outside the tolerance: (reference from, to, device from, to, elements).
    """

    output: str
    dtype: str
    shape: tuple[int, ...]
    elements: int
    mismatched: int
    not_finite: int
    histogram: tuple[tuple[float, float, int], ...]
    heat_map: tuple[tuple[float, ...], ...]
    layout: str
    values: tuple[tuple[float, float, float, float, int], ...]

    def to_data(self) -> dict[str, Any]:
        """The same, of plain types."""
        return dict(vars(self))


def draw(
    output: str,
    device: NDArray[np.generic],
    reference: NDArray[np.generic],
    wrong: NDArray[np.bool_],
) -> Picture:
    """Draw an output.

    Args:
        output: Its name.
        device: What the device gave.
        reference: What it should be; of the same shape and dtype.
        wrong: Which elements are outside the tolerance.
    """
    is_exact = reference.dtype.kind != "f"
    ours, theirs = device.astype(np.float64), reference.astype(np.float64)
    is_finite = np.isfinite(ours) & np.isfinite(theirs)
    with np.errstate(invalid="ignore", over="ignore"):
        off = np.where(is_finite, ours - theirs, 0.0)
    is_finite &= np.isfinite(off)
    off = np.where(is_finite, off, 0.0)
    shown = wrong & is_finite
    grid, layout = _as_grid(np.abs(off))
    return Picture(
        output=output,
        dtype=str(reference.dtype),
        shape=tuple(reference.shape),
        elements=int(reference.size),
        mismatched=int(np.count_nonzero(wrong)),
        not_finite=int(np.count_nonzero(~is_finite)),
        histogram=_histogram(off[is_finite], is_exact=is_exact),
        heat_map=tuple(tuple(map(_short, row)) for row in grid.tolist()),
        layout=layout,
        values=_values(ours[shown], theirs[shown]),
    )


def _histogram(off: NDArray[np.float64], *, is_exact: bool) -> tuple[tuple[float, float, int], ...]:
    if not off.size:
        return ()
    edges = _edges(off, MAX_BINS, is_exact=is_exact)
    counts, _ = np.histogram(off, edges)
    return tuple(
        (_short(low), _short(high), int(count))
        for low, high, count in zip(edges[:-1], edges[1:], counts, strict=True)
    )


def _edges(values: NDArray[np.float64], most: int, *, is_exact: bool) -> NDArray[np.float64]:
    """Borders of bins of one width; those of integers have whole numbers at their centres."""
    low, high = float(values.min()), float(values.max())
    if is_exact:
        width = max(1.0, math.ceil((high - low + 1) / most))
        count = max(1, math.ceil((high - low + 1) / width))
        return low - 0.5 + width * np.arange(count + 1, dtype=np.float64)
    if low == high:
        margin = abs(low) / 2 or 0.5
        low, high = low - margin, high + margin
    return np.linspace(low, high, most + 1, dtype=np.float64)


def _values(
    device: NDArray[np.float64], reference: NDArray[np.float64]
) -> tuple[tuple[float, float, float, float, int], ...]:
    if not device.size:
        return ()
    both = np.concatenate([device, reference])
    low, high = float(both.min()), float(both.max())
    edges = np.linspace(low, high if high > low else low + 1, MAX_STEPS + 1)
    counts, _, _ = np.histogram2d(reference, device, (edges, edges))
    return tuple(
        (
            _short(edges[column]),
            _short(edges[column + 1]),
            _short(edges[row]),
            _short(edges[row + 1]),
            int(counts[column, row]),
        )
        for column, row in np.argwhere(counts)
    )


def _as_grid(off: NDArray[np.float64]) -> tuple[NDArray[np.float64], str]:
    """An output as rows and columns, each cell the largest of the elements it stands for."""
    shape = [extent for extent in off.shape if extent > 1] or [1]
    flat = off.reshape(shape)
    if flat.ndim == 1:
        if flat.size <= MAX_CELLS:
            return flat.reshape(1, -1), "elements"
        return _pool(_folded(flat)), "elements, in lines"
    if flat.ndim == 2:
        return _pool(flat), "rows by columns"
    columns = flat.max(axis=-1)  # of all channels
    rows = columns.reshape(-1, columns.shape[-1])
    return _pool(rows), "rows by columns, the largest of all channels"


def _folded(flat: NDArray[np.float64]) -> NDArray[np.float64]:
    """A long row as lines of one length; what is missing of the last one is 0."""
    length = math.ceil(math.sqrt(flat.size))
    lines = math.ceil(flat.size / length)
    padded = np.zeros(length * lines)
    padded[: flat.size] = flat
    return padded.reshape(lines, length)


def _pool(grid: NDArray[np.float64]) -> NDArray[np.float64]:
    """A grid of at most `MAX_CELLS` rows and columns, each cell the largest of its elements."""
    for axis in (0, 1):
        step = math.ceil(grid.shape[axis] / MAX_CELLS)
        grid = np.maximum.reduceat(grid, np.arange(0, grid.shape[axis], step), axis=axis)
    return grid


def _short(number: float) -> float:
    """Four digits: nobody sees more in a plot."""
    return float(f"{number:.4g}")
