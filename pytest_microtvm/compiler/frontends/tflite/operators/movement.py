"""Elements that move as a whole: shapes, order of axes, margins, repetition."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import tflite
from tvm import relax

from pytest_microtvm.compiler.frontends.stacking import stacked
from pytest_microtvm.compiler.frontends.tflite.call import Call, Operand, constant
from pytest_microtvm.compiler.frontends.tflite.registry import operator
from pytest_microtvm.compiler.frontends.tflite.spectra import Complex


def reshaped(call: Call, data: Operand, shape: Sequence[int]) -> Any:
    """The elements in another shape."""
    call.require_same_quantization(data)
    if math.prod(shape) != math.prod(data.shape):
        raise call.refusal(f"it makes {tuple(shape)} of {data.shape}")
    if data.value is not None:
        return data.value.reshape(shape)
    if data.complex is not None:
        parts = (data.complex.real, data.complex.imaginary)
        return Complex(*(relax.op.reshape(part, list(shape)) for part in parts))
    return relax.op.reshape(data.expression, list(shape))


@operator("RESHAPE", versions=1, options="ReshapeOptions", reads=("NewShape",))
def reshape(call: Call) -> Any:
    """One extent may be -1: what is left."""
    data = call.input(0)
    wanted = list(call.options["NewShape"])
    if call.optional(1) is not None:
        wanted = call.output_shape(1)
    if wanted.count(-1) > 1:
        raise call.refusal(f"its shape {tuple(wanted)} is not known")
    if -1 in wanted:
        rest = math.prod(extent for extent in wanted if extent != -1)
        wanted[wanted.index(-1)] = math.prod(data.shape) // max(1, rest)
    return reshaped(call, data, wanted)


@operator("SQUEEZE", versions=2, options="SqueezeOptions", reads=("SqueezeDims",))
def squeeze(call: Call) -> Any:
    """Without certain axes of one, or without any."""
    data = call.input(0)
    axes = {axis % data.rank for axis in call.options["SqueezeDims"]}
    if not axes:
        axes = {axis for axis, extent in enumerate(data.shape) if extent == 1}
    if any(data.shape[axis] != 1 for axis in axes):
        raise call.refusal(f"it squeezes the axes {sorted(axes)} of {data.shape}")
    kept = [extent for axis, extent in enumerate(data.shape) if axis not in axes]
    return reshaped(call, data, kept)


@operator("EXPAND_DIMS", versions=1, options="ExpandDimsOptions")
def expand_dims(call: Call) -> Any:
    """With one more axis."""
    data = call.input(0)
    [axis] = call.integers(1, "its axis")
    if not -data.rank - 1 <= axis <= data.rank:
        raise call.refusal(f"its axis is {axis}")
    shape = list(data.shape)
    shape.insert(axis % (data.rank + 1), 1)
    return reshaped(call, data, shape)


@operator("TRANSPOSE", versions=6, options="TransposeOptions")
def transpose(call: Call) -> Any:
    """The axes in another order."""
    data = call.input(0)
    call.require_same_quantization(data)
    order = [axis % data.rank for axis in call.integers(1, "the order of its axes")]
    if data.value is not None:
        return np.ascontiguousarray(np.transpose(data.value, order))
    return relax.op.permute_dims(data.expression, order)


def flattened(pairs: Sequence[Sequence[int]]) -> list[int]:
    """All numbers in a row."""
    return [number for pair in pairs for number in pair]


def _margins(call: Call) -> list[list[int]]:
    margins = call.known(1, "how much it pads").reshape(-1, 2)
    if len(margins) != call.input(0).rank or margins.min(initial=0) < 0:
        raise call.refusal(f"it pads {call.input(0).shape} by {margins.tolist()}")
    return [[int(before), int(after)] for before, after in margins]


def _padded(call: Call, value: float) -> Any:
    data = call.input(0)
    margins = _margins(call)
    if data.value is not None:
        return np.pad(data.value, margins, constant_values=value)
    return relax.op.nn.pad(data.expression, flattened(margins), pad_value=value)


def _expression(values: Any) -> Any:
    return constant(values) if isinstance(values, np.ndarray) else values


@operator("PAD", versions=4, options="PadOptions")
def pad(call: Call) -> Any:
    """Margins of what stands for 0."""
    data = call.input(0)
    call.require_same_quantization(data)
    return _padded(call, 0 if data.quantization is None else data.quantization.zero_point)


@operator("PADV2", versions=4, options="PadV2Options")
def pad_v2(call: Call) -> Any:
    """Margins of a given value."""
    data, value = call.input(0), call.input(2)
    call.require_same_quantization(data, value)
    if value.value is not None:
        return _padded(call, value.value.reshape(-1)[0].item())
    is_inside = np.pad(np.ones(data.shape, bool), _margins(call))
    padded = call.emitted(_expression(_padded(call, 0)))
    return relax.op.where(constant(is_inside), padded, value.expression)


@operator("MIRROR_PAD", versions=3, options="MirrorPadOptions", reads=("Mode",))
def mirror_pad(call: Call) -> Any:
    """Margins that mirror what is next to them, with the edge or without."""
    data = call.input(0)
    call.require_same_quantization(data)
    is_reflected = call.options["Mode"] == tflite.MirrorPadMode.REFLECT
    result = data.expression
    for axis, (before, after) in enumerate(_margins(call)):
        if before or after:
            margins = (before, after)
            places = np.arange(data.shape[axis], dtype=np.int32)
            places = np.pad(places, margins, "reflect" if is_reflected else "symmetric")
            result = relax.op.take(result, constant(places), axis=axis, mode="clip")
    return result


@operator("TILE", versions=3, options="TileOptions")
def tile(call: Call) -> Any:
    """The whole tensor, repeated along each axis."""
    data = call.input(0)
    call.require_same_quantization(data)
    times = call.integers(1, "how often it repeats")
    if data.value is not None:
        return np.tile(data.value, times)
    return relax.op.tile(data.expression, times)


@operator("PACK", versions=4, options="PackOptions", reads=("Axis", "ValuesCount"))
def pack(call: Call) -> Any:
    """Tensors side by side along a new axis."""
    operands = call.operands
    call.require_same_quantization()
    if call.options["ValuesCount"] not in (0, len(operands)):
        raise call.refusal(f"it packs {call.options['ValuesCount']} of {len(operands)} tensors")
    axis = call.options["Axis"] % (operands[0].rank + 1)
    known = [operand.value for operand in operands if operand.value is not None]
    if len(known) == len(operands):
        return np.stack(known, axis)
    return stacked([operand.expression for operand in operands], axis)


@operator("UNPACK", versions=4, options="UnpackOptions", reads=("Axis", "Num"))
def unpack(call: Call) -> Any:
    """The slices along an axis, each a tensor without it."""
    data = call.input(0)
    call.require_same_quantization(data)
    axis, count = call.options["Axis"] % data.rank, call.options["Num"]
    if count != data.shape[axis] or count != len(call.outputs):
        raise call.refusal(f"it makes {count} tensors of {data.shape}")
    if data.value is not None:
        return [np.take(data.value, index, axis) for index in range(count)]
    shape = [extent for a, extent in enumerate(data.shape) if a != axis]
    source = call.emitted(data.expression)
    parts = [relax.op.strided_slice(source, [axis], [i], [i + 1]) for i in range(count)]
    return [relax.op.reshape(part, shape) for part in parts]


@operator(
    "CONCATENATION",
    versions=4,
    options="ConcatenationOptions",
    reads=("Axis", "FusedActivationFunction"),
)
def concatenation(call: Call) -> Any:
    """Tensors one after the other along an axis; those without elements are left out."""
    operands = [operand for operand in call.operands if 0 not in operand.shape]
    operands = operands or call.operands[:1]
    activation = call.activation()
    axis = call.options["Axis"] % operands[0].rank
    if call.output.dtype == "int16":
        call.require_same_quantization()  # TFLite joins these as they are stored
    known = [operand.value for operand in operands if operand.value is not None]
    if len(known) == len(operands) and activation == "NONE" and call.same_quantization():
        return np.concatenate(known, axis)
    if call.output.quantization is None or (known and call.same_quantization()):
        joined = relax.op.concat([operand.expression for operand in operands], axis)
        if call.output.quantization is None:
            return call.activated(joined, activation)
        return call.bounded(joined, activation)
    joined = relax.op.concat([operand.real for operand in operands], axis)
    return call.finished(joined, activation)


@operator("REVERSE_V2", versions=3, options="ReverseV2Options")
def reverse_v2(call: Call) -> Any:
    """The order of elements along axes turned around; of integers, whatever their scales.

    Converters give the result the scale of what it is joined to, and TFLite takes its integers.
    """
    data = call.input(0)
    result = data.expression
    for axis in call.integers(1, "its axes"):
        result = relax.op.flip(result, axis % data.rank)
    return result


# Blocks of images.


def _blocks(call: Call) -> int:
    size = call.options["BlockSize"]
    if size < 1:
        raise call.refusal(f"its blocks have {size} pixels")
    return int(size)


@operator("DEPTH_TO_SPACE", versions=2, options="DepthToSpaceOptions", reads=("BlockSize",))
def depth_to_space(call: Call) -> Any:
    """The channels of a pixel as a block of pixels."""
    data, size = call.input(0), _blocks(call)
    call.require_same_quantization(data)
    n, height, width, channels = data.shape
    rest = channels // (size * size)
    split = relax.op.reshape(data.expression, [n, height, width, size, size, rest])
    moved = relax.op.permute_dims(split, [0, 1, 3, 2, 4, 5])
    return relax.op.reshape(moved, [n, height * size, width * size, rest])


@operator("SPACE_TO_DEPTH", versions=2, options="SpaceToDepthOptions", reads=("BlockSize",))
def space_to_depth(call: Call) -> Any:
    """A block of pixels as the channels of one."""
    data, size = call.input(0), _blocks(call)
    call.require_same_quantization(data)
    n, height, width, channels = data.shape
    rows, columns = height // size, width // size
    split = relax.op.reshape(data.expression, [n, rows, size, columns, size, channels])
    moved = relax.op.permute_dims(split, [0, 1, 3, 2, 4, 5])
    return relax.op.reshape(moved, [n, rows, columns, size * size * channels])


@operator("SPACE_TO_BATCH_ND", versions=4, options="SpaceToBatchNDOptions")
def space_to_batch_nd(call: Call) -> Any:
    """Pixels of one place in each block as an image of their own."""
    data = call.input(0)
    call.require_same_quantization(data)
    blocks = call.integers(1, "its blocks")
    margins = call.known(2, "how much it pads").reshape(-1, 2).tolist()
    spatial = len(blocks)
    widths = [0, 0, *flattened(margins), *(0, 0) * (data.rank - 1 - spatial)]
    value = 0 if data.quantization is None else data.quantization.zero_point
    padded = data.expression
    if any(widths):
        padded = relax.op.nn.pad(padded, widths, pad_value=value)
    shape = [n + b + a for n, (b, a) in zip(data.shape, _pairs(widths), strict=True)]
    split = [shape[0]]
    for extent, block in zip(shape[1:], blocks, strict=False):
        split += [extent // block, block]
    rest = shape[1 + spatial :]
    inner = [2 + 2 * i for i in range(spatial)]
    outer = [1 + 2 * i for i in range(spatial)]
    order = [*inner, 0, *outer, *range(1 + 2 * spatial, 1 + 2 * spatial + len(rest))]
    moved = relax.op.permute_dims(relax.op.reshape(padded, [*split, *rest]), order)
    rows = [e // b for e, b in zip(shape[1:], blocks, strict=False)]
    return relax.op.reshape(moved, [shape[0] * math.prod(blocks), *rows, *rest])


@operator("BATCH_TO_SPACE_ND", versions=4, options="BatchToSpaceNDOptions")
def batch_to_space_nd(call: Call) -> Any:
    """Images as pixels of one place in each block; margins are cut off."""
    data = call.input(0)
    call.require_same_quantization(data)
    blocks = call.integers(1, "its blocks")
    crops = call.known(2, "how much it cuts off").reshape(-1, 2).tolist()
    spatial = len(blocks)
    n = data.shape[0] // math.prod(blocks)
    rest = list(data.shape[1 + spatial :])
    split = relax.op.reshape(data.expression, [*blocks, n, *data.shape[1:]])
    order = [spatial]
    for axis in range(spatial):
        order += [spatial + 1 + axis, axis]
    order += list(range(2 * spatial + 1, 2 * spatial + 1 + len(rest)))
    moved = relax.op.permute_dims(split, order)
    extents = [e * b for e, b in zip(data.shape[1:], blocks, strict=False)]
    result = relax.op.reshape(moved, [n, *extents, *rest])
    if not any(flattened(crops)):
        return result
    ends = [extent - after for extent, (_, after) in zip(extents, crops, strict=True)]
    starts = [before for before, _ in crops]
    return relax.op.strided_slice(result, list(range(1, 1 + spatial)), starts, ends)


def _pairs(values: Sequence[int]) -> list[tuple[int, int]]:
    return [(values[i], values[i + 1]) for i in range(0, len(values), 2)]
