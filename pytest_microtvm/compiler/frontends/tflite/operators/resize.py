"""Images of another size."""

from __future__ import annotations

from typing import Any

from tvm import relax

from pytest_microtvm.compiler.frontends.tflite.call import Call
from pytest_microtvm.compiler.frontends.tflite.registry import operator

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
    mode = _mode(call)
    result = relax.op.image.resize2d(
        call.input(0).real, _size(call), None, "NHWC", "linear", mode, ""
    )
    return call.finished(result)


@operator(
    "RESIZE_NEAREST_NEIGHBOR", versions=4, options="ResizeNearestNeighborOptions", reads=_READS
)
def resize_nearest_neighbor(call: Call) -> Any:
    """Each pixel one of the others."""
    call.require_same_quantization(call.input(0))
    mode = _mode(call)
    rounding = "round_prefer_ceil" if mode == "half_pixel" else ""
    return relax.op.image.resize2d(
        call.input(0).expression, _size(call), None, "NHWC", "nearest_neighbor", mode, rounding
    )
