"""Images of another size."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from tvm import relax

from pytest_microtvm.compiler.frontends.tflite.call import Call, constant
from pytest_microtvm.compiler.frontends.tflite.graph import Array
from pytest_microtvm.compiler.frontends.tflite.registry import operator
from pytest_microtvm.compiler.quantized.arithmetic import round_away

_READS = ("AlignCorners", "HalfPixelCenters")


def _size(call: Call) -> list[int]:
    size = call.integers(1, "the size of its output")
    if len(size) != 2 or min(size) < 1:
        raise call.refusal(f"it makes images of the size {size}")
    return size


def _mode(call: Call) -> str:
    align, half = bool(call.options["AlignCorners"]), bool(call.options["HalfPixelCenters"])
    if align and half:
        raise call.refusal("it aligns corners and has half pixel centers, too")
    return "align_corners" if align else "half_pixel" if half else "asymmetric"


@operator("RESIZE_BILINEAR", versions=4, options="ResizeBilinearOptions", reads=_READS)
def resize_bilinear(call: Call) -> Any:
    """Each pixel between four others."""
    data, mode, size = call.input(0), _mode(call), _size(call)
    # Kernels over integers take such an axis as it is; TVM divides by 0.
    if mode == "align_corners" and 1 in size and data.dtype not in ("int8", "int16"):
        return call.finished(_between_lines(call, size))
    result = relax.op.image.resize2d(data.real, size, None, "NHWC", "linear", mode, "")
    return call.finished(result)


def _between_lines(call: Call, size: Sequence[int]) -> Any:
    """Bilinear by rows and columns that are known: an axis of one pixel has no two corners."""
    image = call.input(0).real
    for axis, extent in ((1, size[0]), (2, size[1])):
        count = call.input(0).shape[axis]
        step = (count - 1) / (extent - 1) if extent > 1 else count / extent
        at = (np.arange(extent) * np.float32(step)).astype(np.float32)
        low = np.clip(np.floor(at).astype(np.int32), 0, count - 1)
        high = np.minimum(low + 1, count - 1)
        shape = [extent if a == axis else 1 for a in range(4)]
        part = constant((at - low).astype(np.float32).reshape(shape))
        image = call.emitted(image)
        first, second = (
            call.emitted(relax.op.take(image, constant(places), axis=axis, mode="clip"))
            for places in (low, high)
        )
        difference = relax.op.multiply(relax.op.subtract(second, first), part)
        image = relax.op.add(first, difference)
    return image


@operator(
    "RESIZE_NEAREST_NEIGHBOR", versions=4, options="ResizeNearestNeighborOptions", reads=_READS
)
def resize_nearest_neighbor(call: Call) -> Any:
    """Each pixel one of the others."""
    data, mode, size = call.input(0), _mode(call), _size(call)
    call.require_same_quantization(data)
    if data.is_quantized:
        rounding = "round_prefer_ceil" if mode == "half_pixel" else ""
        return relax.op.image.resize2d(
            data.expression, size, None, "NHWC", "nearest_neighbor", mode, rounding
        )
    result = data.expression
    for axis, extent in ((1, size[0]), (2, size[1])):
        places = constant(_nearest(data.shape[axis], extent, mode))
        result = relax.op.take(result, places, axis=axis, mode="clip")
    return result


def _nearest(count: int, extent: int, mode: str) -> Array:
    """Of each pixel of an axis, which one it is; in float32, as TFLite computes it."""
    scale = np.float32(count) / np.float32(extent)
    if mode == "align_corners" and extent > 1:
        scale = np.float32(count - 1) / np.float32(extent - 1)
    offset = np.float32(0.5 if mode == "half_pixel" else 0.0)
    at = ((np.arange(extent).astype(np.float32) + offset) * scale).astype(np.float32)
    places = round_away(at) if mode == "align_corners" else np.floor(at)
    return np.clip(places, 0, count - 1).astype(np.int32)
