"""Recognizes pools and resizes of images, and says what their kernels do."""

from __future__ import annotations

from typing import Any

import numpy as np

from pytest_microtvm.compiler.quantized.even_specs import WEIGHT_BITS, Interpolated, Taps
from pytest_microtvm.compiler.quantized.intervals import values_of
from pytest_microtvm.compiler.quantized.recognise.matches import Match, Output, image_of
from pytest_microtvm.compiler.quantized.recognise.values import (
    Values,
    dtype_of,
    operator_name,
    shape_of,
)
from pytest_microtvm.compiler.quantized.specs import DepthwiseConv2D, Pool, Resize, Window
from pytest_microtvm.compiler.quantized.tensors import Activation

_MODES = ("align_corners", "asymmetric", "half_pixel")
_LAYOUTS = ("NHWC", "NCHW")
_POOLS = {"nn.avg_pool2d": "average", "nn.max_pool2d": "max"}


def match_widened_pool(values: Values, call: Any, low: int, high: int) -> Match | None:
    """A mean of integers that are widened for the sum, and narrowed again."""
    pool = values.call(call.args[0], "nn.avg_pool2d")
    widened = None if pool is None else values.call(pool.args[0], "astype")
    if widened is None or dtype_of(widened.args[0]) != dtype_of(call):
        return None
    return _pool(pool, widened.args[0], low, high, dtype_of(call))


def match_integer_pool(values: Values, call: Any, low: int, high: int) -> Match | None:
    """A maximum of integers."""
    return _pool(call, call.args[0], low, high, dtype_of(call))


def match_nearest(values: Values, call: Any, low: int, high: int) -> Match | None:
    """An image of integers in another size, each pixel that of the nearest place."""
    if str(call.attrs.method) != "nearest_neighbor":
        return None
    return _resize("nearest", call, call.args[0], dtype_of(call))


def match_bilinear(values: Values, call: Any, output: Output) -> Match | None:
    """An image in another size, its pixels interpolated."""
    source = values.activation(call.args[0])
    if source is None or source.dtype != output.dtype or str(call.attrs.method) != "linear":
        return None
    if output.is_even:
        return _interpolated(call, source, output)
    if source.quantization != output.quantization or source.dtype == "uint8":
        return None
    return _resize("bilinear", call, source.expression, output.dtype)


def _interpolated(call: Any, source: Activation, output: Output) -> Match | None:
    """The same to the nearest values, at any scale."""
    mode, layout = str(call.attrs.coordinate_transformation_mode), str(call.attrs.layout)
    if mode not in _MODES or layout not in _LAYOUTS:
        return None
    before, after = (image_of(shape_of(tensor), layout) for tensor in (source.expression, call))
    bits = WEIGHT_BITS[source.dtype]
    rows, columns = (_taps(before[axis], after[axis], mode, bits) for axis in (1, 2))
    factor = float(source.quantization.scale) / float(output.quantization.scale)
    reach = values_of(source.dtype, source.quantization.zero_point).reach << (2 * bits)
    spec = Interpolated(
        before,
        after,
        rows,
        columns,
        source.quantization.zero_point,
        bits,
        output.even([factor * 2.0 ** (-2 * bits)], reach),
        output.dtype,
    )
    return Match("resize_bilinear", spec, (source.expression,), layout == "NCHW")


def _taps(extent: int, size: int, mode: str, bits: int) -> Taps:
    at = np.arange(size, dtype=np.float64)
    if mode == "align_corners":
        places = at * (extent - 1) / max(1, size - 1)
    elif mode == "half_pixel":
        places = (at + 0.5) * extent / size - 0.5
    else:
        places = at * extent / size
    places = np.clip(places, 0, extent - 1)
    first = np.floor(places).astype(np.int32)
    weights = np.rint((places - first) * (1 << bits)).astype(np.int32)
    return Taps(first, np.minimum(first + 1, extent - 1).astype(np.int32), weights)


def _resize(kind: str, call: Any, image: Any, dtype: str) -> Match | None:
    mode = str(call.attrs.coordinate_transformation_mode)
    if mode not in _MODES:
        return None
    layout = str(call.attrs.layout)
    if layout not in _LAYOUTS:
        return None
    spec = Resize(
        kind,
        image_of(shape_of(image), layout),
        image_of(shape_of(call), layout),
        mode == "align_corners",
        mode == "half_pixel",
        dtype,
    )
    return Match(f"resize_{kind}", spec, (image,), layout == "NCHW")


def match_float_pool(values: Values, call: Any, output: Output) -> Match | None:
    """A pool between dequantization and quantization to the same scale."""
    source = values.activation(call.args[0])
    if source is None or source.dtype != output.dtype:
        return None
    is_average = _POOLS[operator_name(call)] == "average"
    if output.is_even and is_average and _counts_alike(call):
        return _means(call, source, output)
    if source.quantization != output.quantization:
        return None
    even_from = source.quantization.zero_point if output.is_even and is_average else None
    low, high = output.minimum, output.maximum
    return _pool(call, source.expression, low, high, output.dtype, even_from)


def _counts_alike(call: Any) -> bool:
    """Whether all windows of an average count as many taps: those in the padding, too."""
    attributes = call.attrs
    is_padded = any(int(extent) for extent in attributes.padding)
    is_plain = str(attributes.layout) in _LAYOUTS and not bool(attributes.ceil_mode)
    is_dense = all(int(extent) == 1 for extent in attributes.dilation)
    return is_plain and is_dense and (not is_padded or bool(attributes.count_include_pad))


def _means(call: Any, source: Activation, output: Output) -> Match:
    """Averages as convolutions of each channel, by weights of 1."""
    layout = str(call.attrs.layout)
    before, after = (image_of(shape_of(tensor), layout) for tensor in (source.expression, call))
    height, width = (int(extent) for extent in call.attrs.pool_size)
    strides = [int(extent) for extent in call.attrs.strides]
    padding = [int(extent) for extent in call.attrs.padding]
    count = height * width
    real = float(source.quantization.scale) / float(output.quantization.scale) / count
    sums = values_of(source.dtype, source.quantization.zero_point).summed(count)
    spec = DepthwiseConv2D(
        before,
        after,
        Window((height, width), (strides[0], strides[1]), (1, 1), (padding[0], padding[1])),
        np.ones((height, width, after[3]), "uint8" if source.dtype == "uint8" else "int8"),
        None,
        source.quantization.zero_point,
        output.even([real], sums.reach),
        source.dtype,
    )
    return Match("average_pool", spec, (source.expression,), layout == "NCHW")


def _pool(
    call: Any, image: Any, low: int, high: int, dtype: str, even_from: int | None = None
) -> Match | None:
    window = _window(call)
    if window is None:
        return None
    kind = _POOLS[operator_name(call)]
    layout = str(call.attrs.layout)
    before, after = (image_of(shape_of(tensor), layout) for tensor in (image, call))
    spec = Pool(kind, before, after, window, low, high, dtype, even_from)
    return Match(f"{kind}_pool", spec, (image,), layout == "NCHW")


def _window(call: Any) -> Window | None:
    attributes = call.attrs
    is_plain = str(attributes.layout) in _LAYOUTS and not bool(attributes.count_include_pad)
    if not is_plain or bool(attributes.ceil_mode):
        return None
    if any(int(extent) != 1 for extent in attributes.dilation):
        return None
    height, width = (int(extent) for extent in attributes.pool_size)
    strides = tuple(int(extent) for extent in attributes.strides)
    padding = [int(extent) for extent in attributes.padding]
    return Window((height, width), (strides[0], strides[1]), (1, 1), (padding[0], padding[1]))
