"""Operators that make planes larger or smaller."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from tvm import relax

from pytest_microtvm.compiler.frontends.torch.call import Call, shape_of
from pytest_microtvm.compiler.frontends.torch.operators.movement import taken
from pytest_microtvm.compiler.frontends.torch.registry import operator


@operator("upsample_nearest2d")
def upsample_nearest(
    call: Call,
    input: Any = None,  # noqa: A002
    x: Any = None,
    output_size: Any = None,
    scale_factors: Any = None,
    scales_h: Any = None,
    scales_w: Any = None,
) -> Any:
    """The nearest element below each place."""
    source = input if input is not None else x
    if is_whole(shape_of(source)[2:], call.shape[2:]):
        return relax.op.image.resize2d(
            source, call.shape[2:], None, "NCHW", "nearest_neighbor", "asymmetric", "floor"
        )
    for axis, scale in zip((2, 3), scale_factors or (scales_h, scales_w), strict=True):
        extent, made = shape_of(source)[axis], call.shape[axis]
        numbers = torch.arange(extent, dtype=torch.float64)[None, None]
        chosen = torch.ops.aten.upsample_nearest1d(numbers, [made], scale)
        source = call.emit(taken(call, source, chosen.reshape(-1).long().numpy(), axis))
    return source


@operator("upsample_bilinear2d")
def upsample_bilinear(
    call: Call,
    input: Any = None,  # noqa: A002
    x: Any = None,
    output_size: Any = None,
    align_corners: bool = False,
    scale_factors: Any = None,
    scales_h: Any = None,
    scales_w: Any = None,
) -> Any:
    """Means of the four nearest elements; scales are as the sizes say (see `program`)."""
    mode = "align_corners" if align_corners else "half_pixel"
    source = input if input is not None else x
    return relax.op.image.resize2d(source, call.shape[2:], None, "NCHW", "linear", mode, "")


def is_whole(extents: Sequence[int], made: Sequence[int]) -> bool:
    """Whether planes become a whole number of times as large."""
    return all(count % extent == 0 for extent, count in zip(extents, made, strict=True))
