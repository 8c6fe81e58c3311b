"""Depthwise convolutions by Helium: all taps of up to 16 places an instruction.

The input is copied for 16 channels at a time so that four rows of a channel are a word. A vector of
four words, from four columns side by side, holds all that a kernel of 3 x 3 reads for two outputs
beside each other and the two below them. So one vector of the input meets four of weights, in which
the taps have their places and zeros fill the rest. These are made before, for 16 channels. Larger
kernels take several vectors. An image of one column gives four words below each other instead.

Four outputs of a channel are scaled at once.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from pytest_microtvm.compiler.quantized.kernels.accumulators import bounds, folded_bias
from pytest_microtvm.compiler.quantized.kernels.c_text import Text
from pytest_microtvm.compiler.quantized.kernels.helium.scaling import (
    HeliumScaling,
    plan_helium_scaling,
)
from pytest_microtvm.compiler.quantized.specs import DepthwiseConv2D, KernelSource, Role, Window

_VECTOR = 16
_LANES = 4  # rows in a word, words in a vector, outputs at once
_WORDS_BYTES = _VECTOR * _LANES  # a word of each channel
_REGISTERS = 4  # vectors of weights that stay in registers
_NO_TAP = 255

_Item = TypeVar("_Item")


@dataclass(frozen=True)
class _Layout:
    """What the outputs that are computed at once read.

    Args:
        rows: Rows of outputs.
        columns: Columns of outputs; output `column * rows + row` is the lane of the same number.
        vectors: For each vector of the input, the number of its first word.
        terms: For each output, the vectors that it reads and the tables of their weights.
        tables: For each of 16 places, its tap, or `_NO_TAP`.
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
        loaded = len(self.tables) if len(self.tables) > _REGISTERS else 0
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
    def weight_bytes(self) -> int:
        """Memory for the weights of 16 channels in their places."""
        return _VECTOR * _VECTOR * len(self.layout.tables)

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
        return (self.taps // _VECTOR + 1) * _VECTOR

    @property
    def workspace_bytes(self) -> int:
        """Memory for the weights in their places, a blank pixel, staged weights and words."""
        words = _WORDS_BYTES * self.layout.words * self.layout.heights
        return self.weight_bytes + _VECTOR + self.staged_bytes + words

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
    if spec.output_shape[3] != channels or taps >= _NO_TAP:
        return None
    spec = _upright(spec)
    weights = _by_channel(spec)
    start = folded_bias(weights, spec.bias, spec.input_zero_point)
    scaling = plan_helium_scaling(spec.requantization, start, bounds(weights, start))
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


def _by_channel(spec: DepthwiseConv2D) -> npt.NDArray[np.int8]:
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
    heights = -(-source_rows // _LANES)
    reach = window.columns_seen()
    places: list[tuple[int, int]] = []  # of vectors: column, row of words
    tables: list[tuple[int, ...]] = []
    terms = []
    for column in range(columns):
        first = column * right
        for row in range(rows):
            own_terms = []
            starts = range(first, first + reach, _LANES)
            if not own:
                starts = range(first // _LANES * _LANES, first + reach, _LANES)
                inside = [at for at, _ in places if at <= first and first + reach <= at + _LANES]
                starts = range(inside[0], inside[0] + 1) if inside else starts
            for height_word in range(heights):
                for start in starts:
                    table = []
                    for place in range(_VECTOR):
                        y = _tap(
                            height_word * _LANES + place % _LANES - row * down, dilation_y, height
                        )
                        x = _tap(start + place // _LANES - first, dilation_x, width)
                        table.append(_NO_TAP if y is None or x is None else y * width + x)
                    if min(table) == _NO_TAP:
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
    words = (groups - 1) * step + max(column for column, _ in places) + _LANES
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
    rows = min(_LANES, spec.output_shape[1])
    reach = window.rows_seen()
    places: list[int] = []
    tables: list[tuple[int, ...]] = []
    terms = []
    for row in range(rows):
        first = row * down
        own_terms = []
        inside = [at for at in places if at <= first and first + reach <= at + _VECTOR]
        start = inside[0] if inside else first // _LANES * _LANES
        for at in range(start, first + reach, _VECTOR):
            table = [_tap(at + place - first, dilation, height) for place in range(_VECTOR)]
            filled = tuple(_NO_TAP if tap is None else tap for tap in table)
            own_terms.append((_index(places, at), _index(tables, filled)))
        terms.append(tuple(own_terms))
    groups = -(-spec.output_shape[1] // rows)
    # Four outputs further, words are `down` further; groups of less are the only ones.
    words = (groups - 1) * down + max(places) // _LANES + _LANES
    vectors = tuple(place // _LANES for place in places)
    return _Layout(rows, 1, vectors, tuple(terms), tuple(tables), down, words, 1)


def _index(found: list[_Item], item: _Item) -> int:
    """Where an item is, put at the end if it is new."""
    if item not in found:
        found.append(item)
    return found.index(item)


def depthwise_conv2d(plan: Plan) -> KernelSource:
    """The kernel of a plan."""
    spec = plan.spec
    batches, height, width, channels = spec.input_shape
    out_height, out_width = spec.output_shape[1:3]
    weights = _by_channel(spec)
    scaling = plan.scaling
    parameters = scaling.starts
    if not scaling.is_common:
        parameters = np.stack([scaling.words, scaling.multipliers], axis=1).ravel()
    text = Text()
    text.add(
        "int8_t *const placed = (int8_t *)workspace;",
        f"int8_t *const blank = placed + {plan.weight_bytes};",
        f"int8_t *const staged = blank + {_VECTOR};",
        f"int8_t *const words = staged + {plan.staged_bytes};",
        f"const microtvm_int32x4 next_words = microtvm_int32_of({_steps(_WORDS_BYTES)});",
        *_declared_places(plan),
        f"microtvm_store16(blank, microtvm_all16({spec.input_zero_point}));",
    )
    with text.repeated("channel", channels, _VECTOR):
        lanes = str(min(channels, _VECTOR))
        if channels > _VECTOR and channels % _VECTOR:
            lanes = "lanes"
            text.add(
                f"const int32_t lanes = channel < {channels - _VECTOR} ? "
                f"{_VECTOR} : {channels} - channel;"
            )
        _write_placing(text, plan, lanes)
        with text.repeated("image", batches):
            source = f"input0 + image * {height * width * channels} + channel"
            text.add(
                f"const int8_t *const source = {source};",
                f"int8_t *const outputs = output + image * {out_height * out_width * channels}"
                " + channel;",
            )
            if plan.is_column:
                with text.block():
                    _write_column(text, plan, lanes)
                _write_lanes(text, plan, lanes)
            else:
                _write_image(text, plan, lanes)
    return KernelSource(
        input_dtypes=("int8",),
        constants=(
            weights,
            parameters.astype(np.int32),
            _places_of_weights(plan),
            *scaling.wide_shifts(),
        ),
        output_dtype="int8",
        body=str(text),
        workspace_bytes=plan.workspace_bytes,
        macs=int(np.prod(spec.output_shape)) * weights.shape[1],
        headers=("tvmgen_integer_helium.h",),
        roles=(
            Role("weights", "channel after channel, of each its taps"),
            Role("parameters", scaling.layout),
            Role("places", "by tap, which byte of a channel's weights it meets"),
            *scaling.roles()[1:],
        ),
    )


def _write_image(text: Text, plan: Plan, lanes: str) -> None:
    """The outputs of an image, some rows at a time."""
    layout, out_height = plan.layout, plan.spec.output_shape[1]
    with text.repeated("first", out_height, layout.rows):
        last = out_height - layout.rows
        whole = out_height % layout.rows == 0
        row = "first" if whole else f"first < {last} ? first : {last}"
        text.add(f"const int32_t row = {row};")
        for height_word in range(layout.heights):
            _write_words(text, plan, lanes, height_word)
        _write_lanes(text, plan, lanes)


def _places_of_weights(plan: Plan) -> npt.NDArray[np.uint8]:
    """The tables, with the 0 after the taps where there is none."""
    tables = np.array(plan.layout.tables)
    return np.where(tables == _NO_TAP, plan.taps, tables).astype(np.uint8).ravel()


def _steps(step: int) -> str:
    return ", ".join(str(n * step) for n in range(_LANES))


def _places(plan: Plan, count: int) -> str:
    """Where the first `count` of the outputs that are computed at once lie.

    What fills the four up is the last of them again.
    """
    layout = plan.layout
    _, _, out_width, channels = plan.spec.output_shape
    offsets = [
        (row * out_width + column) * channels
        for column in range(layout.columns)
        for row in range(layout.rows)
    ]
    return ", ".join(str(offsets[min(lane, count - 1)]) for lane in range(_LANES))


def _declared_places(plan: Plan) -> list[str]:
    """C: where outputs lie, for all that are computed at once and for those that are left."""
    whole, rest = plan.counts
    return [
        f"const microtvm_int32x4 {name} = microtvm_int32_of({_places(plan, count)});"
        for name, count in (("places", whole), ("rest_places", rest))
        if count
    ]


def _write_placing(text: Text, plan: Plan, lanes: str) -> None:
    """Put the weights of up to 16 channels into their places."""
    tables = len(plan.layout.tables)
    with text.block(f"for (int32_t lane = 0; lane < {lanes}; ++lane)"):
        text.add(
            f"const int8_t *const weights = constant0 + (channel + lane) * {plan.taps};",
            f"int8_t *const to = placed + lane * {tables * _VECTOR};",
        )
        for first in range(0, plan.staged_bytes, _VECTOR):
            count = min(_VECTOR, plan.taps - first)
            value = _load(f"weights + {first}", str(count)) if count else "microtvm_all16(0)"
            text.add(f"microtvm_store16(staged + {first}, {value});")
        for table in range(tables):
            text.add(
                f"microtvm_store16(to + {table * _VECTOR}, "
                f"microtvm_gather16(staged, constant2 + {table * _VECTOR}));"
            )


def _load(address: str, lanes: str) -> str:
    if lanes == str(_VECTOR):
        return f"microtvm_load16({address})"
    return f"microtvm_load_first({address}, {lanes})"


def _write_words(text: Text, plan: Plan, lanes: str, height_word: int) -> None:
    """Copy the words of four rows."""
    spec, layout = plan.spec, plan.layout
    _, height, width, channels = spec.input_shape
    before, inside, after = spec.window.split_columns(plan.source_columns, width)
    down, above = spec.window.strides[0], spec.window.padding[0]
    last_row = (spec.output_shape[1] - layout.rows) * down - above
    with text.block():
        text.add(f"int8_t *to = words + {height_word * layout.words * _WORDS_BYTES};")
        names = []
        for n in range(_LANES):
            offset = height_word * _LANES + n
            if offset >= plan.source_rows:
                names.append("blank")
                continue
            names.append(f"from{n}")
            address = f"source + y{n} * {width * channels}"
            text.add(f"const int32_t y{n} = row * {down} + {offset - above};")
            if offset >= above and last_row + offset < height:
                text.add(f"const int8_t *from{n} = {address};")
            else:
                text.add(
                    f"const int8_t *from{n} = blank;",
                    f"int32_t step{n} = 0;",
                )
                with text.block(f"if (y{n} >= 0 && y{n} < {height})"):
                    text.add(f"from{n} = {address};", f"step{n} = {channels};")
        _write_blanks(text, before)
        if inside:
            with text.repeated("column", inside):
                values = [
                    "microtvm_load16(blank)" if name == "blank" else _load(name, lanes)
                    for name in names
                ]
                text.add(f"microtvm_store_woven(to, {', '.join(values)});")
                for n, name in enumerate(names):
                    if name == "blank":
                        continue
                    offset = height_word * _LANES + n
                    always = offset >= above and last_row + offset < height
                    text.add(f"{name} += {channels if always else f'step{n}'};")
                text.add(f"to += {_WORDS_BYTES};")
        _write_blanks(text, after)


def _write_blanks(text: Text, count: int) -> None:
    """Words of columns that are not there."""
    if not count:
        return
    with text.repeated("column", count):
        for n in range(_LANES):
            text.add(f"microtvm_store16(to + {n * _VECTOR}, microtvm_load16(blank));")
        text.add(f"to += {_WORDS_BYTES};")


def _write_column(text: Text, plan: Plan, lanes: str) -> None:
    """Copy the words of all rows of one column."""
    spec = plan.spec
    height, channels = spec.input_shape[1], spec.input_shape[3]
    above = spec.window.padding[0]
    count = -(-plan.source_rows // _LANES)
    plain = min(count, height // _LANES) if above == 0 else 0
    text.add("int8_t *to = words;")
    if plain:
        text.add("const int8_t *from = source;")
        with text.repeated("word", plain):
            values = [_load(f"from + {n * channels}", lanes) for n in range(_LANES)]
            text.add(
                f"microtvm_store_woven(to, {', '.join(values)});",
                f"from += {_LANES * channels};",
                f"to += {_WORDS_BYTES};",
            )
    if count > plain:
        with text.repeated("word", count - plain):
            values = []
            for n in range(_LANES):
                text.add(
                    f"const int32_t y{n} = word * {_LANES} + {plain * _LANES + n - above};",
                    f"const int8_t *const from{n} = "
                    f"y{n} >= 0 && y{n} < {height} ? source + y{n} * {channels} : blank;",
                )
                values.append(_load(f"from{n}", lanes))
            text.add(
                f"microtvm_store_woven(to, {', '.join(values)});",
                f"to += {_WORDS_BYTES};",
            )


def _write_lanes(text: Text, plan: Plan, lanes: str) -> None:
    """The outputs of all channels at hand."""
    spec, layout = plan.spec, plan.layout
    channels = spec.output_shape[3]
    tables = len(layout.tables)
    steady = tables <= _REGISTERS
    with text.block(f"for (int32_t lane = 0; lane < {lanes}; ++lane)"):
        text.add(f"const int8_t *const weights = placed + lane * {tables * _VECTOR};")
        if steady:
            _write_weights(text, tables)
        scaling = plan.scaling
        if scaling.is_common:
            text.add("const int32_t start = constant1[channel + lane];")
        else:
            text.add(
                "const int32_t *const parameters = constant1 + 2 * (channel + lane);",
                "const int32_t multiplier = parameters[1];",
            )
        if scaling.is_wide:
            text.add(
                "const int32_t start = parameters[0];",
                "const int32_t shift = constant3[channel + lane];",
            )
        elif not scaling.is_common:
            text.add(
                "const int32_t start = parameters[0] >> 8;",
                "const int32_t shift = (int8_t)(parameters[0] & 255);",
            )
        line = "" if plan.is_column else f" + row * {spec.output_shape[2] * channels}"
        text.add(
            f"const int8_t *from = words + lane * {_LANES};",
            f"int8_t *to = outputs + lane{line};",
        )
        whole, rest = plan.counts
        if whole:
            with text.repeated("group", plan.groups):
                _write_outputs(text, plan, steady, whole, "places")
                text.add(
                    f"from += {layout.step * _WORDS_BYTES};",
                    f"to += {plan.together * channels};",
                )
        if rest:
            with text.block():
                _write_outputs(text, plan, steady, rest, "rest_places")


def _write_weights(text: Text, tables: int) -> None:
    for table in range(tables):
        text.add(f"const microtvm_int8x16 w{table} = microtvm_load16(weights + {table * _VECTOR});")


def _write_outputs(text: Text, plan: Plan, steady: bool, count: int, places: str) -> None:
    """The first `count` of the outputs that are computed at once."""
    layout, scaling = plan.layout, plan.scaling
    used = sorted({vector for terms in layout.terms[:count] for vector, _ in terms})
    done: set[int] = set()
    for vector in used:
        address = f"from + {layout.vectors[vector] * _WORDS_BYTES}"
        text.add(
            f"const microtvm_int8x16 v{vector} = microtvm_gather_words({address}, next_words);"
        )
        for lane, terms in enumerate(layout.terms[:count]):
            for of, table in terms:
                if of != vector:
                    continue
                weights = f"w{table}" if steady else f"microtvm_load16(weights + {table * _VECTOR})"
                if lane in done:
                    text.add(f"sum{lane} = microtvm_dot(sum{lane}, v{vector}, {weights});")
                else:
                    text.add(f"int32_t sum{lane} = microtvm_first_dot(v{vector}, {weights});")
                done.add(lane)
    sums = [f"sum{min(lane, count - 1)}" for lane in range(_LANES)]
    factor = "multiplier, shift"
    if scaling.is_common:
        factor = f"{int(scaling.multipliers[0])}, {int(scaling.shifts[0])}"
    scaled = f"microtvm_scale4_all(total, {factor}, {scaling.rounding})"
    text.add(
        f"const microtvm_int32x4 sums = microtvm_int32_of({', '.join(sums)});",
        "const microtvm_int32x4 total = microtvm_add4_all(sums, start);",
        f"const microtvm_int32x4 scaled = {scaled};",
    )
    value = f"microtvm_output4(scaled, {scaling.limits})"
    text.add(f"microtvm_scatter4(to, {places}, {value});")
