"""Padding of windows that slide over images."""

from __future__ import annotations

from collections.abc import Sequence

import tflite

from pytest_microtvm.compiler.frontends.tflite.call import Call


def padding_of(
    call: Call, image: Sequence[int], taps: Sequence[int], strides: Sequence[int]
) -> list[int]:
    """Rows and columns of padding: top, left, bottom, right.

    Args:
        call: Has the option "Padding".
        image: Height and width.
        taps: Rows and columns that a window reaches over, dilation included.
        strides: Vertical and horizontal.
    """
    kind = call.options["Padding"]
    if kind == tflite.Padding.VALID:
        return [0, 0, 0, 0]
    if kind != tflite.Padding.SAME:
        raise call.refusal(f"it has the padding {kind}, which is not known")
    (top, bottom), (left, right) = (
        same_padding(*extents) for extents in zip(image, taps, strides, strict=True)
    )
    return [top, left, bottom, right]


def same_padding(extent: int, taps: int, stride: int) -> tuple[int, int]:
    """What padding SAME puts before and after an axis."""
    outputs = -(-extent // stride)
    total = max(0, (outputs - 1) * stride + taps - extent)
    return total // 2, total - total // 2
