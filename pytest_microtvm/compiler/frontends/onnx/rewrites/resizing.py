"""Resize and Upsample: along one axis after the other, each a choice or a product.

Every mode is a linear function of the elements along an axis. Nearest neighbors are gathered; for
the others the weights are a matrix. Images that TVM resizes by itself are left to it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from pytest_microtvm.compiler.frontends.onnx.graph import Array, Builder, Rewrite
from pytest_microtvm.compiler.frontends.onnx.rewrites.quantized import attributes_of


@dataclass(frozen=True)
class _Mode:
    """How elements are found; the names are those of ONNX's attributes."""

    mode: str = "nearest"
    coordinate_transformation_mode: str = "asymmetric"
    nearest_mode: str = "floor"
    cubic_coeff_a: float = -0.75
    exclude_outside: bool = False
    antialias: bool = False


def _upsample(builder: Builder) -> bool:
    """Resize before it had its name."""
    shape = builder.graph.shape(builder.node.input[0])
    name = builder.input(1)
    scales = builder.attribute("scales") if name is None else builder.graph.constants.get(name)
    if shape is None or scales is None:
        return False
    mode = _Mode(builder.attribute("mode", "nearest"))
    sizes = [math.floor(extent * float(scale)) for extent, scale in zip(shape, scales, strict=True)]
    _resized(builder, shape, sizes, [float(scale) for scale in scales], mode)
    return True


def _resize(builder: Builder) -> bool:
    """What TVM does not resize: other axes than those of images, and rarer modes."""
    source = builder.node.input[0]
    shape = builder.graph.shape(source)
    if shape is None:
        return False
    if builder.graph.opset < 11:
        return _upsample(builder)
    mode = _Mode(
        builder.attribute("mode", "nearest"),
        builder.attribute("coordinate_transformation_mode", "half_pixel"),
        builder.attribute("nearest_mode", "round_prefer_floor"),
        float(builder.attribute("cubic_coeff_a", -0.75)),
        bool(builder.attribute("exclude_outside", 0)),
        bool(builder.attribute("antialias", 0)),
    )
    found = _extents(builder, shape)
    if found is None or mode.coordinate_transformation_mode == "tf_crop_and_resize":
        return False
    sizes, scales = found
    if _is_plain(builder, shape, sizes, scales, mode):
        return _without_empty_inputs(builder)
    _resized(builder, shape, sizes, scales, mode)
    return True


def _without_empty_inputs(builder: Builder) -> bool:
    """The node without the region, scales or sizes that are given as nothing."""
    known = builder.graph.constants
    names = list(builder.node.input)
    kept = [name if name not in known or known[name].size else None for name in names]
    if kept == names:
        return False
    builder.emit("Resize", kept, list(builder.node.output), **attributes_of(builder))
    return True


def _extents(builder: Builder, shape: tuple[int, ...]) -> tuple[list[int], list[float]] | None:
    """The extents of the result and the scales, for all axes; None when they are not known."""
    constants = builder.graph.constants
    given, wanted = (constants.get(builder.input(position) or "") for position in (2, 3))
    axes = [axis % len(shape) for axis in builder.attribute("axes", range(len(shape)))]
    sizes, scales = list(shape), [1.0] * len(shape)
    if wanted is not None and wanted.size:
        for axis, extent in zip(axes, wanted.tolist(), strict=True):
            sizes[axis], scales[axis] = int(extent), int(extent) / shape[axis]
        policy = builder.attribute("keep_aspect_ratio_policy", "stretch")
        if policy != "stretch":
            pick = max if policy == "not_smaller" else min
            scale = pick(scales[axis] for axis in axes)
            for axis in axes:
                scales[axis] = scale
                sizes[axis] = math.floor(scale * shape[axis] + 0.5)
    elif given is not None and given.size:
        for axis, scale in zip(axes, given.tolist(), strict=True):
            sizes[axis], scales[axis] = math.floor(shape[axis] * scale), float(scale)
    else:
        return None
    return sizes, scales


