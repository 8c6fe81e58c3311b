"""Depthwise convolutions by Helium: all taps of up to 16 places an instruction.

The input is copied for 16 channels at a time so that four rows of a channel are a word. A vector of
four words, from four columns side by side, holds all that a kernel of 3 x 3 reads for two outputs
beside each other and the two below them. So one vector of the input meets four of weights, in which
the taps have their places and zeros fill the rest. These are made before. Larger kernels take
several vectors. An image of one column gives four words below each other instead.

Four outputs of a channel are scaled at once.

Where the kernel goes through the image once, from its first row to its last, the output may lie a
few rows before the input. With more than 16 channels it needs room for the weights of all of them
then, each in their places; else it goes through the image for 16 channels after the other.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from pytest_microtvm.compiler.quantized.kernels.c_text import Text
from pytest_microtvm.compiler.quantized.kernels.helium.depthwise_plan import (
    LANES,
    NO_TAP,
    REGISTERS,
    VECTOR,
    WORDS_BYTES,
    Plan,
    by_channel,
)
from pytest_microtvm.compiler.quantized.specs import KernelSource, Role


def depthwise_conv2d(plan: Plan) -> KernelSource:
    """The kernel of a plan."""
    spec = plan.spec
    batches, channels, out_height = spec.input_shape[0], spec.input_shape[3], spec.output_shape[1]
    weights = by_channel(spec)
    scaling = plan.scaling
    parameters = scaling.starts
    if not scaling.is_common:
        parameters = np.stack([scaling.words, scaling.multipliers], axis=1).ravel()
    text = Text()
    text.add(
        "int8_t *const placed = (int8_t *)workspace;",
        f"int8_t *const blank = placed + {plan.weight_bytes};",
        f"int8_t *const staged = blank + {VECTOR};",
        f"int8_t *const words = staged + {plan.staged_bytes};",
        f"const microtvm_int32x4 next_words = microtvm_int32_of({_steps(WORDS_BYTES)});",
        *_declared_places(plan),
        *_declared_unit(plan),
        f"microtvm_store16(blank, microtvm_all16({spec.input_zero_point}));",
    )
    if plan.goes_by_rows:
        _write_placing(text, plan, str(channels))
        with text.repeated("image", batches), text.repeated("first", out_height, plan.layout.rows):
            _write_first_row(text, plan)
            with text.repeated("channel", channels, VECTOR):
                lanes = _declared_lanes(text, channels)
                _write_pointers(text, plan)
                _write_rows(text, plan, lanes)
    else:
        with text.repeated("channel", channels, VECTOR):
            lanes = _declared_lanes(text, channels)
            _write_placing(text, plan, lanes)
            with text.repeated("image", batches):
                _write_pointers(text, plan)
                if plan.is_column:
                    with text.block():
                        _write_column(text, plan, lanes)
                    _write_lanes(text, plan, lanes)
                else:
                    with text.repeated("first", out_height, plan.layout.rows):
                        _write_first_row(text, plan)
                        _write_rows(text, plan, lanes)
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
        in_place=(0,) if plan.is_in_place else (),
        overlaps=plan.overlaps if plan.goes_by_rows else (),
        macs=int(np.prod(spec.output_shape)) * weights.shape[1],
        headers=("tvmgen_integer_helium.h",),
        roles=(
            Role("weights", "channel after channel, of each its taps"),
            Role("parameters", scaling.layout),
            Role("places", "by tap, which byte of a channel's weights it meets"),
            *scaling.roles()[1:],
        ),
    )


def _declared_lanes(text: Text, channels: int) -> str:
    """C: how many channels there are from `channel` on, 16 at most."""
    if channels <= VECTOR or channels % VECTOR == 0:
        return str(min(channels, VECTOR))
    text.add(
        f"const int32_t lanes = channel < {channels - VECTOR} ? {VECTOR} : {channels} - channel;"
    )
    return "lanes"


def _write_pointers(text: Text, plan: Plan) -> None:
    """Where the channels at hand are in an image, and where their outputs go."""
    _, height, width, channels = plan.spec.input_shape
    outputs = plan.spec.output_shape[1] * plan.spec.output_shape[2] * channels
    text.add(
        f"const int8_t *const source = input0 + image * {height * width * channels} + channel;",
        f"int8_t *const outputs = output + image * {outputs} + channel;",
    )


def _write_first_row(text: Text, plan: Plan) -> None:
    """The first of the rows of outputs at hand; the last ones may be computed twice."""
    rows, out_height = plan.layout.rows, plan.spec.output_shape[1]
    last = out_height - rows
    row = "first" if out_height % rows == 0 else f"first < {last} ? first : {last}"
    text.add(f"const int32_t row = {row};")


def _write_rows(text: Text, plan: Plan, lanes: str) -> None:
    """The outputs of the rows at hand, of up to 16 channels."""
    for height_word in range(plan.layout.heights):
        _write_words(text, plan, lanes, height_word)
    _write_lanes(text, plan, lanes)


def _places_of_weights(plan: Plan) -> npt.NDArray[np.uint8]:
    """The tables, with the 0 after the taps where there is none."""
    tables = np.array(plan.layout.tables)
    return np.where(tables == NO_TAP, plan.taps, tables).astype(np.uint8).ravel()


def _steps(step: int) -> str:
    return ", ".join(str(n * step) for n in range(LANES))


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
    return ", ".join(str(offsets[min(lane, count - 1)]) for lane in range(LANES))


def _declared_places(plan: Plan) -> list[str]:
    """C: where outputs lie, for all that are computed at once and for those that are left."""
    whole, rest = plan.counts
    return [
        f"const microtvm_int32x4 {name} = microtvm_int32_of({_places(plan, count)});"
        for name, count in (("places", whole), ("rest_places", rest))
        if count
    ]


def _declared_unit(plan: Plan) -> list[str]:
    """C: what sums are multiplied by before they are added to the start of a line."""
    line = plan.scaling.line
    if line is None:
        return []
    return [f"const microtvm_int32x4 unit = microtvm_all4({1 << line.left});"]


def _write_placing(text: Text, plan: Plan, lanes: str) -> None:
    """Put the weights of some channels into their places."""
    tables = len(plan.layout.tables)
    channel = "lane" if plan.goes_by_rows else "(channel + lane)"
    with text.block(f"for (int32_t lane = 0; lane < {lanes}; ++lane)"):
        text.add(
            f"const int8_t *const weights = constant0 + {channel} * {plan.taps};",
            f"int8_t *const to = placed + lane * {tables * VECTOR};",
        )
        for first in range(0, plan.staged_bytes, VECTOR):
            count = min(VECTOR, plan.taps - first)
            value = _load(f"weights + {first}", str(count)) if count else "microtvm_all16(0)"
            text.add(f"microtvm_store16(staged + {first}, {value});")
        for table in range(tables):
            text.add(
                f"microtvm_store16(to + {table * VECTOR}, "
                f"microtvm_gather16(staged, constant2 + {table * VECTOR}));"
            )


def _load(address: str, lanes: str) -> str:
    if lanes == str(VECTOR):
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
        text.add(f"int8_t *to = words + {height_word * layout.words * WORDS_BYTES};")
        names = []
        for n in range(LANES):
            offset = height_word * LANES + n
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
                    offset = height_word * LANES + n
                    always = offset >= above and last_row + offset < height
                    text.add(f"{name} += {channels if always else f'step{n}'};")
                text.add(f"to += {WORDS_BYTES};")
        _write_blanks(text, after)


def _write_blanks(text: Text, count: int) -> None:
    """Words of columns that are not there."""
    if not count:
        return
    with text.repeated("column", count):
        for n in range(LANES):
            text.add(f"microtvm_store16(to + {n * VECTOR}, microtvm_load16(blank));")
        text.add(f"to += {WORDS_BYTES};")


def _write_column(text: Text, plan: Plan, lanes: str) -> None:
    """Copy the words of all rows of one column."""
    spec = plan.spec
    height, channels = spec.input_shape[1], spec.input_shape[3]
    above = spec.window.padding[0]
    count = -(-plan.source_rows // LANES)
    plain = min(count, height // LANES) if above == 0 else 0
    text.add("int8_t *to = words;")
    if plain:
        text.add("const int8_t *from = source;")
        with text.repeated("word", plain):
            values = [_load(f"from + {n * channels}", lanes) for n in range(LANES)]
            text.add(
                f"microtvm_store_woven(to, {', '.join(values)});",
                f"from += {LANES * channels};",
                f"to += {WORDS_BYTES};",
            )
    if count > plain:
        with text.repeated("word", count - plain):
            values = []
            for n in range(LANES):
                text.add(
                    f"const int32_t y{n} = word * {LANES} + {plain * LANES + n - above};",
                    f"const int8_t *const from{n} = "
                    f"y{n} >= 0 && y{n} < {height} ? source + y{n} * {channels} : blank;",
                )
                values.append(_load(f"from{n}", lanes))
            text.add(
                f"microtvm_store_woven(to, {', '.join(values)});",
                f"to += {WORDS_BYTES};",
            )


def _write_lanes(text: Text, plan: Plan, lanes: str) -> None:
    """The outputs of all channels at hand."""
    spec, layout = plan.spec, plan.layout
    channels = spec.output_shape[3]
    tables = len(layout.tables)
    steady = tables <= REGISTERS
    with text.block(f"for (int32_t lane = 0; lane < {lanes}; ++lane)"):
        place = "(channel + lane)" if plan.goes_by_rows else "lane"
        text.add(f"const int8_t *const weights = placed + {place} * {tables * VECTOR};")
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
        elif scaling.line is not None:
            text.add("const int32_t start = parameters[0];")
        elif not scaling.is_common:
            text.add(
                "const int32_t start = parameters[0] >> 8;",
                "const int32_t shift = (int8_t)(parameters[0] & 255);",
            )
        line = "" if plan.is_column else f" + row * {spec.output_shape[2] * channels}"
        text.add(
            f"const int8_t *from = words + lane * {LANES};",
            f"int8_t *to = outputs + lane{line};",
        )
        whole, rest = plan.counts
        if whole:
            with text.repeated("group", plan.groups):
                _write_outputs(text, plan, steady, whole, "places")
                text.add(
                    f"from += {layout.step * WORDS_BYTES};",
                    f"to += {plan.together * channels};",
                )
        if rest:
            with text.block():
                _write_outputs(text, plan, steady, rest, "rest_places")


def _write_weights(text: Text, tables: int) -> None:
    for table in range(tables):
        text.add(f"const microtvm_int8x16 w{table} = microtvm_load16(weights + {table * VECTOR});")


def _write_outputs(text: Text, plan: Plan, steady: bool, count: int, places: str) -> None:
    """The first `count` of the outputs that are computed at once."""
    layout, scaling = plan.layout, plan.scaling
    used = sorted({vector for terms in layout.terms[:count] for vector, _ in terms})
    done: set[int] = set()
    for vector in used:
        address = f"from + {layout.vectors[vector] * WORDS_BYTES}"
        text.add(
            f"const microtvm_int8x16 v{vector} = microtvm_gather_words({address}, next_words);"
        )
        for lane, terms in enumerate(layout.terms[:count]):
            for of, table in terms:
                if of != vector:
                    continue
                weights = f"w{table}" if steady else f"microtvm_load16(weights + {table * VECTOR})"
                if lane in done:
                    text.add(f"sum{lane} = microtvm_dot(sum{lane}, v{vector}, {weights});")
                else:
                    text.add(f"int32_t sum{lane} = microtvm_first_dot(v{vector}, {weights});")
                done.add(lane)
    sums = [f"sum{min(lane, count - 1)}" for lane in range(LANES)]
    factor = "multiplier, shift"
    if scaling.is_common:
        factor = f"{int(scaling.multipliers[0])}, {int(scaling.shifts[0])}"
    text.add(f"const microtvm_int32x4 sums = microtvm_int32_of({', '.join(sums)});")
    if scaling.line is None:
        text.add(
            "const microtvm_int32x4 total = microtvm_add4_all(sums, start);",
            "const microtvm_int32x4 scaled = "
            f"microtvm_scale4_all(total, {factor}, {scaling.rounding});",
            f"const microtvm_int32x4 bytes = microtvm_output4(scaled, {scaling.limits});",
        )
    else:
        text.add("const microtvm_int32x4 total = microtvm_multiply_add4(sums, unit, start);")
        scaling.write_line4(text, "bytes", "total", "multiplier")
    text.add(f"microtvm_scatter4(to, {places}, bytes);")
