"""Convolutions and fully connected layers over float32."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from pytest_microtvm.compiler.quantized.float_specs import FloatConv2D
from pytest_microtvm.compiler.quantized.kernels.c_text import Text
from pytest_microtvm.compiler.quantized.kernels.floats.windows import (
    LOOP_INSTRUCTIONS,
    Block,
    WindowWriter,
)
from pytest_microtvm.compiler.quantized.specs import KernelSource


def conv2d(spec: FloatConv2D, registers: int) -> KernelSource:
    """A convolution in plain C.

    Args:
        spec: What is to be computed.
        registers: How many floats the CPU keeps at hand.
    """
    return _Writer(flattened(spec), registers).source()


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
    )


class _Writer(WindowWriter):
    """The taps of a pixel in a row of the kernel lie side by side in the image, all channels."""

    layout = (
        "{} output channels at a time (the last may be fewer), tap after tap in the order of "
        "height, width and input channel, the weights of these output channels side by side"
    )

    def registers(self, block: Block) -> int:
        """The sums, the pixels or the weights of a tap, one of the others, and a product."""
        return block.pixels * block.channels + min(block.pixels, block.channels) + 2

    def instructions(self, block: Block) -> int:
        """Loads of each pixel and each weight, multiplications and additions."""
        products = block.pixels * block.channels
        return LOOP_INSTRUCTIONS + block.pixels + block.channels + 2 * products

    def is_possible(self, block: Block) -> bool:
        """Always."""
        return True

    def column_weights(self, block: Block) -> int:
        """Those of all input channels."""
        return self.depth * block.channels

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
        pitch = self.horizontal.stride * self.depth
        pixels = [f"taps[{p * pitch}]" for p in range(block.pixels)]
        factors = [self.weights.read(f"w[{n}]") for n in range(block.channels)]
        is_narrow = block.pixels < block.channels
        held, others = (pixels, factors) if is_narrow else (factors, pixels)
        with text.block():
            text.add(f"const float *taps = {start};")
            text.add(f"const {self.weights.c_type} *w = {weights};")
            with text.block(f"for (int32_t k = 0; k < {length}; ++k)"):
                text.add(*(f"const float a{n} = {value};" for n, value in enumerate(held)))
                for m, value in enumerate(others):
                    with text.block():
                        text.add(f"const float b = {value};")
                        for n in range(len(held)):
                            total = f"sum{m}_{n}" if is_narrow else f"sum{n}_{m}"
                            text.add(f"{total} += a{n} * b;")
                text.add("++taps;", f"w += {block.channels};")
