"""Operators that are told at run time what they take, or what they fill in, drawn at random."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from tests.operators.cases import Array, Case, Rng, _moved, _shape

Draw = Callable[[Rng, Case], None]


def _given(rng: Rng, case: Case, lows: list[int], ends: list[int]) -> int:
    """An input of as many integers, each from its low on and below its end."""
    dtype = str(rng.choice(["int32", "int64"]))
    index = case.add([len(lows)], dtype)
    case.inputs.append(index)
    for sample in case.samples:
        sample.append(rng.integers(lows, ends).astype(dtype))
    return index


def _slice(rng: Rng, case: Case) -> None:
    dtype, known = _moved(rng)
    shape = _shape(rng, int(rng.integers(1, 5, endpoint=True)), 1, 4)
    sizes = [int(rng.integers(1, extent, endpoint=True)) for extent in shape]
    data = case.add_input(rng, shape, dtype, known)
    lasts = [extent - size + 1 for extent, size in zip(shape, sizes, strict=True)]
    start = _given(rng, case, [0] * len(shape), lasts)
    size_dtype = case.tensors[start].dtype.lower()
    size = case.add([len(sizes)], size_dtype, None, np.array(sizes, size_dtype))
    case.run("SLICE", [data, start, size], [case.add(sizes, dtype, known)])


def _elements(rng: Rng, case: Case) -> None:
    """STRIDED_SLICE as `x[i]`, `x[:, i]`, `x[None, i, ::2]`, `x[..., i]` are written."""
    dtype, known = _moved(rng)
    shape = _shape(rng, int(rng.integers(1, 4, endpoint=True)), 1, 5)
    data = case.add_input(rng, shape, dtype, known)
    masks = dict.fromkeys(("BeginMask", "EndMask", "EllipsisMask", "NewAxisMask"), 0)
    masks["ShrinkAxisMask"] = 0
    lows, ends, steps, kept, bit = [], [], [], [], 1
    computed = int(rng.integers(len(shape)))
    is_last = computed == len(shape) - 1 > 0 and rng.random() < 0.3
    if is_last:
        masks["EllipsisMask"] |= bit
        kept += shape[:computed]
    elif rng.random() < 0.3:
        masks["NewAxisMask"] |= bit
        kept.append(1)
    if kept:
        lows, ends, steps, bit = [0], [1], [1], 2
    for axis, extent in enumerate(shape):
        if is_last and axis != computed:
            continue
        steps.append(1)
        if axis == computed or rng.random() < 0.2:
            masks["ShrinkAxisMask"] |= bit
            lows.append(-extent)
            ends.append(extent)
        else:
            masks["BeginMask"] |= bit
            masks["EndMask"] |= bit
            steps[-1] = int(rng.choice([1, 2]))
            kept.append(-(-extent // steps[-1]))
            lows.append(0)
            ends.append(1)
        bit *= 2
    begin = case.add([len(lows)], "int32")
    case.inputs.append(begin)
    for sample in case.samples:
        sample.append(rng.integers(lows, ends).astype(np.int32))
    end = case.constant(ends)
    if rng.random() < 0.5:  # converters add 1 to the place
        end = case.add([len(lows)], "int32")
        case.step("ADD", [begin, case.constant([1] * len(lows))], [end])
    inputs = [data, begin, end, case.constant(steps)]
    case.run("STRIDED_SLICE", inputs, [case.add(kept, dtype, known)], **masks)


def _pad_v2(rng: Rng, case: Case) -> None:
    dtype, known = _moved(rng)
    shape = _shape(rng, int(rng.integers(1, 4, endpoint=True)), 1, 4)
    margins: Array = rng.integers(0, 3, (len(shape), 2))
    data = case.add_input(rng, shape, dtype, known)
    if rng.random() < 0.5:
        value = case.add_input(rng, [], dtype, known)
    else:
        stored = case.samples[0][0].reshape(-1)[:1].reshape(())
        value = case.add([], dtype, known, stored)
    result = case.add(np.array(shape) + margins.sum(axis=1), dtype, known)
    case.run("PADV2", [data, case.constant(margins), value], [result])


COMPUTED: dict[str, Draw] = {
    "slice_at_a_computed_place": _slice,
    "element_at_a_computed_place": _elements,
    "pad_v2": _pad_v2,
}
"""By the name of the operator."""
