"""Convolutions and fully connected layers over float32."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from pytest_microtvm.compiler.quantized.float_specs import FloatConv2D
from pytest_microtvm.compiler.quantized.kernels.c_text import Text
from pytest_microtvm.compiler.quantized.kernels.floats.lanes import Lanes
from pytest_microtvm.compiler.quantized.kernels.floats.text import StoredWeights
from pytest_microtvm.compiler.quantized.kernels.floats.windows import (
    LOOP_INSTRUCTIONS,
    Block,
    WindowWriter,
)
from pytest_microtvm.compiler.quantized.specs import KernelSource, Window


def conv2d(spec: FloatConv2D, lanes: Lanes) -> KernelSource | None:
    """A convolution; None where it has fewer channels than a vector, or weights of 4 bits.

    Args:
        spec: What is to be computed.
        lanes: How channels are computed beside each other.
    """
    if spec.output_shape[3] < lanes.count or StoredWeights(spec.weights).kind not in lanes.can_read:
        return None
    return _Writer(flattened(spec), lanes).source()


def flattened(spec: FloatConv2D) -> FloatConv2D:
    """The same with its pixels as one row, where each output reads the pixel at its own place."""
    window = spec.window
    is_inside = window.is_inside(spec.input_shape, spec.output_shape)
    if window.shape != (1, 1) or not is_inside or spec.input_shape[:3] != spec.output_shape[:3]:
        return spec
    pixels = int(np.prod(spec.input_shape[:3]))
    return replace(
        spec,
        input_shape=(1, 1, pixels, spec.input_shape[3]),
        output_shape=(1, 1, pixels, spec.output_shape[3]),
        window=Window((1, 1)),  # an image of one column may have any steps along its rows
    )


class _Writer(WindowWriter):
    """The taps of a pixel in a row of the kernel lie side by side in the image, all channels."""

    layout = (
        "{} output channels at a time (the last may be fewer), tap after tap in the order of "
        "height, width and input channel, the weights of these output channels side by side"
    )

    def registers(self, block: Block) -> int:
        """The sums, the pixels or the weights of a tap, one of the others, and a product."""
        if self.lanes.product_instructions == 1:
            return block.sums + block.units  # factors for all lanes are elsewhere
        return block.sums + min(block.pixels, block.units) + 2

    def instructions(self, block: Block) -> int:
        """Loads of each pixel and each weight, multiplications and additions."""
        products = self.lanes.product_instructions * block.sums
        return LOOP_INSTRUCTIONS + block.pixels + block.units + products

    def is_possible(self, block: Block) -> bool:
        """Always."""
        return True

    def column_weights(self, block: Block) -> int:
        """Those of all input channels."""
        return self.depth * self.weights.stride(block.units * self.lanes.count)

    def inputs_of(self, channels: int) -> int:
        """None: each output channel reads all that there are."""
        return 0

    def write_row(self, text: Text, block: Block, is_border: bool) -> None:
        """As many runs as there are taps that do not lie side by side."""
        columns, step = self.horizontal.taps, self.horizontal.dilation
        column_weights = self.column_weights(block)
        first, end = ("first_x", "end_x") if is_border else ("0", str(columns))
        if columns == 1 or step == 1:
            offset = f" + {first} * {column_weights}" if is_border else ""
            length = f"({end} - {first}) * {self.depth}" if is_border else f"{columns * self.depth}"
            self._write_run(text, block, "row", f"row_weights{offset}", length)
            return
        with text.block(f"for (int32_t j = {first}; j < {end}; ++j)"):
            at = f"(j - {first})" if is_border else "j"
            start = f"row + {at} * {step * self.depth}"
            weights = f"row_weights + j * {column_weights}"
            self._write_run(text, block, start, weights, str(self.depth))

    def _write_run(self, text: Text, block: Block, start: str, weights: str, length: str) -> None:
        """Taps side by side, each of all pixels times its weights for all channels at hand.

        They are not unrolled: a C compiler would move loads ahead until it runs out of registers.
        """
        lanes, pitch = self.lanes, self.horizontal.stride * self.depth
        pixels = [f"taps[{p * pitch}]" for p in range(block.pixels)]
        factors = [lanes.weight(self.weights, "w", n * lanes.count) for n in range(block.units)]
        holds_pixels = lanes.count == 1 and block.pixels < block.units
        with text.block():
            text.add(f"const float *taps = {start};")
            text.add(f"const {self.weights.c_type} *w = {weights};")
            with text.block(f"for (int32_t k = 0; k < {length}; ++k)"):
                if holds_pixels:
                    text.add(*(f"const float b{p} = {value};" for p, value in enumerate(pixels)))
                    for n, value in enumerate(factors):
                        with text.block():
                            text.add(f"const {lanes.c_type} a = {value};")
                            for p in range(block.pixels):
                                text.add(lanes.add_multiple(f"sum{n}_{p}", "a", f"b{p}"))
                else:
                    for n, value in enumerate(factors):
                        text.add(f"const {lanes.c_type} a{n} = {value};")
                    for p, value in enumerate(pixels):
                        with text.block():
                            text.add(f"const float b = {value};")
                            for n in range(block.units):
                                text.add(lanes.add_multiple(f"sum{n}_{p}", f"a{n}", "b"))
                text.add("++taps;", f"w += {self.weights.stride(block.units * lanes.count)};")
