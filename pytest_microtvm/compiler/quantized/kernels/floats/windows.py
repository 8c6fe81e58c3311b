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

from pytest_microtvm.compiler.quantized.float_specs import FloatConvolution
from pytest_microtvm.compiler.quantized.kernels.c_text import Text
from pytest_microtvm.compiler.quantized.kernels.floats.image import axes, borders
from pytest_microtvm.compiler.quantized.kernels.floats.lanes import Lanes
from pytest_microtvm.compiler.quantized.kernels.floats.text import StoredWeights
from pytest_microtvm.compiler.quantized.kernels.text import Constants
from pytest_microtvm.compiler.quantized.specs import KernelSource, Role

LOOP_INSTRUCTIONS = 4
"""Of a loop over taps: two pointers that advance, a comparison, a branch."""


@dataclass(frozen=True)
class Block:
    """What is computed at once.

    Args:
        pixels: Beside each other.
        units: Of the output channels, as many as a register holds each.
    """

    pixels: int
    units: int

    @property
    def sums(self) -> int:
        """Registers that hold the sums."""
        return self.pixels * self.units


class WindowWriter(ABC):
    """Writes the kernel of a convolution.

    Args:
        spec: What is to be computed.
        lanes: How channels are computed beside each other.
    """

    layout: str
    """How the weights are laid out, with the number of channels of a block left open."""

    def __init__(self, spec: FloatConvolution, lanes: Lanes) -> None:
        self.spec = spec
        self.lanes = lanes
        self.weights = StoredWeights(spec.weights)
        self.vertical, self.horizontal = axes(spec.input_shape, spec.output_shape, spec.window)
        self.width, self.depth = spec.input_shape[2:]
        self.channels = spec.output_shape[3]
        self.rows = spec.weights.values.reshape(self.channels, -1)
        self.block = self._fastest()

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
            headers=(*self.lanes.headers, *self.weights.headers),
            roles=tuple(self._roles()),
            is_float=True,
        )

    def _fastest(self) -> Block:
        """The block that takes the fewest instructions."""
        interior = len(self.horizontal.interior)
        border = self.horizontal.outputs - interior

        def cost(block: Block) -> int:
            total = 0
            for part in self._parts(block):
                whole = -(-interior // block.pixels) * self.instructions(part)
                total += whole + border * self.instructions(replace(part, pixels=1))
            return total

        blocks = [
            Block(pixels, units)
            for pixels in range(1, max(1, interior) + 1)
            for units in range(1, self.channels // self.lanes.count + 1)
        ]
        possible = [block for block in blocks if self.is_possible(block)]
        fitting = [block for block in possible if self.registers(block) <= self.lanes.registers]
        return min(fitting or possible[:1], key=cost)

    def _parts(self, block: Block) -> list[Block]:
        """The blocks of all output channels, smaller ones at the end."""
        whole, rest = divmod(self.channels // self.lanes.count, block.units)
        tail = [1] if self._overlap else []
        sizes = [block.units] * whole + [rest] * (rest > 0) + tail
        return [replace(block, units=size) for size in sizes]

    @property
    def _overlap(self) -> int:
        """Channels that the last unit computes once more, having too few of its own."""
        return -self.channels % self.lanes.count

    def _constants(self) -> Constants:
        spec = self.spec
        ordered: list[npt.NDArray[np.generic]] = []
        first = 0
        for part in self._parts(self.block):
            count = part.units * self.lanes.count
            first = min(first, self.channels - count)
            ordered.append(np.ascontiguousarray(self.rows[first : first + count].T))
            first += count
        constants: Constants = [self.weights.stored(ordered)]
        constants += [] if spec.bias is None else [spec.bias]
        scales = spec.weights.scales
        return constants if scales is None or scales.size == 1 else [*constants, scales]

    def _roles(self) -> Sequence[Role]:
        roles = [Role("weights", self.layout.format(self.block.units * self.lanes.count))]
        if self.spec.bias is not None:
            roles.append(Role("bias", "of each output channel"))
        scales = self.spec.weights.scales
        if scales is not None and scales.size > 1:
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
        scales = spec.weights.scales
        if scales is not None and scales.size > 1:
            text.add(f"const float *scales = constant{1 + len(factors)};")
            factors.append("scales")
        count, size = self.lanes.count, self.block.units
        whole, rest = divmod(self.channels // count, size)
        parts = [(whole * size, size), (rest, rest), (1 if self._overlap else 0, 1)]
        for number, (total, units) in enumerate(parts):
            if not total:
                continue
            if number == 2:
                back = {"to": 1, "patch": self.inputs_of(1), **dict.fromkeys(factors, 1)}
                text.add(*(f"{name} -= {n * self._overlap};" for name, n in back.items() if n))
            with text.repeated("channel", total * count, units * count):
                block = Block(pixels, units)
                self._write_block(text, block, is_border)
                advance = {
                    "weights": self.column_weights(block) * int(np.prod(spec.window.shape)),
                    "to": units * count,
                    "patch": self.inputs_of(units * count),
                    **dict.fromkeys(factors, units * count),
                }
                text.add(*(f"{name} += {step};" for name, step in advance.items() if step))

    def _write_block(self, text: Text, block: Block, is_border: bool) -> None:
        spec, lanes = self.spec, self.lanes
        scales = spec.weights.scales
        begins = spec.bias is not None and scales is None
        for n in range(block.units):
            start = lanes.load("bias", n * lanes.count) if begins else lanes.all(0.0)
            text.add(f"{lanes.c_type} sum{n}_0 = {start};")
            text.add(*(f"{lanes.c_type} sum{n}_{p} = sum{n}_0;" for p in range(1, block.pixels)))
        self._write_rows(text, block, is_border)
        for p in range(block.pixels):
            for n in range(block.units):
                at = n * lanes.count
                value = f"sum{n}_{p}"
                if scales is not None:
                    bias = None if spec.bias is None else lanes.load("bias", at)
                    is_one = scales.size == 1
                    scale = lanes.all(float(scales[0])) if is_one else lanes.load("scales", at)
                    value = lanes.scaled(value, scale, bias)
                value = lanes.bounded(value, spec.bounds)
                text.add(lanes.store("to", p * self.channels + at, value))

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
