"""Depthwise convolutions by the DSP extension: two taps of a channel an instruction.

For a row of outputs (or two, which share what they read) and four channels, the input's rows are
copied as words of two int16, a channel after the other: a word holds what lies above each other in
two rows, so that one multiplication takes two taps of a column. Then a channel's weights stay in
registers while its row is computed. Columns outside of the image are the input's zero point there,
so that edges cost nothing.

A kernel of one row takes its pairs from neighbouring columns instead.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pytest_microtvm.compiler.quantized.choices import Choice, Tunable, Workload
from pytest_microtvm.compiler.quantized.kernels import parts
from pytest_microtvm.compiler.quantized.kernels.accumulators import Sums
from pytest_microtvm.compiler.quantized.kernels.c_text import Text
from pytest_microtvm.compiler.quantized.kernels.overlap import is_by_channels, of_rows, steps
from pytest_microtvm.compiler.quantized.kernels.scaling import Scaling, plan_scaling
from pytest_microtvm.compiler.quantized.kernels.text import Constants
from pytest_microtvm.compiler.quantized.specs import DepthwiseConv2D, KernelSource, Role

_LANES = 4
_MOST_ROWS = 6
_MOST_COLUMNS = 5
_LAYOUT = (
    "channel after channel, of each four bytes for two words of two taps: the bytes 0 and 2 are "
    "the taps of the first word, 1 and 3 those of the second; above each other in a column"
)
_SMALL_LAYOUT = (
    "channel after channel, of each four bytes for {} words of two taps: {} bits of the lower half "
    "and as many of the upper one for each, less the least number that they hold"
)


@dataclass(frozen=True)
class _Term:
    """One multiplication of an output: the word of a column times one or two weights.

    Args:
        column: Of the word, from the first column of the output's window.
        pair: Of the word in its column.
        low: Tap that the lower half meets, if any.
        high: Tap that the upper half meets, if any.
    """

    column: int
    pair: int
    low: int | None
    high: int | None


@dataclass(frozen=True)
class _Plan:
    """How one kernel works.

    Args:
        spec: The convolution.
        rows: Rows of outputs at a time.
        beside: Whether pairs are neighbouring columns of one row.
        pairs: Words of a column.
        columns: Columns that are copied.
        terms: For each row of outputs, what is added up.
        unrolled: Outputs of a row that are written without a loop.
    """

    spec: DepthwiseConv2D
    rows: int
    beside: bool
    pairs: int
    columns: int
    terms: tuple[tuple[_Term, ...], ...]
    unrolled: int

    @property
    def lane_words(self) -> int:
        """Words of a channel."""
        return self.columns * self.pairs

    @property
    def source_rows(self) -> int:
        """Rows of the input that the rows of outputs read."""
        return self.spec.window.rows_seen(self.rows)


def fits(spec: DepthwiseConv2D) -> bool:
    """Whether there are four channels to work on."""
    return spec.input_shape[3] >= _LANES


@dataclass(frozen=True)
class DepthwiseChoice(Choice):
    """How a depthwise convolution is blocked.

    Args:
        rows: Rows of outputs at a time; of a kernel of one row only one.
        columns: Outputs of a row that are written without a loop.
    """

    rows: int
    columns: int


def _candidates(workload: Workload) -> tuple[DepthwiseChoice, ...]:
    """The ways to write the depthwise convolution of a workload."""
    _, out_height, out_width, _ = workload.output_shape
    window = workload.window
    own = 2 if out_height >= 2 and window.strides[0] == 1 and window.shape[0] > 1 else 1
    rows = [own, *range(1, min(out_height, _MOST_ROWS) + 1)] if window.shape[0] > 1 else [1]
    columns = [n for n in range(1, _MOST_COLUMNS + 1) if out_width % n == 0]
    return tuple(DepthwiseChoice(r, c) for r in dict.fromkeys(rows) for c in columns)


DEPTHWISE = Tunable("dsp.depthwise", _candidates)


def depthwise_conv2d(spec: DepthwiseConv2D, choice: DepthwiseChoice) -> KernelSource:
    """A depthwise convolution of int8 that `fits`, with weights of zero point 0."""
    plan = _plan(spec, choice)
    channels = spec.output_shape[3]
    # A row for each channel, its taps from left to right and in each column from top to bottom.
    weights = np.ascontiguousarray(spec.weights.transpose(2, 1, 0).reshape(channels, -1))
    sums = Sums.of(weights, spec.bias, spec.input_zero_point)
    scaling = plan_scaling(spec.requantization, sums)
    bits = parts.bits_of(weights)
    packed = _packed_weights(weights, _weight_words(plan), bits)
    constants: Constants = [packed, scaling.parameters(), *scaling.constants]
    text = Text()
    zero = f"{(spec.input_zero_point & 0xFF) * 0x01010101:#010x}u"
    text.add(
        "uint32_t *const columns = (uint32_t *)(void *)workspace;",
        f"const uint32_t zero = {zero};",
        "(void)zero;",
    )
    _write_edges(text, plan)
    batches, out_height = spec.output_shape[:2]
    input_channels = spec.input_shape[3]
    with text.repeated("n", batches), text.repeated("first", out_height, plan.rows):
        last = out_height - plan.rows
        row = "first" if out_height % plan.rows == 0 else f"(first < {last} ? first : {last})"
        text.add(f"const int32_t row = {row};")
        with text.repeated("quad", input_channels, _LANES):
            last = input_channels - _LANES
            channel = "quad" if input_channels % _LANES == 0 else f"(quad < {last} ? quad : {last})"
            text.add(f"const int32_t channel = {channel};")
            for pair in range(plan.pairs):
                _write_copy(text, plan, pair)
            _write_lanes(text, plan, scaling, bits)
    return KernelSource(
        input_dtypes=("int8",),
        constants=tuple(constants),
        output_dtype="int8",
        body=str(text),
        workspace_bytes=4 * _LANES * plan.lane_words,
        # The lanes of one row are copied before they are written.
        in_place=(0,) if is_by_channels(spec, plan.rows) and channels % _LANES == 0 else (),
        overlaps=of_rows(spec, steps(out_height, plan.rows), plan.rows),
        macs=int(np.prod(spec.output_shape)) * weights.shape[1],
        headers=("tvmgen_integer_dsp.h", "tvmgen_integer_scale.h"),
        roles=(
            Role("weights", _LAYOUT if bits == 8 else _SMALL_LAYOUT.format(16 // bits, bits)),
            *scaling.roles(),
        ),
    )


def _plan(spec: DepthwiseConv2D, choice: DepthwiseChoice) -> _Plan:
    window = spec.window
    (height, width), down, (dilation_y, dilation_x) = (
        window.shape,
        window.strides[0],
        window.dilation,
    )
    out_width = spec.output_shape[2]
    columns = window.columns_seen(out_width)
    inside = window.is_inside(spec.input_shape, spec.output_shape)
    if height == 1 and dilation_x == 1 and width > 1 and inside:
        odd = width % 2
        terms = [_Term(0, 0, 0, None)] if odd else []
        terms += [_Term(tap, 0, tap, tap + 1) for tap in range(odd, width, 2)]
        return _Plan(spec, 1, True, 1, columns - 1, (tuple(terms),), choice.columns)
    rows = choice.rows
    pairs = -(-window.rows_seen(rows) // 2)
    all_terms = []
    for row in range(rows):
        taps = {row * down + tap * dilation_y: tap for tap in range(height)}
        terms = []
        for column in range(width):
            for pair in range(pairs):
                low, high = taps.get(2 * pair), taps.get(2 * pair + 1)
                if low is not None or high is not None:
                    first = column * height
                    terms.append(
                        _Term(
                            column * dilation_x,
                            pair,
                            None if low is None else first + low,
                            None if high is None else first + high,
                        )
                    )
        all_terms.append(tuple(terms))
    return _Plan(spec, rows, False, pairs, columns, tuple(all_terms), choice.columns)


def _write_copy(text: Text, plan: _Plan, pair: int) -> None:
    """Copy one word of each column, for four channels."""
    spec = plan.spec
    _, _, width, channels = spec.input_shape
    before, inside, _ = spec.window.split_columns(plan.columns, width)
    lane = plan.lane_words
    two = plan.beside or 2 * pair + 1 < plan.source_rows
    with text.block():
        _write_source(text, plan, "upper", 2 * pair)
        if two:
            if plan.beside:
                text.add(
                    f"const int8_t *lower = upper + {channels};",
                    "const int32_t lower_step = upper_step;",
                )
            else:
                _write_source(text, plan, "lower", 2 * pair + 1)
        text.add(f"uint32_t *to = columns + {before * plan.pairs + pair};")
        with text.repeated("column", inside):
            text.add(
                "const uint32_t a = microtvm_load_word(upper);",
                "const uint32_t a02 = microtvm_sxtb16(a);",
                "const uint32_t a13 = microtvm_sxtb16_odd(a);",
                "upper += upper_step;",
            )
            if two:
                text.add(
                    "const uint32_t b = microtvm_load_word(lower);",
                    "const uint32_t b02 = microtvm_sxtb16(b);",
                    "const uint32_t b13 = microtvm_sxtb16_odd(b);",
                    "lower += lower_step;",
                )
                words = [
                    f"microtvm_{instruction}(a{lanes}, b{lanes})"
                    for instruction in ("pkhbt", "pkhtb")
                    for lanes in ("02", "13")
                ]
            else:
                words = ["a02", "a13", "a02 >> 16", "a13 >> 16"]
            for n, word in enumerate(words):
                text.add(f"to[{n * lane}] = {word};")
            text.add(f"to += {plan.pairs};")


def _write_source(text: Text, plan: _Plan, name: str, row: int) -> None:
    """Declare where a row of the input is, and the step to its next column."""
    spec = plan.spec
    _, height, width, channels = spec.input_shape
    window = spec.window
    y = f"row * {window.strides[0]} + {row - window.padding[0]}"
    image = "input0" if spec.input_shape[0] == 1 else f"input0 + n * {height * width * channels}"
    address = f"{image} + ({y}) * {width * channels} + channel"
    last = (spec.output_shape[1] - plan.rows) * window.strides[0] + row - window.padding[0]
    if row - window.padding[0] >= 0 and last < height:
        text.add(f"const int8_t *{name} = {address};", f"const int32_t {name}_step = {channels};")
        return
    condition = f"{y} >= 0 && {y} < {height}"
    text.add(
        f"const int8_t *{name} = (const int8_t *)&zero;",
        f"int32_t {name}_step = 0;",
    )
    with text.block(f"if ({condition})"):
        text.add(f"{name} = {address};", f"{name}_step = {channels};")


def _write_edges(text: Text, plan: _Plan) -> None:
    """The columns outside of the image, which stay as they are from then on."""
    before, inside, after = plan.spec.window.split_columns(plan.columns, plan.spec.input_shape[2])
    word = f"{(plan.spec.input_zero_point & 0xFFFF) * 0x10001:#010x}u"
    for first, count in ((0, before), (before + inside, after)):
        if count:
            words = count * plan.pairs
            with text.repeated("lane", _LANES), text.repeated("edge", words):
                place = f"lane * {plan.lane_words} + {first * plan.pairs} + edge"
                text.add(f"columns[{place}] = {word};")


def _write_lanes(text: Text, plan: _Plan, scaling: Scaling, bits: int) -> None:
    """The outputs of four channels."""
    spec = plan.spec
    out_height, out_width, channels = spec.output_shape[1:]
    multiplier = channels // spec.input_shape[3]
    words = _weight_words(plan)
    size_bytes = 4 * -(-len(words) // (16 // bits))
    with text.repeated("lane", _LANES), text.repeated("part", multiplier):
        index = "channel + lane" if multiplier == 1 else f"(channel + lane) * {multiplier} + part"
        text.add(
            f"const int32_t c = {index};",
            f"const int8_t *const weights = constant0 + c * {size_bytes};",
        )
        _write_weights(text, len(words), bits)
        text.add(
            f"const int32_t *const parameters = constant1 + {scaling.stride} * c;",
            "const int32_t initial = parameters[0];",
            *scaling.declare("", "parameters[1]", "c"),
        )
        image = f"(n * {out_height} + row)" if spec.output_shape[0] > 1 else "row"
        text.add(
            f"const uint32_t *from = columns + lane * {plan.lane_words};",
            f"int8_t *to = output + {image} * {out_width * channels} + c;",
        )
        with text.repeated("output_column", out_width, plan.unrolled):
            for column in range(plan.unrolled):
                with text.block():
                    _write_outputs(text, plan, scaling, words, column)
            step = plan.unrolled * spec.window.strides[1] * plan.pairs
            text.add(f"to += {plan.unrolled * channels};", f"from += {step};")


def _write_weights(text: Text, words: int, bits: int) -> None:
    """Declare the words of a channel's weights, which are at `weights`."""
    together = 16 // bits  # words of two taps in four bytes
    for number in range(words):
        taps, place = f"taps{number // together}", number % together
        if place == 0:
            address = f"weights + {4 * (number // together)}"
            text.add(f"const uint32_t {taps} = microtvm_load_word({address});")
        if bits == 8:
            word = f"microtvm_sxtb16{'_odd' if place else ''}({taps})"
        else:
            shifted = f"({taps} >> {bits * place})" if place else taps
            mask, least = ((1 << bits) - 1) * 0x10001, (1 << (bits - 1)) * 0x10001
            word = f"microtvm_ssub16({shifted} & {mask:#010x}u, {least:#010x}u)"
        text.add(f"const uint32_t w{number} = {word};")


