"""Operators that move elements, drawn at random."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import tflite

from tests.operators.cases import (
    Case,
    Rng,
    _dtype,
    _either,
    _image,
    _moved,
    _quantization,
    _scale,
    _shape,
)
from tests.unit.compiler.tflite_models import Quantization

Draw = Callable[[Rng, Case], None]


def _known(rng: Rng, dtype: str) -> Quantization | None:
    return None if dtype == "float32" else _quantization(rng, dtype, _scale(rng))


def _rank(rng: Rng, low: int = 1, high: int = 4) -> int:
    return int(rng.integers(low, high, endpoint=True))


def _requantize_int32(rng: Rng, case: Case) -> None:
    shape = _shape(rng, _rank(rng))
    source = Quantization([_scale(rng, -12, -6)], [0])
    data = case.add_input(rng, shape, "int16", source)
    output = Quantization([_scale(rng, -24, -8)], [0])
    case.run("QUANTIZE", [data], [case.add(shape, "int32", output)])


def _gather(rng: Rng, case: Case) -> None:
    dtype, known = _moved(rng)
    shape = _shape(rng, _rank(rng))
    axis = int(rng.integers(len(shape)))
    batch = int(rng.integers(axis, endpoint=True))
    places = [*shape[:batch], *_shape(rng, _rank(rng, 0, 2), 1, 4)]
    data = case.add_input(rng, shape, dtype, known)
    extents = [*shape[:axis], *places[batch:], *shape[axis + 1 :]]
    if rng.random() < 0.5:
        index = case.constant(rng.integers(0, shape[axis], places))
    else:
        index = case.add_input(rng, places, "int32", None)
        for sample in case.samples:
            sample[-1] = rng.integers(0, shape[axis], places).astype(np.int32)
    result = case.add(extents, dtype, known)
    options = {"Axis": _either(rng, axis, len(shape)), "BatchDims": batch}
    case.run("GATHER", [data, index], [result], **options)


def _gather_nd(rng: Rng, case: Case) -> None:
    dtype, known = _moved(rng)
    shape = _shape(rng, _rank(rng))
    depth = _rank(rng, 1, len(shape))
    count = _rank(rng, 1, 5)
    places = np.stack([rng.integers(0, extent, count) for extent in shape[:depth]], 1)
    data = case.add_input(rng, shape, dtype, known)
    result = case.add([count, *shape[depth:]], dtype, known)
    case.run("GATHER_ND", [data, case.constant(places)], [result])


def _pack(rng: Rng, case: Case) -> None:
    dtype, known = _moved(rng)
    shape, count = _shape(rng, _rank(rng, 0, 3)), _rank(rng, 2, 4)
    axis = int(rng.integers(len(shape), endpoint=True))
    inputs = [case.add_input(rng, shape, dtype, known) for _ in range(count)]
    result = case.add([*shape[:axis], count, *shape[axis:]], dtype, known)
    options = {"Axis": _either(rng, axis, len(shape) + 1), "ValuesCount": count}
    case.run("PACK", inputs, [result], **options)


def _unpack(rng: Rng, case: Case) -> None:
    dtype, known = _moved(rng)
    shape = _shape(rng, _rank(rng, 2), 1, 4)
    axis = int(rng.integers(len(shape)))
    data = case.add_input(rng, shape, dtype, known)
    rest = [extent for a, extent in enumerate(shape) if a != axis]
    results = [case.add(rest, dtype, known) for _ in range(shape[axis])]
    options = {"Axis": _either(rng, axis, len(shape)), "Num": shape[axis]}
    case.run("UNPACK", [data], results, **options)


def _mirror_pad(rng: Rng, case: Case) -> None:
    dtype = _dtype(rng, "float32")
    known = _known(rng, dtype)
    shape = _shape(rng, _rank(rng), 2, 6)
    reflect = bool(rng.random() < 0.5)
    margins = [[int(rng.integers(n - reflect, endpoint=True)) for _ in range(2)] for n in shape]
    data = case.add_input(rng, shape, dtype, known)
    extents = np.array(shape) + np.array(margins).sum(axis=1)
    result = case.add(extents, dtype, known)
    mode = tflite.MirrorPadMode.REFLECT if reflect else tflite.MirrorPadMode.SYMMETRIC
    case.run("MIRROR_PAD", [data, case.constant(np.array(margins))], [result], Mode=mode)


def _space_to_batch(rng: Rng, case: Case) -> None:
    dtype = _dtype(rng, "float32")
    known = _known(rng, dtype)
    blocks = _shape(rng, 2, 1, 3)
    image = _image(rng, 1, 6)
    margins = []
    for extent, block in zip(image[1:3], blocks, strict=True):
        before = int(rng.integers(2, endpoint=True))
        margins.append([before, -(extent + before) % block])
    padded = [n + sum(m) for n, m in zip(image[1:3], margins, strict=True)]
    data = case.add_input(rng, image, dtype, known)
    rows = [n // b for n, b in zip(padded, blocks, strict=True)]
    result = case.add([image[0] * math.prod(blocks), *rows, image[3]], dtype, known)
    inputs = [data, case.constant(blocks), case.constant(np.array(margins))]
    case.run("SPACE_TO_BATCH_ND", inputs, [result])


def _batch_to_space(rng: Rng, case: Case) -> None:
    dtype = _dtype(rng, "float32")
    known = _known(rng, dtype)
    blocks = _shape(rng, 2, 1, 3)
    image = _image(rng, 1, 5)
    n = image[0] * math.prod(blocks)
    whole = [extent * block for extent, block in zip(image[1:3], blocks, strict=True)]
    crops = [[int(rng.integers(0, 2)), 0] if extent > 2 else [0, 0] for extent in whole]
    data = case.add_input(rng, [n, *image[1:]], dtype, known)
    extents = [extent - sum(crop) for extent, crop in zip(whole, crops, strict=True)]
    result = case.add([image[0], *extents, image[3]], dtype, known)
    inputs = [data, case.constant(blocks), case.constant(np.array(crops))]
    case.run("BATCH_TO_SPACE_ND", inputs, [result])


def _blocks(operator: str) -> Draw:
    def draw_case(rng: Rng, case: Case) -> None:
        dtype, known = _moved(rng)
        dtype, known = ("int8", _quantization(rng, "int8")) if dtype == "int16" else (dtype, known)
        size = int(rng.choice([2, 3]))
        n, height, width, channels = _image(rng, 1, 4)
        few = [n, height, width, channels * size * size]
        many = [n, height * size, width * size, channels]
        before, after = (few, many) if operator == "DEPTH_TO_SPACE" else (many, few)
        data = case.add_input(rng, before, dtype, known)
        case.run(operator, [data], [case.add(after, dtype, known)], BlockSize=size)

    return draw_case


def _broadcast_to(rng: Rng, case: Case) -> None:
    dtype, known = _moved(rng)
    shape = _shape(rng, _rank(rng))
    source = [1 if rng.random() < 0.5 else extent for extent in shape]
    data = case.add_input(rng, source, dtype, known)
    result = case.add(shape, dtype, known)
    case.run("BROADCAST_TO", [data, case.constant(shape)], [result])
    case.versions["BROADCAST_TO"] = 2


def _tile(rng: Rng, case: Case) -> None:
    dtype = _dtype(rng, "float32")
    known = _known(rng, dtype)
    shape, times = _shape(rng, 3, 1, 4), _shape(rng, 3, 1, 3)
    data = case.add_input(rng, shape, dtype, known)
    result = case.add(np.array(shape) * np.array(times), dtype, known)
    case.run("TILE", [data, case.constant(times)], [result])


def _slice(rng: Rng, case: Case) -> None:
    dtype, known = _moved(rng)
    shape = _shape(rng, _rank(rng, 1, 5), 1, 4)
    starts = [int(rng.integers(extent)) for extent in shape]
    sizes = [int(rng.integers(1, n - s, endpoint=True)) for n, s in zip(shape, starts, strict=True)]
    data = case.add_input(rng, shape, dtype, known)
    result = case.add(sizes, dtype, known)
    whole = [extent - start for extent, start in zip(shape, starts, strict=True)]
    stated = [
        -1 if size == rest and rng.random() < 0.5 else size
        for size, rest in zip(sizes, whole, strict=True)
    ]
    case.run("SLICE", [data, case.constant(starts), case.constant(stated)], [result])


def _split_v(rng: Rng, case: Case) -> None:
    dtype = _dtype(rng, "float32")
    known = _known(rng, dtype)
    shape, sizes = _shape(rng, _rank(rng)), _shape(rng, 3, 1, 3)
    axis = int(rng.integers(len(shape)))
    shape[axis] = sum(sizes)
    data = case.add_input(rng, shape, dtype, known)
    parts = [case.add([*shape[:axis], n, *shape[axis + 1 :]], dtype, known) for n in sizes]
    stated = [-1, *sizes[1:]] if rng.random() < 0.3 else sizes
    place = np.int32(_either(rng, axis, len(shape)))
    inputs = [data, case.constant(stated), case.constant(place)]
    case.run("SPLIT_V", inputs, parts, NumSplits=3)


def _reverse_v2(rng: Rng, case: Case) -> None:
    dtype = _dtype(rng, "float32")
    known = _known(rng, dtype)
    shape = _shape(rng, _rank(rng))
    data = case.add_input(rng, shape, dtype, known)
    axes = case.constant([_either(rng, int(rng.integers(len(shape))), len(shape))])
    said = known if rng.random() < 0.7 else _known(rng, dtype)
    case.run("REVERSE_V2", [data, axes], [case.add(shape, dtype, said)])


def _strided_masks(rng: Rng, case: Case) -> None:
    """STRIDED_SLICE as Python writes it: negative steps, masks, axes that go."""
    dtype, known = _moved(rng)
    shape = _shape(rng, _rank(rng), 1, 6)
    data = case.add_input(rng, shape, dtype, known)
    begins, ends, steps, kept = [], [], [], []
    masks = {"BeginMask": 0, "EndMask": 0, "ShrinkAxisMask": 0}
    for axis, extent in enumerate(shape):
        kind = rng.random()
        step = int(rng.choice([1, 1, 2, -1, -2]))
        begins.append(int(rng.integers(extent)))
        ends.append(0)
        if kind < 0.2:
            masks["ShrinkAxisMask"] |= 1 << axis
            masks["BeginMask"] |= (kind < 0.05) << axis  # then the element is the first one
            steps.append(1)
            ends[-1] = begins[-1] + 1
            continue
        steps.append(step)
        masks["EndMask"] |= 1 << axis
        if kind < 0.6:
            masks["BeginMask"] |= 1 << axis
            places = range(extent)[::step]
        else:
            places = range(extent)[begins[-1] :: step]
        kept.append(len(places))
    result = case.add(kept, dtype, known)
    bounds = [case.constant(values) for values in (begins, ends, steps)]
    case.run("STRIDED_SLICE", [data, *bounds], [result], **masks)


def _dynamic_update_slice(rng: Rng, case: Case) -> None:
    dtype = _dtype(rng, "float32")
    known = _known(rng, dtype)
    shape = _shape(rng, _rank(rng, 1, 3))
    part = [int(rng.integers(1, extent, endpoint=True)) for extent in shape]
    data = case.add_input(rng, shape, dtype, known)
    update = case.add_input(rng, part, dtype, known)
    start = case.add_input(rng, [len(shape)], "int32", None)
    for sample in case.samples:
        sample[-1] = rng.integers(-2, 8, len(shape)).astype(np.int32)
    case.run("DYNAMIC_UPDATE_SLICE", [data, update, start], [case.add(shape, dtype, known)])


def _expand_dims(rng: Rng, case: Case) -> None:
    dtype, known = _moved(rng)
    shape = _shape(rng, _rank(rng, 1, 3))
    axis = int(rng.integers(-len(shape) - 1, len(shape), endpoint=True))
    data = case.add_input(rng, shape, dtype, known)
    extents = list(shape)
    extents.insert(axis % (len(shape) + 1), 1)
    result = case.add(extents, dtype, known)
    case.run("EXPAND_DIMS", [data, case.constant(np.int32(axis))], [result])


def _cast(rng: Rng, case: Case) -> None:
    """Between any two types; of floats to integers, some are beyond these or no numbers."""
    types = ("float32", "int8", "uint8", "int16", "int32", "int64", "bool")
    source, target = (str(name) for name in rng.choice(types, 2, replace=False))
    shape = _shape(rng, _rank(rng, 0))
    if source != "int64":
        data = case.add_input(rng, shape, source, None)
    else:
        data = case.add(shape, source)
        case.inputs.append(data)
        for sample in case.samples:
            sample.append(rng.integers(-(2**40), 2**40, shape))
    if source == "float32":
        for sample in case.samples:
            beyond = rng.choice([-(10.0**19), -129.0, -1.5, 2.0**31, 10.0**19, np.nan], shape)
            chosen = rng.random(shape) < 0.2
            sample[-1] = np.where(chosen, beyond, sample[-1]).astype(np.float32)
    case.run("CAST", [data], [case.add(shape, target)])


def _top_k(rng: Rng, case: Case) -> None:
    """Bytes have equal elements, of which the first comes first."""
    dtype = _dtype(rng, "uint8", "int16", "float32")
    shape = _shape(rng, _rank(rng, 1, 3), 1, 8)
    count = int(rng.integers(1, shape[-1], endpoint=True))
    known = _known(rng, dtype)
    data = case.add_input(rng, shape, dtype, known)
    made = [*shape[:-1], count]
    results = [case.add(made, dtype, known), case.add(made, "int32")]
    case.run("TOPK_V2", [data, case.constant(np.int32(count))], results)


MOVING: dict[str, Draw] = {
    "requantize_int32": _requantize_int32,
    "gather": _gather,
    "gather_nd": _gather_nd,
    "pack": _pack,
    "unpack": _unpack,
    "mirror_pad": _mirror_pad,
    "space_to_batch_nd": _space_to_batch,
    "batch_to_space_nd": _batch_to_space,
    "depth_to_space": _blocks("DEPTH_TO_SPACE"),
    "space_to_depth": _blocks("SPACE_TO_DEPTH"),
    "broadcast_to": _broadcast_to,
    "tile": _tile,
    "slice": _slice,
    "split_v": _split_v,
    "reverse_v2": _reverse_v2,
    "strided_slice_masks": _strided_masks,
    "dynamic_update_slice": _dynamic_update_slice,
    "expand_dims": _expand_dims,
    "cast": _cast,
    "top_k": _top_k,
}
"""By the name of the operator."""
