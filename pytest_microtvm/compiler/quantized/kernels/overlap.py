"""How close to its input a kernel's output may be in memory that both share.

A kernel works in steps: each reads a part of the input and writes a part of the output. What it
writes may be over what is not read any more. So it follows from what its steps read and write, in
their order, how many bytes there have to be between where input and output begin.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from pytest_microtvm.compiler.program import Overlap, align_up
from pytest_microtvm.compiler.quantized.specs import Conv2D, Convolution, DepthwiseConv2D

Offsets = npt.NDArray[np.int64]


def steps(count: int, size: int) -> list[int]:
    """Where steps of `size` begin that cover `count`; the last may cover some once more."""
    return [min(first, count - size) for first in range(0, count, size)]


def of_pixels(spec: Conv2D, starts: Sequence[int], pixels: int) -> tuple[Overlap, ...]:
    """Of a convolution of elements of a byte that computes some pixels at a time.

    Args:
        spec: The convolution.
        starts: The first pixel of each step, in the order of the steps.
        pixels: Pixels of each step.
    """
    _, out_height, out_width, out_channels = spec.output_shape
    numbers = np.array(starts, np.int64)[:, None] + np.arange(pixels)
    image, place = np.divmod(numbers, out_height * out_width)
    rows = _seen(spec, 0, place // out_width)
    columns = _seen(spec, 1, place % out_width)
    _, height, width, channels = spec.input_shape
    first = ((image * height + rows[0]) * width + columns[0]) * channels
    end = ((image * height + rows[1] - 1) * width + columns[1]) * channels
    sees = (rows[0] < rows[1]) & (columns[0] < columns[1])
    return _overlaps(
        np.where(sees, first, np.iinfo(np.int64).max).min(axis=1),
        np.where(sees, end, 0).max(axis=1),
        numbers[:, 0] * out_channels,
        (numbers[:, -1] + 1) * out_channels,
    )


def of_rows(spec: DepthwiseConv2D, starts: Sequence[int], rows: int) -> tuple[Overlap, ...]:
    """Of a convolution of elements of a byte that computes some whole rows at a time.

    Its steps may read rows of the image to their ends, also where no output sees these: kernels
    copy rows whole.

    Args:
        spec: The convolution.
        starts: The first row of each step within an image, in the order of the steps.
        rows: Rows of each step.
    """
    batches, out_height, out_width, out_channels = spec.output_shape
    _, height, width, channels = spec.input_shape
    image = np.repeat(np.arange(batches), len(starts))[:, None]
    numbers = np.tile(np.array(starts, np.int64), batches)[:, None] + np.arange(rows)
    seen = _seen(spec, 0, numbers)
    sees = seen[0] < seen[1]
    row_bytes, out_row_bytes = width * channels, out_width * out_channels
    first = (image * height + seen[0]) * row_bytes
    end = (image * height + seen[1]) * row_bytes
    written = (image * out_height + numbers) * out_row_bytes
    return _overlaps(
        np.where(sees, first, np.iinfo(np.int64).max).min(axis=1),
        np.where(sees, end, 0).max(axis=1),
        written[:, 0],
        written[:, -1] + out_row_bytes,
    )


def is_by_channels(spec: DepthwiseConv2D, rows: int) -> bool:
    """Whether a step of so many rows is all there is, and channels have their places in it.

    A kernel that goes from channel to channel then may write each over what it has read of it.
    """
    return spec.output_shape[:2] == (1, rows) and spec.output_shape[3] == spec.input_shape[3]


def _seen(spec: Convolution, axis: int, outputs: Offsets) -> tuple[Offsets, Offsets]:
    """Of rows (or columns) of outputs, the first of the image that they read, and the end.

    Rows in between are counted, whether a dilated kernel reads them or not.
    """
    window, extent = spec.window, spec.input_shape[1 + axis]
    first = outputs * window.strides[axis] - window.padding[axis]
    end = first + (window.shape[axis] - 1) * window.dilation[axis] + 1
    return np.maximum(first, 0), np.minimum(end, extent)


def _overlaps(
    reads: Offsets, reads_end: Offsets, writes: Offsets, writes_end: Offsets
) -> tuple[Overlap, ...]:
    """What follows from where the steps begin and end to read and to write, in bytes.

    A step may write before it reads.
    """
    output_bytes, input_bytes = int(writes_end.max()), int(reads_end.max())
    still_read = np.minimum.accumulate(reads[::-1])[::-1]
    still_read_end = np.maximum.accumulate(reads_end[::-1])[::-1]
    # What no step reads any more is beyond all that is written.
    before = int((writes_end - np.minimum(still_read, input_bytes + output_bytes)).max())
    behind = int((still_read_end - writes).max())
    found = []
    if align_up(max(0, before)) < output_bytes:
        found.append(Overlap(0, align_up(max(0, before))))
    if align_up(max(0, behind)) < input_bytes:
        found.append(Overlap(0, align_up(max(0, behind)), is_behind=True))
    return tuple(found)
