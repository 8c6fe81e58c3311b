"""Depthwise convolutions in portable C: the weights of a channel stay in registers for a row.

The rows of the input that a row of outputs reads are copied with their padding, when they have any.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pytest_microtvm.compiler.quantized.choices import Choice, Tunable, Workload
from pytest_microtvm.compiler.quantized.kernels import parts
from pytest_microtvm.compiler.quantized.kernels.accumulators import Sums
from pytest_microtvm.compiler.quantized.kernels.c_text import Text
from pytest_microtvm.compiler.quantized.kernels.overlap import is_by_channels, of_rows
from pytest_microtvm.compiler.quantized.kernels.scaling import Scaling, plan_scaling
from pytest_microtvm.compiler.quantized.kernels.text import Constants
from pytest_microtvm.compiler.quantized.specs import DepthwiseConv2D, KernelSource, Role

_UNROLLED_TAPS = 32
_MOST_COLUMNS = 5


@dataclass(frozen=True)
class DepthwiseChoice(Choice):
    """How a depthwise convolution is blocked.

    Args:
        columns: Outputs of a row that are written without a loop.
    """

    columns: int


def _candidates(workload: Workload) -> tuple[DepthwiseChoice, ...]:
    """The ways to write the depthwise convolution of a workload."""
    width = workload.output_shape[2]
    return tuple(DepthwiseChoice(n) for n in range(1, _MOST_COLUMNS + 1) if width % n == 0)


DEPTHWISE = Tunable("none.depthwise", _candidates)


def depthwise_conv2d(spec: DepthwiseConv2D, choice: DepthwiseChoice) -> KernelSource:
    """A depthwise convolution of int8 with weights of zero point 0."""
    _, height, width, channels = spec.input_shape
    batches, out_height, out_width, out_channels = spec.output_shape
    window = spec.window
    # A row for each channel, its taps in the order of the image.
    weights = np.ascontiguousarray(spec.weights.reshape(-1, out_channels).T)
    sums = Sums.of(weights, spec.bias, spec.input_zero_point)
    scaling = plan_scaling(spec.requantization, sums)
    bits = parts.bits_of(weights)
    stored = np.stack([parts.packed(row, bits) for row in weights])
    constants: Constants = [stored, scaling.parameters(), *scaling.constants]
    text = Text()
    columns = window.columns_seen(out_width)
    is_padded = not window.is_inside(spec.input_shape, spec.output_shape)
    with text.repeated("n", batches), text.repeated("y", out_height):
        text.add(f"const int8_t *const image = input0 + n * {height * width * channels};")
        if is_padded:
            write_copy(text, spec, columns)
            row_bytes, tap_row_bytes = columns * channels, columns * channels
            text.add("const int8_t *const rows = (const int8_t *)workspace;")
        else:
            row_bytes = width * channels
            tap_row_bytes = row_bytes * window.dilation[0]
            text.add(f"const int8_t *const rows = image + y * {row_bytes * window.strides[0]};")
        offsets = [
            i * tap_row_bytes + j * window.dilation[1] * channels
            for i in range(window.shape[0])
            for j in range(window.shape[1])
        ]
        text.add(
            f"int8_t *const to_row = output + (n * {out_height} + y) * {out_width * out_channels};"
        )
        _write_channels(text, spec, scaling, offsets, tap_row_bytes, choice.columns, bits)
    return KernelSource(
        input_dtypes=("int8",),
        constants=tuple(constants),
        output_dtype="int8",
        body=str(text),
        workspace_bytes=window.shape[0] * columns * channels if is_padded else 0,
        in_place=(0,) if is_by_channels(spec, 1) else (),
        overlaps=of_rows(spec, range(out_height), 1),
        macs=int(np.prod(spec.output_shape)) * weights.shape[1],
        headers=("tvmgen_integer_scale.h", *([parts.HEADER] if bits < 8 else [])),
        roles=(
            Role(
                "weights",
                "channel after channel, of each the taps in the order of height and width"
                + parts.layout(bits),
            ),
            *scaling.roles(),
        ),
    )


def write_copy(
    text: Text,
    spec: DepthwiseConv2D,
    columns: int,
    copy: str = "microtvm_copy",
    fill: str = "memset",
) -> None:
    """The rows that output row `y` reads, with the columns that are not there.

    Args:
        text: Gets the statements.
        spec: The convolution.
        columns: How many there are in a row.
        copy: C: the name of a function like memcpy.
        fill: Of one like memset.
    """
    _, height, width, channels = spec.input_shape
    window = spec.window
    before, inside, after = window.split_columns(columns, width)
    zero = spec.input_zero_point
    text.add("int8_t *to_rows = (int8_t *)workspace;")
    with text.block(f"for (int32_t row = 0; row < {window.shape[0]}; ++row)"):
        text.add(
            f"const int32_t from_y = y * {window.strides[0]} + row * {window.dilation[0]} - "
            f"{window.padding[0]};"
        )
        with text.block(f"if (from_y < 0 || from_y >= {height})"):
            text.add(f"{fill}(to_rows, {zero}, {columns * channels});")
        with text.block("else"):
            if before:
                text.add(f"{fill}(to_rows, {zero}, {before * channels});")
            text.add(
                f"{copy}(to_rows + {before * channels}, image + from_y * {width * channels}, "
                f"{inside * channels});"
            )
            if after:
                text.add(
                    f"{fill}(to_rows + {(before + inside) * channels}, {zero}, {after * channels});"
                )
        text.add(f"to_rows += {columns * channels};")


def _write_channels(
    text: Text,
    spec: DepthwiseConv2D,
    scaling: Scaling,
    offsets: list[int],
    tap_row_bytes: int,
    unrolled: int,
    bits: int,
) -> None:
    """One row of outputs, channel after channel."""
    channels, out_channels = spec.input_shape[3], spec.output_shape[3]
    out_width = spec.output_shape[2]
    multiplier = out_channels // channels
    with text.repeated("c", out_channels):
        text.add(
            f"const int8_t *const weights = constant0 + c * {-(-len(offsets) * bits // 8)};",
            f"const int32_t *const parameters = constant1 + {scaling.stride} * c;",
            "const int32_t initial = parameters[0];",
            *scaling.declare("", "parameters[1]", "c"),
            f"const int8_t *from = rows + {'c' if multiplier == 1 else f'c / {multiplier}'};",
            "int8_t *to = to_row + c;",
        )
        if len(offsets) <= _UNROLLED_TAPS:
            for n in range(len(offsets)):
                text.add(f"const int32_t w{n} = {parts.element('weights', n, bits)};")
        with text.repeated("x", out_width, unrolled):
            for _ in range(unrolled):
                with text.block():
                    _write_output(text, spec, scaling, offsets, tap_row_bytes, bits)


def _write_output(
    text: Text,
    spec: DepthwiseConv2D,
    scaling: Scaling,
    offsets: list[int],
    tap_row_bytes: int,
    bits: int,
) -> None:
    """One output; then on to the next."""
    channels, window = spec.input_shape[3], spec.window
    text.add(f"int32_t sum = {scaling.initial('initial')};")
    if len(offsets) <= _UNROLLED_TAPS:
        for n, offset in enumerate(offsets):
            text.add(f"sum += from[{offset}] * w{n};")
    else:
        rows, columns = window.shape
        step = window.dilation[1] * channels
        with (
            text.block(f"for (int32_t i = 0; i < {rows}; ++i)"),
            text.block(f"for (int32_t j = 0; j < {columns}; ++j)"),
        ):
            weight = parts.element_at("weights", f"i * {columns} + j", bits)
            text.add(f"sum += from[i * {tap_row_bytes} + j * {step}] * {weight};")
    text.add(f"const int32_t total = {scaling.total('sum', 'initial')};")
    value = scaling.output("total", "")
    text.add(
        f"*to = (int8_t)({value});",
        f"to += {spec.output_shape[3]};",
        f"from += {window.strides[1] * channels};",
    )
