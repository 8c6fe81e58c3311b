"""How depthwise convolutions by Helium work: what is copied, and which bytes meet which taps."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from pytest_microtvm.compiler.program import Overlap
from pytest_microtvm.compiler.quantized.kernels.accumulators import Sums
from pytest_microtvm.compiler.quantized.kernels.helium.scaling import (
    HeliumScaling,
    plan_helium_scaling,
)
from pytest_microtvm.compiler.quantized.kernels.overlap import is_by_channels, of_rows, steps
from pytest_microtvm.compiler.quantized.specs import DepthwiseConv2D, Window

VECTOR = 16
LANES = 4  # rows in a word, words in a vector, outputs at once
WORDS_BYTES = VECTOR * LANES  # a word of each channel
REGISTERS = 4  # vectors of weights that stay in registers
NO_TAP = 255

_Item = TypeVar("_Item")


@dataclass(frozen=True)
class _Layout:
    """What the outputs that are computed at once read.

    Args:
        rows: Rows of outputs.
        columns: Columns of outputs; output `column * rows + row` is the lane of the same number.
        vectors: For each vector of the input, the number of its first word.
        terms: For each output, the vectors that it reads and the tables of their weights.
        tables: For each of 16 places, its tap, or `NO_TAP`.
        step: Words from these outputs to the next.
        words: Words of a row of words; these lie below each other.
        heights: Rows of words.
    """

    rows: int
    columns: int
    vectors: tuple[int, ...]
    terms: tuple[tuple[tuple[int, int], ...], ...]
    tables: tuple[tuple[int, ...], ...]
    step: int
    words: int
    heights: int

    @property
    def cost(self) -> int:
        """Instructions for the outputs, without what all layouts have."""
        loaded = len(self.tables) if len(self.tables) > REGISTERS else 0
        return len(self.vectors) + sum(map(len, self.terms)) + loaded


@dataclass(frozen=True)
class Plan:
    """How one kernel works.

    Args:
        spec: The convolution, upright.
        scaling: Of its sums.
        layout: What is computed at once.
    """

    spec: DepthwiseConv2D
    scaling: HeliumScaling
    layout: _Layout

    @property
    def is_column(self) -> bool:
        """Whether words lie below each other."""
        return _is_column(self.spec)

    @property
    def overlaps(self) -> tuple[Overlap, ...]:
        """How input and output may share memory where it `goes_by_rows`."""
        rows = self.layout.rows
        return of_rows(self.spec, steps(self.spec.output_shape[1], rows), rows)

    @property
    def is_in_place(self) -> bool:
        """Whether outputs may be where the input is: a channel is read before it is written."""
        rows = self.spec.output_shape[1] if self.is_column else self.layout.rows
        return is_by_channels(self.spec, rows)

    @property
    def goes_by_rows(self) -> bool:
        """Whether it goes through the image once, not for 16 channels after the other.

        With more channels it needs more memory for weights then: less than shared memory saves.
        """
        if self.is_column or self.is_in_place:
            return False
        input_bytes, output_bytes = (
            math.prod(shape) for shape in (self.spec.input_shape, self.spec.output_shape)
        )
        shared = [
            output_bytes - overlap.distance_bytes
            for overlap in self.overlaps
            if not overlap.is_behind
        ]
        saved = min(input_bytes, max(shared, default=0))
        return saved > self._table_bytes * max(0, self.spec.input_shape[3] - VECTOR)

    @property
    def weight_bytes(self) -> int:
        """Memory for weights in their places: of 16 channels, or of all."""
        channels = self.spec.input_shape[3] if self.goes_by_rows else VECTOR
        return self._table_bytes * channels

    @property
    def _table_bytes(self) -> int:
        return VECTOR * len(self.layout.tables)

    @property
    def together(self) -> int:
        """Columns of outputs at once, or rows where there is one column."""
        return self.layout.rows if self.is_column else self.layout.columns

    @property
    def groups(self) -> int:
        """How often as many outputs as possible are computed at once, for a channel."""
        return self._length // self.together

    @property
    def counts(self) -> tuple[int, int]:
        """Outputs that are computed at once, 0 if never, and those that are left."""
        each = self.layout.rows * self.layout.columns
        rest = self._length % self.together * (each // self.together)
        return each if self.groups else 0, rest

    @property
    def _length(self) -> int:
        return self.spec.output_shape[1 if self.is_column else 2]

    @property
    def taps(self) -> int:
        """Taps of a channel."""
        return self.spec.window.shape[0] * self.spec.window.shape[1]

    @property
    def staged_bytes(self) -> int:
        """Memory for the weights of one channel with a 0 at their end."""
        return (self.taps // VECTOR + 1) * VECTOR

    @property
    def workspace_bytes(self) -> int:
        """Memory for the weights in their places, a blank pixel, staged weights and words."""
        words = WORDS_BYTES * self.layout.words * self.layout.heights
        return self.weight_bytes + VECTOR + self.staged_bytes + words

    @property
    def source_rows(self) -> int:
        """Rows of the input that the rows of outputs read."""
        rows = self.spec.output_shape[1] if self.is_column else self.layout.rows
        return self.spec.window.rows_seen(rows)

    @property
    def source_columns(self) -> int:
        """Columns of the input, padding included, that a row of outputs reads."""
        return self.spec.window.columns_seen(self.spec.output_shape[2])


def plan(spec: DepthwiseConv2D) -> Plan | None:
    """How to compute a convolution with weights of zero point 0; None where this does not do."""
    channels = spec.input_shape[3]
    taps = spec.window.shape[0] * spec.window.shape[1]
    if spec.output_shape[3] != channels or taps >= NO_TAP:
        return None
    spec = _upright(spec)
    weights = by_channel(spec)
    sums = Sums.of(weights, spec.bias, spec.input_zero_point)
    scaling = plan_helium_scaling(spec.requantization, sums)
    if scaling is None:
        return None
    if _is_column(spec):
        return Plan(spec, scaling, _column_layout(spec))
    out_height, out_width = spec.output_shape[1:3]
    layouts = [
        _image_layout(spec, rows, columns, own)
        for rows, columns in ((2, 2), (1, 4))
        for own in (False, True)
        if rows <= out_height
    ]

    def cost(layout: _Layout) -> int:
        groups = -(-out_height // layout.rows) * -(-out_width // layout.columns)
        return groups * (layout.cost + 12)

    return Plan(spec, scaling, min(layouts, key=cost))


def _upright(spec: DepthwiseConv2D) -> DepthwiseConv2D:
    """The same, turned when all is one row high: the same memory."""
    n, height, width, channels = spec.input_shape
    out_height, out_width = spec.output_shape[1:3]
    window = spec.window
    if not height == out_height == window.shape[0] == 1 or window.padding[0]:
        return spec
    return replace(
        spec,
        input_shape=(n, width, 1, channels),
        output_shape=(n, out_width, 1, channels),
        window=Window(
            window.shape[::-1], window.strides[::-1], window.dilation[::-1], window.padding[::-1]
        ),
        weights=spec.weights.reshape(window.shape[1], 1, channels),
    )


def _is_column(spec: DepthwiseConv2D) -> bool:
    width, out_width = spec.input_shape[2], spec.output_shape[2]
    return width == out_width == spec.window.shape[1] == 1 and spec.window.padding[1] == 0


def by_channel(spec: DepthwiseConv2D) -> npt.NDArray[np.int8]:
    """A row of taps for each channel."""
    rows: npt.NDArray[np.int8] = spec.weights.reshape(-1, spec.weights.shape[2]).T
    return np.ascontiguousarray(rows)


def _tap(offset: int, dilation: int, taps: int) -> int | None:
    """The tap that is `offset` rows or columns from the first, if any."""
    tap, between = divmod(offset, dilation)
    return tap if between == 0 and 0 <= tap < taps else None


def _image_layout(spec: DepthwiseConv2D, rows: int, columns: int, own: bool) -> _Layout:
    """Words side by side; outputs share vectors of the input unless each has its `own`."""
    window = spec.window
    (height, width), (down, right), (dilation_y, dilation_x) = (
        window.shape,
        window.strides,
        window.dilation,
    )
    columns = min(columns, spec.output_shape[2])
    source_rows = window.rows_seen(rows)
    heights = -(-source_rows // LANES)
    reach = window.columns_seen()
    places: list[tuple[int, int]] = []  # of vectors: column, row of words
    tables: list[tuple[int, ...]] = []
    terms = []
    for column in range(columns):
        first = column * right
        for row in range(rows):
            own_terms = []
            starts = range(first, first + reach, LANES)
            if not own:
                starts = range(first // LANES * LANES, first + reach, LANES)
                inside = [at for at, _ in places if at <= first and first + reach <= at + LANES]
                starts = range(inside[0], inside[0] + 1) if inside else starts
            for height_word in range(heights):
                for start in starts:
                    table = []
                    for place in range(VECTOR):
                        y = _tap(
                            height_word * LANES + place % LANES - row * down, dilation_y, height
                        )
                        x = _tap(start + place // LANES - first, dilation_x, width)
                        table.append(NO_TAP if y is None or x is None else y * width + x)
                    if min(table) == NO_TAP:
                        continue
                    own_terms.append(
                        (
                            _index(places, (start, height_word)),
                            _index(tables, tuple(table)),
                        )
                    )
            terms.append(tuple(own_terms))
    groups = -(-spec.output_shape[2] // columns)
    step = columns * right
    words = (groups - 1) * step + max(column for column, _ in places) + LANES
    return _Layout(
        rows,
        columns,
        tuple(height_word * words + column for column, height_word in places),
        tuple(terms),
        tuple(tables),
        step,
        words,
        heights,
    )


def _column_layout(spec: DepthwiseConv2D) -> _Layout:
    """Words below each other."""
    window = spec.window
    height, down, dilation = window.shape[0], window.strides[0], window.dilation[0]
    rows = min(LANES, spec.output_shape[1])
    reach = window.rows_seen()
    places: list[int] = []
    tables: list[tuple[int, ...]] = []
    terms = []
    for row in range(rows):
        first = row * down
        own_terms = []
        inside = [at for at in places if at <= first and first + reach <= at + VECTOR]
        start = inside[0] if inside else first // LANES * LANES
        for at in range(start, first + reach, VECTOR):
            table = [_tap(at + place - first, dilation, height) for place in range(VECTOR)]
            filled = tuple(NO_TAP if tap is None else tap for tap in table)
            own_terms.append((_index(places, at), _index(tables, filled)))
        terms.append(tuple(own_terms))
    groups = -(-spec.output_shape[1] // rows)
    # Four outputs further, words are `down` further; groups of less are the only ones.
    words = (groups - 1) * down + max(places) // LANES + LANES
    vectors = tuple(place // LANES for place in places)
    return _Layout(rows, 1, vectors, tuple(terms), tuple(tables), down, words, 1)


def _index(found: list[_Item], item: _Item) -> int:
    """Where an item is, put at the end if it is new."""
    if item not in found:
        found.append(item)
    return found.index(item)