def _weight_words(plan: _Plan) -> list[tuple[int, int | None]]:
    """The words that hold the weights: of two taps, and of those that are never in one."""
    words: list[tuple[int, int | None]] = []
    terms = [term for row in plan.terms for term in row]
    for term in terms:
        if term.low is not None and term.high is not None and (term.low, term.high) not in words:
            words.append((term.low, term.high))
    for term in terms:
        for tap in (term.low, term.high):
            if tap is not None and not any(tap in word for word in words):
                words.append((tap, None))
    return words


def _packed_weights(
    weights: npt.NDArray[np.int8], words: list[tuple[int, int | None]], bits: int
) -> npt.NDArray[np.int8]:
    """Of each channel its words, two of them in four bytes: as one instruction each widens them.

    Where weights have less than 8 bits, more of them are in four bytes.
    """
    if bits < 8:
        return _packed_small(weights, words, bits)
    packed = np.zeros((len(weights), -(-len(words) // 2), 4), np.int8)
    for number, (low, high) in enumerate(words):
        packed[:, number // 2, number % 2] = weights[:, low]
        if high is not None:
            packed[:, number // 2, number % 2 + 2] = weights[:, high]
    return packed.reshape(len(weights), -1)


def _packed_small(
    weights: npt.NDArray[np.int8], words: list[tuple[int, int | None]], bits: int
) -> npt.NDArray[np.int8]:
    together = 16 // bits
    halves = np.zeros((len(weights), -(-len(words) // together), 2), "<u2")
    raised = (weights + (1 << (bits - 1))).astype(np.uint16)
    for number, taps in enumerate(words):
        for half, tap in enumerate(taps):
            if tap is not None:
                halves[:, number // together, half] |= raised[:, tap] << (
                    bits * (number % together)
                )
    return halves.view(np.int8).reshape(len(weights), -1)


def _write_outputs(
    text: Text,
    plan: _Plan,
    scaling: Scaling,
    words: list[tuple[int, int | None]],
    output_column: int,
) -> None:
    """One output of each row."""
    _, out_width, channels = plan.spec.output_shape[1:]
    for row in range(plan.rows):
        text.add(f"int32_t sum{row};")
    # Of many rows, the first are done before the last begin: few sums are in registers at a time.
    places = sorted(
        {(term.column, term.pair) for row in plan.terms for term in row},
        key=lambda place: place[::-1] if plan.rows > 2 else place,
    )
    first = output_column * plan.spec.window.strides[1] * plan.pairs
    sums = [scaling.initial("initial")] * plan.rows
    for column, pair in places:
        with text.block():
            text.add(f"const uint32_t x = from[{first + column * plan.pairs + pair}];")
            for row, terms in enumerate(plan.terms):
                for term in terms:
                    if (term.column, term.pair) == (column, pair):
                        text.add(f"sum{row} = {_product(term, words, sums[row])};")
                        sums[row] = f"sum{row}"
    for row in range(plan.rows):
        text.add(f"const int32_t total{row} = {scaling.total(f'sum{row}', 'initial')};")
        value = scaling.output(f"total{row}", "")
        place = (row * out_width + output_column) * channels
        text.add(f"to[{place}] = (int8_t)({value});")


def _product(term: _Term, words: list[tuple[int, int | None]], total: str) -> str:
    """A sum with what a term adds to it."""
    if term.low is not None and term.high is not None:
        word = f"w{words.index((term.low, term.high))}"
        return (
            f"microtvm_smuad(x, {word})" if total == "0" else f"microtvm_smlad(x, {word}, {total})"
        )
    tap = term.low if term.low is not None else term.high
    half = "b" if term.low is not None else "t"
    number = next(n for n, word in enumerate(words) if tap in word)
    other = "b" if words[number][0] == tap else "t"
    return f"microtvm_smla{half}{other}(x, w{number}, {total})"
