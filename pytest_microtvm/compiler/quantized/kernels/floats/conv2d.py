"""Convolutions over float32, blocked so that a compiler keeps the sums in registers.

A few pixels beside each other meet a few output channels at a time. The taps of a pixel in a row of
the kernel lie side by side in the image: they are read where they are. Pixels whose kernel reaches
beyond the left or the right edge are computed one by one, over those taps that are inside.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from pytest_microtvm.compiler.quantized.float_specs import FloatConv2D
from pytest_microtvm.compiler.quantized.kernels.c_text import Text
from pytest_microtvm.compiler.quantized.kernels.floats.image import axes, borders
from pytest_microtvm.compiler.quantized.kernels.floats.text import HEADERS, StoredWeights, bounded
from pytest_microtvm.compiler.quantized.kernels.text import Constants
from pytest_microtvm.compiler.quantized.specs import KernelSource, Role

_LAYOUT = (
    "{} output channels at a time (the last may be fewer), tap after tap in the order of height, "
    "width and input channel, the weights of these output channels side by side"
)


@dataclass(frozen=True)
class Block:
    """What is computed at once.

    Args:
        pixels: Beside each other.
        channels: Of the output.
    """

    pixels: int
    channels: int

    @property
    def registers(self) -> int:
        """For the sums, the pixels or the weights of a tap, one of the others, and a product."""
        return self.pixels * self.channels + min(self.pixels, self.channels) + 2

    @property
    def instructions(self) -> int:
        """Of one tap: a load for each pixel and channel; multiplications and additions."""
        return self.pixels + self.channels + 2 * self.pixels * self.channels


def conv2d(spec: FloatConv2D, registers: int) -> KernelSource:
    """A convolution in plain C.

    Args:
        spec: What is to be computed.
        registers: How many floats the CPU keeps at hand.
    """
    return _Writer(spec, registers).source()


class _Writer:
    """Writes a convolution; the arguments of `conv2d`."""

    def __init__(self, spec: FloatConv2D, registers: int) -> None:
        self._spec = spec = _flattened(spec)
        self._weights = StoredWeights(spec.weights)
        self._vertical, self._horizontal = axes(spec.input_shape, spec.output_shape, spec.window)
        self._width, self._depth = spec.input_shape[2:]
        self._channels = spec.output_shape[3]
        self._block = self._fastest(registers)

    def source(self) -> KernelSource:
        """The kernel."""
        spec = self._spec
        text = Text()
        batches, height, width, _ = spec.output_shape
        image_size = int(np.prod(spec.input_shape[1:]))
        with text.repeated("n", batches), text.repeated("y", height):
            first, _ = self._vertical.declare(text)
            row = f"y * {spec.window.strides[0]} - {spec.window.padding[0]}"
            step = spec.window.dilation[0]
            row = f"{row} + {first} * {step}" if first != "0" else row
            text.add(
                f"const float *const image = input0 + n * {image_size} + "
                f"({row}) * {self._width * self._depth};",
                f"float *const to_row = output + (n * {height} + y) * {width * self._channels};",
            )
            self._write_interior(text)
            if self._horizontal.is_padded:
                self._write_borders(text)
        taps = int(np.prod(spec.weights.values.shape[1:]))
        return KernelSource(
            input_dtypes=("float32",),
            constants=tuple(self._constants()),
            output_dtype="float32",
            body=str(text),
            macs=batches * height * width * self._channels * taps,
            headers=HEADERS,
            roles=tuple(self._roles()),
            is_float=True,
        )

    def _fastest(self, registers: int) -> Block:
        """The block that takes the fewest instructions."""
        interior = len(self._horizontal.interior)
        border = self._spec.output_shape[2] - interior

        def cost(block: Block) -> int:
            total = 0
            for channels in self._parts(block.channels):
                part = replace(block, channels=channels)
                whole = -(-interior // block.pixels) * part.instructions
                total += whole + border * replace(part, pixels=1).instructions
            return total

        blocks = [
            Block(pixels, channels)
            for pixels in range(1, max(1, interior) + 1)
            for channels in range(1, self._channels + 1)
        ]
        return min((b for b in blocks if b.registers <= registers), key=cost)

    def _parts(self, size: int) -> list[int]:
        """How many output channels each block has."""
        whole, rest = divmod(self._channels, size)
        return [size] * whole + [rest] * (rest > 0)

    def _constants(self) -> Constants:
        spec = self._spec
        rows = spec.weights.values.reshape(self._channels, -1)
        ordered: list[npt.NDArray[np.generic]] = []
        first = 0
        for size in self._parts(self._block.channels):
            ordered.append(np.ascontiguousarray(rows[first : first + size].T))
            first += size
        constants: Constants = [self._weights.stored(ordered)]
        constants += [] if spec.bias is None else [spec.bias]
        constants += [] if spec.weights.scales is None else [spec.weights.scales]
        return constants

    def _roles(self) -> Sequence[Role]:
        roles = [Role("weights", _LAYOUT.format(self._block.channels))]
        if self._spec.bias is not None:
            roles.append(Role("bias", "of each output channel"))
        if self._spec.weights.scales is not None:
            roles.append(Role("scales", "of each output channel, of its weights"))
        return roles

    # The pixels of a row.

    def _write_interior(self, text: Text) -> None:
        interior, pixels = self._horizontal.interior, self._block.pixels
        if not interior:
            return
        last = interior.stop - pixels
        with text.repeated("first", len(interior), pixels):
            start = f"{interior.start} + first" if interior.start else "first"
            if len(interior) % pixels:
                start = f"{start} < {last} ? {start} : {last}"
            stride, padding = self._spec.window.strides[1], self._spec.window.padding[1]
            text.add(
                f"const int32_t x = {start};",
                f"const float *const patch = image + (x * {stride} - {padding}) * {self._depth};",
            )
            self._write_channels(text, pixels)

    def _write_borders(self, text: Text) -> None:
        with borders(text, self._horizontal):
            first, _ = self._horizontal.declare(text)
            step = self._spec.window.dilation[1]
            text.add(
                f"const float *const patch = image + (x_start + {first} * {step}) * {self._depth};"
            )
            self._write_channels(text, 1, is_border=True)

    # The output channels of some pixels.

    def _write_channels(self, text: Text, pixels: int, is_border: bool = False) -> None:
        spec = self._spec
        text.add(f"const {self._weights.c_type} *weights = constant0;")
        text.add(f"float *to = to_row + x * {self._channels};")
        factors = []
        if spec.bias is not None:
            text.add("const float *bias = constant1;")
            factors.append("bias")
        if spec.weights.scales is not None:
            text.add(f"const float *scales = constant{1 + len(factors)};")
            factors.append("scales")
        size = self._block.channels
        whole, rest = divmod(self._channels, size)
        for count, channels in ((whole * size, size), (rest, rest)):
            if count:
                with text.repeated("channel", count, channels):
                    self._write_block(text, Block(pixels, channels), is_border)
                    advance = int(np.prod(spec.weights.values.shape[1:])) * channels
                    text.add(f"weights += {advance};", f"to += {channels};")
                    text.add(*(f"{name} += {channels};" for name in factors))

    def _write_block(self, text: Text, block: Block, is_border: bool) -> None:
        spec = self._spec
        is_scaled = spec.weights.scales is not None
        begins = spec.bias is not None and not is_scaled
        for n in range(block.channels):
            for p in range(block.pixels):
                start = "0.0f" if not begins else f"bias[{n}]" if p == 0 else f"sum{n}_0"
                text.add(f"float sum{n}_{p} = {start};")
        self._write_rows(text, block, is_border)
        for p in range(block.pixels):
            for n in range(block.channels):
                value = f"sum{n}_{p}"
                if is_scaled:
                    value += f" * scales[{n}]"
                    value += f" + bias[{n}]" if spec.bias is not None else ""
                text.add(f"to[{p * self._channels + n}] = {bounded(value, spec.bounds)};")

    # The taps of a block.

    def _write_rows(self, text: Text, block: Block, is_border: bool) -> None:
        """The rows of the kernel."""
        vertical, window = self._vertical, self._spec.window
        first, end = ("first_y", "end_y") if vertical.is_padded else ("0", str(vertical.taps))
        row_weights = window.shape[1] * self._depth * block.channels
        start = f"weights + {first} * {row_weights}" if first != "0" else "weights"
        text.add("const float *row = patch;")
        text.add(f"const {self._weights.c_type} *row_weights = {start};")
        if vertical.taps == 1 and not vertical.is_padded:
            self._write_row(text, block, is_border)
            return
        with text.block(f"for (int32_t i = {first}; i < {end}; ++i)"):
            self._write_row(text, block, is_border)
            text.add(f"row += {self._width * self._depth * window.dilation[0]};")
            text.add(f"row_weights += {row_weights};")

    def _write_row(self, text: Text, block: Block, is_border: bool) -> None:
        """The taps of a row of the kernel: as many runs as they do not lie side by side."""
        horizontal = self._horizontal
        columns, step = horizontal.taps, horizontal.dilation
        tap_weights = self._depth * block.channels
        first, end = ("first_x", "end_x") if is_border else ("0", str(columns))
        if columns == 1 or step == 1:
            offset = f" + {first} * {tap_weights}" if is_border else ""
            length = f"({end} - {first}) * {self._depth}"
            length = length if is_border else str(columns * self._depth)
            self._write_run(text, block, "row", f"row_weights{offset}", length)
            return
        with text.block(f"for (int32_t j = {first}; j < {end}; ++j)"):
            at = f"(j - {first})" if is_border else "j"
            self._write_run(
                text,
                block,
                f"row + {at} * {step * self._depth}",
                f"row_weights + j * {tap_weights}",
                str(self._depth),
            )

    def _write_run(self, text: Text, block: Block, start: str, weights: str, length: str) -> None:
        """Taps side by side, each of all pixels times its weights for all channels at hand.

        They are not unrolled: a C compiler would move loads ahead until it runs out of registers.
        """
        pitch = self._spec.window.strides[1] * self._depth
        pixels = [f"taps[{p * pitch}]" for p in range(block.pixels)]
        factors = [self._weights.read(f"w[{n}]") for n in range(block.channels)]
        is_narrow = block.pixels < block.channels
        held, others = (pixels, factors) if is_narrow else (factors, pixels)
        with text.block():
            text.add(f"const float *taps = {start};")
            text.add(f"const {self._weights.c_type} *w = {weights};")
            with text.block(f"for (int32_t k = 0; k < {length}; ++k)"):
                text.add(*(f"const float a{n} = {value};" for n, value in enumerate(held)))
                for m, value in enumerate(others):
                    with text.block():
                        text.add(f"const float b = {value};")
                        for n in range(len(held)):
                            total = f"sum{m}_{n}" if is_narrow else f"sum{n}_{m}"
                            text.add(f"{total} += a{n} * b;")
                text.add("++taps;", f"w += {block.channels};")


def _flattened(spec: FloatConv2D) -> FloatConv2D:
    """A convolution whose pixels follow each other as one row of them."""
    window = spec.window
    is_inside = window.is_inside(spec.input_shape, spec.output_shape)
    if window.shape != (1, 1) or not is_inside or spec.input_shape[:3] != spec.output_shape[:3]:
        return spec
    pixels = int(np.prod(spec.input_shape[:3]))
    return replace(
        spec,
        input_shape=(1, 1, pixels, spec.input_shape[3]),
        output_shape=(1, 1, pixels, spec.output_shape[3]),
    )
