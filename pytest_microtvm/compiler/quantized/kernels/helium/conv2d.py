"""Convolutions by Helium: 16 products of int8 an instruction.

Two pixels meet three output channels at a time, 16 taps after 16; a vector of weights serves both
pixels. Their sums go to memory, from where 16 outputs at a time are scaled.

Where the taps of a pixel do not lie side by side, what one row of outputs sees is copied: column
after column of the image, in each the rows under the kernel. A pixel's taps are a run of whole
columns then, neighbors share them, and padding is a matter of the copy.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pytest_microtvm.compiler.quantized.kernels.accumulators import Sums
from pytest_microtvm.compiler.quantized.kernels.c_text import Text
from pytest_microtvm.compiler.quantized.kernels.helium.products import write_products
from pytest_microtvm.compiler.quantized.kernels.helium.scaling import (
    HeliumScaling,
    channel_order,
    plan_helium_scaling,
)
from pytest_microtvm.compiler.quantized.kernels.overlap import of_pixels
from pytest_microtvm.compiler.quantized.kernels.patch import is_flat, starts
from pytest_microtvm.compiler.quantized.kernels.text import Constants
from pytest_microtvm.compiler.quantized.specs import Conv2D, KernelSource, Role

_VECTOR = 16
_UNROLLED = 9
_SECTION = 128  # output channels whose sums are kept at once
_SCATTERED_CHANNELS = 8
_LAYOUT = (
    "a few output channels at a time, for these 16 taps of one channel after the other; taps in "
    "the order of width, height and input channel, channels in the order in which vectors of 4 "
    "sums interleave to 16 outputs"
)
_FARTHEST = 254  # greatest offset of a scattered byte


@dataclass(frozen=True)
class _Plan:
    """How one kernel works.

    Args:
        spec: The convolution.
        scaling: Of its sums.
        pixels: Pixels at a time.
        channels: Output channels at a time.
        section: Output channels whose sums are kept at once.
        row: Pixels of a row of outputs; all of them where these follow each other in memory.
        step: Bytes from the taps of a pixel to those of its neighbor.
        copies: Whether rows are copied.
    """

    spec: Conv2D
    scaling: HeliumScaling
    pixels: int
    channels: int
    section: int
    row: int
    step: int
    copies: bool

    @property
    def taps(self) -> int:
        """Taps of a pixel."""
        return int(np.prod(self.spec.weights.shape[1:]))

    @property
    def columns(self) -> int:
        """Columns that a row of outputs sees."""
        return self.spec.window.columns_seen(self.spec.output_shape[2])

    @property
    def sum_bytes(self) -> int:
        """Memory for sums, a multiple of 16."""
        return -(-4 * self.pixels * self.section // _VECTOR) * _VECTOR

    @property
    def blocks(self) -> list[tuple[int, int]]:
        """How many blocks of how many channels make a section."""
        size = self.channels
        count, rest = divmod(self.section, size)
        if size == 3 and rest == 1 and count:
            return [(count - 1, 3), (2, 2)]  # four channels by two blocks
        return [(count, size), (1, rest)]


def plan(spec: Conv2D) -> _Plan | None:
    """How to compute a convolution of int8 with weights of zero point 0; None if not so."""
    window = spec.window
    if window.dilation[1] != 1 and window.shape[1] > 1:
        return None
    weights = spec.weights.reshape(len(spec.weights), -1)
    sums = Sums.of(weights, spec.bias, spec.input_zero_point)
    scaling = plan_helium_scaling(spec.requantization, sums)
    if scaling is None:
        return None
    out_width = spec.output_shape[2]
    row, step, copies = out_width, window.strides[1] * spec.input_shape[3], False
    if is_flat(spec):
        row, step = int(np.prod(spec.output_shape[:3])), spec.input_shape[3]
    elif not _is_direct(spec):
        step, copies = step * window.shape[0], True
    pixels = min(2, row)
    section = len(weights)
    if section > _SECTION:
        sizes = [n for n in range(_VECTOR, _SECTION + 1, _VECTOR) if section % n == 0]
        section = max(sizes, default=section)
    channels = 3 if pixels == 2 else 6
    return _Plan(spec, scaling, pixels, min(channels, section), section, row, step, copies)


def _is_direct(spec: Conv2D) -> bool:
    """Whether the taps of a pixel lie side by side in the image."""
    is_inside = spec.window.is_inside(spec.input_shape, spec.output_shape)
    return spec.window.shape[0] == 1 and is_inside


def conv2d(plan: _Plan) -> KernelSource:
    """The kernel of a plan."""
    spec = plan.spec
    constants: Constants = [_ordered(plan), plan.scaling.parameters()]
    order = channel_order(len(spec.weights))
    constants += [shifts[order] for shifts in plan.scaling.wide_shifts()]
    text = Text()
    text.add("int32_t *const all_sums = (int32_t *)(void *)workspace;")
    batches, height, width, channels = spec.input_shape
    out_height, _, out_channels = spec.output_shape[1:]
    if is_flat(spec):
        text.add("const int8_t *const taps = input0;", "int8_t *const outputs = output;")
        _write_row(text, plan)
    else:
        with text.repeated("image", batches), text.repeated("y", out_height):
            pixel = f"(image * {out_height} + y) * {plan.row * out_channels}"
            text.add(f"int8_t *const outputs = output + {pixel};")
            source = f"input0 + image * {height * width * channels}"
            if plan.copies:
                text.add(f"int8_t *const taps = (int8_t *)workspace + {plan.sum_bytes};")
                _write_copy(text, plan, source, constants)
            else:
                line = spec.window.strides[0] * width * channels
                text.add(f"const int8_t *const taps = {source} + y * {line};")
            _write_row(text, plan)
    copied = plan.columns * spec.window.shape[0] * channels if plan.copies else 0
    # A step is a few pixels, or a row whose taps are copied before.
    pixels = plan.pixels if is_flat(spec) else plan.row
    return KernelSource(
        input_dtypes=("int8",),
        constants=tuple(constants),
        output_dtype="int8",
        body=str(text),
        workspace_bytes=plan.sum_bytes + copied,
        overlaps=of_pixels(spec, starts(spec, pixels), pixels),
        macs=int(np.prod(spec.output_shape[:3])) * spec.weights.size,
        headers=("tvmgen_integer_helium.h",),
        roles=(
            Role("weights", _LAYOUT),
            *plan.scaling.roles(),
            Role("places", "where the bytes of a row go when it is copied"),
        ),
    )


def _ordered(plan: _Plan) -> npt.NDArray[np.int8]:
    """The weights in the order in which they are read."""
    # Taps are copied column by column; where they are not, there is one row of them.
    weights = plan.spec.weights.transpose(0, 2, 1, 3).reshape(len(plan.spec.weights), -1)
    weights = weights[channel_order(len(weights))]
    parts = []
    channel = 0
    while channel < len(weights):
        for count, size in plan.blocks:
            for _ in range(count if size else 0):
                rows = weights[channel : channel + size]
                parts += [
                    rows[:, tap : tap + _VECTOR].ravel() for tap in range(0, plan.taps, _VECTOR)
                ]
                channel += size
    return np.concatenate(parts)


def _write_copy(text: Text, plan: _Plan, source: str, constants: Constants) -> None:
    """Copy what a row of outputs sees to `taps`."""
    spec = plan.spec
    _, height, width, channels = spec.input_shape
    window = spec.window
    rows = window.shape[0]
    before, inside, after = window.split_columns(plan.columns, width)
    step = rows * channels
    together = 1
    if channels <= _SCATTERED_CHANNELS:
        together = min(_VECTOR // channels, _FARTHEST // step + 1)
        places = np.arange(together)[:, None] * step + np.arange(channels)
        filled = np.zeros(_VECTOR, np.uint8)
        filled[: places.size] = places.ravel()
        constants.append(filled)
    with text.repeated("tap_row", rows):
        text.add(
            f"const int32_t tap_y = y * {window.strides[0]} - {window.padding[0]}"
            f" + tap_row * {window.dilation[0]};",
            f"int8_t *copy = taps + tap_row * {channels};",
        )
        with text.block(f"if (tap_y >= 0 && tap_y < {height})"):
            _write_run(text, plan, together, before, "")
            text.add(f"const int8_t *from = {source} + tap_y * {width * channels};")
            _write_run(text, plan, together, inside, "from")
            _write_run(text, plan, together, after, "")
        with text.block("else"):
            _write_run(text, plan, together, plan.columns, "")


def _write_run(text: Text, plan: _Plan, together: int, columns: int, source: str) -> None:
    """Copy columns from `source`, or fill them with the zero point; `copy` moves on."""
    channels = plan.spec.input_shape[3]
    step = plan.spec.window.shape[0] * channels
    blank = f"microtvm_all16({plan.spec.input_zero_point})"
    for count, several in ((columns // together, together), (1, columns % together)):
        if not count * several:
            continue
        with text.repeated("column", count):
            length = several * channels
            for first in range(0, length, _VECTOR):
                size = min(_VECTOR, length - first)
                value = blank
                if source and size == _VECTOR:
                    value = f"microtvm_load16({source} + {first})"
                elif source:
                    value = f"microtvm_load_first({source} + {first}, {size})"
                if channels <= _SCATTERED_CHANNELS:
                    places = f"constant{3 if plan.scaling.is_wide else 2}"
                    text.add(f"microtvm_scatter_first(copy, {places}, {value}, {size});")
                elif size == _VECTOR:
                    text.add(f"microtvm_store16(copy + {first}, {value});")
                else:
                    text.add(f"microtvm_store_first(copy + {first}, {value}, {size});")
            if source:
                text.add(f"{source} += {length};")
            text.add(f"copy += {several * step};")


def _write_row(text: Text, plan: _Plan) -> None:
    """The outputs of a row, from `taps` to `outputs`."""
    out_channels = plan.spec.output_shape[3]
    with text.repeated("first", plan.row, plan.pixels, is_downward=is_flat(plan.spec)):
        last = plan.row - plan.pixels
        whole = plan.row % plan.pixels == 0
        text.add(
            f"const int32_t start = {'first' if whole else f'first < {last} ? first : {last}'};"
        )
        for p in range(plan.pixels):
            text.add(f"const int8_t *const x{p} = taps + (start + {p}) * {plan.step};")
        text.add("const int8_t *weights = constant0;")
        with text.repeated("section", out_channels, plan.section):
            text.add("int32_t *sum = all_sums;")
            for count, size in plan.blocks:
                if count * size:
                    with text.repeated("block", count):
                        _write_sums(text, plan, size)
            each = 1 if plan.scaling.is_common else 2
            text.add(f"const int32_t *const parameters = constant1 + {each} * section;")
            if plan.scaling.is_wide:
                text.add("const int8_t *const shifts = constant2 + section;")
            _write_scaling(text, plan)


def _write_scaling(text: Text, plan: _Plan) -> None:
    """From the sums of a section to outputs."""
    out_channels, scaling = plan.spec.output_shape[3], plan.scaling
    is_paired = plan.pixels == 2 and scaling.is_paired
    if is_paired and plan.section >= _VECTOR:
        for p in range(plan.pixels):
            text.add(
                f"const int32_t *const sums{p} = all_sums + {p * plan.section};",
                f"int8_t *const to{p} = outputs + (start + {p}) * {out_channels} + section;",
            )
        scaling.write_pairs(text, plan.section)
    if is_paired and plan.section % _VECTOR == 0:
        return
    with text.repeated("p", plan.pixels):
        text.add(
            f"const int32_t *const sums = all_sums + p * {plan.section};",
            f"int8_t *const to = outputs + (start + p) * {out_channels} + section;",
        )
        if is_paired:
            scaling.write_rest(text, plan.section)
        else:
            scaling.write(text, plan.section)


def _write_sums(text: Text, plan: _Plan, size: int) -> None:
    """The sums of a few channels for all pixels at hand."""
    vectors, rest = divmod(plan.taps, _VECTOR)
    unrolled = _unrolled(vectors)
    is_looped = vectors > unrolled
    has_first = plan.pixels == 2 and size in (2, 3) and not vectors
    starts = " = 0" if is_looped or not (vectors or has_first) else ""
    names = [f"sum{n}_{p}{starts}" for n in range(size) for p in range(plan.pixels)]
    text.add(f"int32_t {', '.join(names)};")
    for p in range(plan.pixels):
        text.add(f"const int8_t *from{p} = x{p};")
    if vectors:
        with text.repeated("group", vectors // unrolled):
            write_products(text, unrolled, plan.pixels, size, is_first=not is_looped)
        if vectors % unrolled:
            write_products(text, vectors % unrolled, plan.pixels, size, is_first=False)
    if rest:
        _write_rest(text, plan, size, rest)
    for n in range(size):
        for p in range(plan.pixels):
            text.add(f"sum[{n + p * plan.section}] = sum{n}_{p};")
    text.add(f"sum += {size};")


def _unrolled(vectors: int) -> int:
    """Vectors of taps to go through without a loop."""
    if vectors <= _UNROLLED:
        return max(vectors, 1)
    most = max(n for n in range(1, _UNROLLED + 1) if vectors % n == 0)
    return most if most > _UNROLLED // 4 else _UNROLLED // 2


def _write_rest(text: Text, plan: _Plan, size: int, taps: int) -> None:
    """The same for the last taps."""
    if plan.pixels == 2 and size in (2, 3):
        totals = ", ".join(f"sum{n}_{p}" for n in range(size) for p in range(plan.pixels))
        is_first = int(plan.taps < _VECTOR)
        text.add(f"MICROTVM_LAST{size}({is_first}, {taps}, from0, from1, weights, {totals});")
        text.add(f"weights += {size * taps};")
        return
    for p in range(plan.pixels):
        text.add(f"const microtvm_int8x16 rest{p} = microtvm_load_first(from{p}, {taps});")
    for n in range(size):
        with text.block():
            address = f"weights + {n * taps}"
            text.add(f"const microtvm_int8x16 w = microtvm_load_first({address}, {taps});")
            for p in range(plan.pixels):
                text.add(f"sum{n}_{p} = microtvm_dot(sum{n}_{p}, rest{p}, w);")
    text.add(f"weights += {size * taps};")
