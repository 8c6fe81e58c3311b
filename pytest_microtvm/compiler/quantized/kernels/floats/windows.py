"""What convolutions over float32 have in common: the order in which outputs are computed.

A few pixels beside each other meet a few output channels at a time, so that a C compiler keeps the
sums in registers. The image is read where it is: rows of the kernel that are above or below it are
left out, and pixels whose kernel reaches beyond the left or the right edge are computed one by one,
over those taps that are inside.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from pytest_microtvm.compiler.quantized.float_specs import FloatConv2D, FloatDepthwiseConv2D
from pytest_microtvm.compiler.quantized.kernels.c_text import Text
from pytest_microtvm.compiler.quantized.kernels.floats.image import axes, borders
from pytest_microtvm.compiler.quantized.kernels.floats.text import HEADERS, StoredWeights, bounded
from pytest_microtvm.compiler.quantized.kernels.text import Constants
from pytest_microtvm.compiler.quantized.specs import KernelSource, Role

LOOP_INSTRUCTIONS = 4
"""Of a loop over taps: two pointers that advance, a comparison, a branch."""


@dataclass(frozen=True)
class Block:
    """What is computed at once.

    Args:
        pixels: Beside each other.
        channels: Of the output.
    """

    pixels: int
    channels: int


class WindowWriter(ABC):
    """Writes the kernel of a convolution.

    Args:
        spec: What is to be computed.
        registers: How many floats the CPU keeps at hand.
    """

    layout: str
    """How the weights are laid out, with the number of channels of a block left open."""

    def __init__(self, spec: FloatConv2D | FloatDepthwiseConv2D, registers: int) -> None:
        self.spec = spec
        self.weights = StoredWeights(spec.weights)
        self.vertical, self.horizontal = axes(spec.input_shape, spec.output_shape, spec.window)
        self.width, self.depth = spec.input_shape[2:]
        self.channels = spec.output_shape[3]
        self.rows = spec.weights.values.reshape(self.channels, -1)
        self.block = self._fastest(registers)

    # What depends on the kind of convolution.

    @abstractmethod
    def registers(self, block: Block) -> int:
        """Floats that are at hand while a tap is computed."""

    @abstractmethod
    def instructions(self, block: Block) -> int:
        """Of one tap of a block."""

    @abstractmethod
    def is_possible(self, block: Block) -> bool:
        """Whether outputs can be computed in such blocks."""

    @abstractmethod
    def column_weights(self, block: Block) -> int:
        """Weights that a column of the kernel has for a block."""

    @abstractmethod
    def inputs_of(self, channels: int) -> int:
        """Channels of the input by which the next so many of the output begin to read later."""

    @abstractmethod
    def write_row(self, text: Text, block: Block, is_border: bool) -> None:
        """The taps of a row of the kernel, which begin at `row`, their weights at `row_weights`.

        Args:
            text: Where to write.
            block: What is computed.
            is_border: Whether the columns are those from `first_x` to before `end_x` only, the
                first of which is at `row`.
        """

    # The kernel.

    def source(self) -> KernelSource:
        """The kernel."""
        spec, text = self.spec, Text()
        batches, height, width, _ = spec.output_shape
        image_size = int(np.prod(spec.input_shape[1:]))
        with text.repeated("n", batches), text.repeated("y", height):
            first, _ = self.vertical.declare(text)
            row = f"y * {spec.window.strides[0]} - {spec.window.padding[0]}"
            step = spec.window.dilation[0]
            row = f"{row} + {first} * {step}" if first != "0" else row
            text.add(
                f"const float *const image = input0 + n * {image_size} + "
                f"({row}) * {self.width * self.depth};",
                f"float *const to_row = output + (n * {height} + y) * {width * self.channels};",
            )
            self._write_interior(text)
            if self.horizontal.is_padded:
                self._write_borders(text)
        return KernelSource(
            input_dtypes=("float32",),
            constants=tuple(self._constants()),
            output_dtype="float32",
            body=str(text),
            macs=batches * height * width * self.rows.size,
            headers=HEADERS,
            roles=tuple(self._roles()),
            is_float=True,
        )

    def _fastest(self, registers: int) -> Block:
        """The block that takes the fewest instructions."""
        interior = len(self.horizontal.interior)
        border = self.horizontal.outputs - interior

        def cost(block: Block) -> int:
            total = 0
            for channels in self._parts(block.channels):
                part = replace(block, channels=channels)
                whole = -(-interior // block.pixels) * self.instructions(part)
                total += whole + border * self.instructions(replace(part, pixels=1))
            return total

        blocks = [
            Block(pixels, channels)
            for pixels in range(1, max(1, interior) + 1)
            for channels in range(1, self.channels + 1)
        ]
        possible = [block for block in blocks if self.is_possible(block)]
        fitting = [block for block in possible if self.registers(block) <= registers]
        return min(fitting or possible[:1], key=cost)

    def _parts(self, size: int) -> list[int]:
        """How many output channels each block has."""
        whole, rest = divmod(self.channels, size)
        return [size] * whole + [rest] * (rest > 0)

    def _constants(self) -> Constants:
        spec = self.spec
        ordered: list[npt.NDArray[np.generic]] = []
        first = 0
        for size in self._parts(self.block.channels):
            ordered.append(np.ascontiguousarray(self.rows[first : first + size].T))
            first += size
        constants: Constants = [self.weights.stored(ordered)]
        constants += [] if spec.bias is None else [spec.bias]
        constants += [] if spec.weights.scales is None else [spec.weights.scales]
        return constants

    def _roles(self) -> Sequence[Role]:
        roles = [Role("weights", self.layout.format(self.block.channels))]
        if self.spec.bias is not None:
            roles.append(Role("bias", "of each output channel"))
        if self.spec.weights.scales is not None:
            roles.append(Role("scales", "of each output channel, of its weights"))
        return roles

    # The pixels of a row.

    def _write_interior(self, text: Text) -> None:
        interior, pixels = self.horizontal.interior, self.block.pixels
        if not interior:
            return
        last = interior.stop - pixels
        with text.repeated("first", len(interior), pixels):
            start = f"{interior.start} + first" if interior.start else "first"
            if len(interior) % pixels:
                start = f"{start} < {last} ? {start} : {last}"
            stride, padding = self.horizontal.stride, self.horizontal.padding
            text.add(
                f"const int32_t x = {start};",
                f"const float *patch = image + (x * {stride} - {padding}) * {self.depth};",
            )
            self._write_channels(text, pixels, is_border=False)

    def _write_borders(self, text: Text) -> None:
        with borders(text, self.horizontal):
            first, _ = self.horizontal.declare(text)
            step = self.horizontal.dilation
            text.add(f"const float *patch = image + (x_start + {first} * {step}) * {self.depth};")
            self._write_channels(text, 1, is_border=True)

    # The output channels of some pixels.

    def _write_channels(self, text: Text, pixels: int, is_border: bool) -> None:
        spec = self.spec
        text.add(f"const {self.weights.c_type} *weights = constant0;")
        text.add(f"float *to = to_row + x * {self.channels};")
        factors = []
        if spec.bias is not None:
            text.add("const float *bias = constant1;")
            factors.append("bias")
        if spec.weights.scales is not None:
            text.add(f"const float *scales = constant{1 + len(factors)};")
            factors.append("scales")
        size = self.block.channels
        whole, rest = divmod(self.channels, size)
        for count, channels in ((whole * size, size), (rest, rest)):
            if not count:
                continue
            with text.repeated("channel", count, channels):
                block = Block(pixels, channels)
                self._write_block(text, block, is_border)
                advance = {
                    "weights": self.column_weights(block) * int(np.prod(spec.window.shape)),
                    "to": channels,
                    "patch": self.inputs_of(channels),
                    **dict.fromkeys(factors, channels),
                }
                text.add(*(f"{name} += {step};" for name, step in advance.items() if step))

    def _write_block(self, text: Text, block: Block, is_border: bool) -> None:
        spec = self.spec
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
                text.add(f"to[{p * self.channels + n}] = {bounded(value, spec.bounds)};")

    def _write_rows(self, text: Text, block: Block, is_border: bool) -> None:
        """The rows of the kernel."""
        vertical = self.vertical
        first, end = ("first_y", "end_y") if vertical.is_padded else ("0", str(vertical.taps))
        row_weights = self.horizontal.taps * self.column_weights(block)
        start = f"weights + {first} * {row_weights}" if first != "0" else "weights"
        text.add("const float *row = patch;")
        text.add(f"const {self.weights.c_type} *row_weights = {start};")
        if vertical.taps == 1 and not vertical.is_padded:
            self.write_row(text, block, is_border)
            return
        with text.block(f"for (int32_t i = {first}; i < {end}; ++i)"):
            self.write_row(text, block, is_border)
            text.add(f"row += {self.width * self.depth * vertical.dilation};")
            text.add(f"row_weights += {row_weights};")
