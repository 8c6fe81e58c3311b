"""Pools and reductions over float32."""

from __future__ import annotations

import math

from pytest_microtvm.compiler.quantized.float_specs import FloatPool, FloatReduction
from pytest_microtvm.compiler.quantized.kernels.c_text import Text
from pytest_microtvm.compiler.quantized.kernels.floats.image import axes
from pytest_microtvm.compiler.quantized.kernels.floats.text import HEADERS, bounded, number
from pytest_microtvm.compiler.quantized.specs import KernelSource

_CHANNELS = 8
"""How many channels are computed at once, at the most."""

_STARTS = {"average": "0.0f", "mean": "0.0f", "sum": "0.0f", "max": "-INFINITY", "min": "INFINITY"}
_STEPS = {
    "average": "{0} += {1};",
    "mean": "{0} += {1};",
    "sum": "{0} += {1};",
    "max": "{0} = microtvm_at_least({1}, {0});",
    "min": "{0} = microtvm_at_most({1}, {0});",
}


def pool(spec: FloatPool) -> KernelSource:
    """A kernel that reads the taps inside of the image."""
    batches, height, width, channels = spec.output_shape
    _, rows, columns, _ = spec.input_shape
    vertical, horizontal = axes(spec.input_shape, spec.output_shape, spec.window)
    text = Text()
    with text.repeated("n", batches), text.repeated("y", height):
        first_y, end_y = vertical.declare(text)
        with text.repeated("x", width):
            first_x, end_x = horizontal.declare(text)
            step_y, step_x = spec.window.dilation
            stride_y, stride_x = spec.window.strides
            above, before = spec.window.padding
            row = f"y * {stride_y} - {above} + {first_y} * {step_y}"
            column = f"x * {stride_x} - {before} + {first_x} * {step_x}"
            text.add(
                f"const float *patch = input0 + n * {rows * columns * channels} + "
                f"(({row}) * {columns} + ({column})) * {channels};"
            )
            mean = ""
            if spec.kind == "average":
                is_padded = vertical.is_padded or horizontal.is_padded
                mean = f" / {number(math.prod(spec.window.shape))}"
                if is_padded and not spec.counts_padding:
                    count = f"({end_y} - {first_y}) * ({end_x} - {first_x})"
                    text.add(f"const float count = (float)({count});")
                    mean = " / count"

            def write(size: int) -> None:
                _write_starts(text, spec.kind, size)
                text.add("const float *row = patch;")
                with text.block(f"for (int32_t i = {first_y}; i < {end_y}; ++i)"):
                    text.add("const float *from = row;")
                    with text.block(f"for (int32_t j = {first_x}; j < {end_x}; ++j)"):
                        _write_step(text, spec.kind, size)
                        text.add(f"from += {step_x * channels};")
                    text.add(f"row += {step_y * columns * channels};")
                for c in range(size):
                    text.add(f"output[{c}] = {bounded(f'value{c}{mean}', spec.bounds)};")
                text.add(f"patch += {size};", f"output += {size};")

            for count_at_once, size in _parts(channels):
                with text.repeated("channel", count_at_once, size):
                    write(size)
    return _source(text)


def reduction(spec: FloatReduction) -> KernelSource:
    """A kernel that goes through the columns a few at a time."""
    text = Text()
    mean = f" / {number(spec.extent)}" if spec.kind == "mean" else ""
    with text.repeated("row", spec.rows):
        for count, size in _parts(spec.columns):
            with text.repeated("column", count, size):
                _write_starts(text, spec.kind, size)
                text.add("const float *from = input0;")
                with text.block(f"for (int32_t i = 0; i < {spec.extent}; ++i)"):
                    _write_step(text, spec.kind, size)
                    text.add(f"from += {spec.columns};")
                for c in range(size):
                    text.add(f"output[{c}] = {bounded(f'value{c}{mean}', spec.bounds)};")
                text.add(f"input0 += {size};", f"output += {size};")
        text.add(f"input0 += {(spec.extent - 1) * spec.columns};")
    return _source(text)


def _parts(channels: int) -> list[tuple[int, int]]:
    """How many channels are computed so many at a time; then those that are left."""
    size = min(channels, _CHANNELS)
    whole, rest = divmod(channels, size)
    return [(whole * size, size), *([(rest, rest)] if rest else [])]


def _write_starts(text: Text, kind: str, size: int) -> None:
    text.add(*(f"float value{c} = {_STARTS[kind]};" for c in range(size)))


def _write_step(text: Text, kind: str, size: int) -> None:
    """What is at `from` goes into the values."""
    text.add(*(_STEPS[kind].format(f"value{c}", f"from[{c}]") for c in range(size)))


def _source(text: Text) -> KernelSource:
    return KernelSource(("float32",), (), "float32", str(text), headers=HEADERS, is_float=True)