def _is_plain(
    builder: Builder,
    shape: tuple[int, ...],
    sizes: list[int],
    scales: list[float],
    mode: _Mode,
) -> bool:
    """Whether TVM's converter does the same: images of four axes, scales that sizes follow from."""
    if len(shape) != 4 or sizes[:2] != list(shape[:2]) or mode.antialias or mode.mode == "cubic":
        return False
    exact = all(
        size == extent * scale for size, extent, scale in zip(sizes, shape, scales, strict=True)
    )
    names = {entry.name for entry in builder.node.attribute}
    if not exact or names & {"axes", "keep_aspect_ratio_policy"}:
        return False
    if mode.mode == "nearest":
        return (mode.coordinate_transformation_mode, mode.nearest_mode) == ("asymmetric", "floor")
    return mode.coordinate_transformation_mode in ("half_pixel", "align_corners", "asymmetric")


def _resized(
    builder: Builder,
    shape: tuple[int, ...],
    sizes: list[int],
    scales: list[float],
    mode: _Mode,
) -> None:
    source = builder.node.input[0]
    for axis, (extent, size, scale) in enumerate(zip(shape, sizes, scales, strict=True)):
        if size == extent and scale == 1.0:
            continue
        places = _places(extent, size, scale, mode)
        if mode.mode == "nearest":
            rows = builder.constant(_nearest(places, extent, mode))
            source = builder.op("Gather", source, rows, axis=axis)
            continue
        weights = builder.constant(_weights(places, extent, scale, mode).T.astype(np.float32))
        order = [*range(len(shape))]
        order[axis], order[-1] = order[-1], order[axis]
        moved = axis != len(shape) - 1
        if moved:
            source = builder.transpose(source, order)
        source = builder.op("MatMul", source, weights)
        if moved:
            source = builder.transpose(source, order)
    builder.result(source)


def _places(extent: int, size: int, scale: float, mode: _Mode) -> Array:
    """Where each element of the result is in the source, in elements."""
    at = np.arange(size, dtype=np.float64)
    kind = mode.coordinate_transformation_mode
    if kind == "asymmetric":
        return at / scale
    if kind == "align_corners":
        return at * (extent - 1) / (size - 1) if size != 1 else np.zeros(size)
    if kind == "pytorch_half_pixel":
        return (at + 0.5) / scale - 0.5 if size > 1 else np.full(size, -0.5)
    if kind == "half_pixel_symmetric":
        whole = extent * scale
        offset = extent / 2 * (1 - size / whole)
        return offset + (at + 0.5) / scale - 0.5
    return (at + 0.5) / scale - 0.5


def _nearest(places: Array, extent: int, mode: _Mode) -> Array:
    kind = mode.nearest_mode
    if kind == "floor":
        rounded = np.floor(places)
    elif kind == "ceil":
        rounded = np.ceil(places)
    elif kind == "round_prefer_ceil":
        rounded = np.floor(places + 0.5)
    else:
        rounded = np.ceil(places - 0.5)
    return np.clip(rounded, 0, extent - 1).astype(np.int64)


def _weights(places: Array, extent: int, scale: float, mode: _Mode) -> Array:
    """The matrix (size, extent) of the weights."""
    stretch = max(1.0, 1.0 / scale) if mode.antialias else 1.0
    reach = (2 if mode.mode == "cubic" else 1) * stretch
    matrix = np.zeros((len(places), extent))
    for row, place in enumerate(places):
        first, last = math.floor(place - reach) + 1, math.ceil(place + reach) - 1
        taps = np.arange(first, max(first, last) + 1)
        values = _kernel(np.abs(taps - place) / stretch, mode)
        if mode.exclude_outside:
            values = np.where((taps < 0) | (taps >= extent), 0.0, values)
            values = values / values.sum()
        elif values.sum():
            values = values / values.sum()
        np.add.at(matrix[row], np.clip(taps, 0, extent - 1), values)
    return matrix


def _kernel(distance: Array, mode: _Mode) -> Array:
    if mode.mode != "cubic":
        linear: Array = np.maximum(1 - distance, 0)
        return linear
    a = mode.cubic_coeff_a
    near = ((a + 2) * distance - (a + 3)) * distance**2 + 1
    far = ((a * distance - 5 * a) * distance + 8 * a) * distance - 4 * a
    return np.where(distance <= 1, near, np.where(distance < 2, far, 0.0))


REWRITES: dict[str, Rewrite] = {"Resize": _resize, "Upsample": _upsample}
