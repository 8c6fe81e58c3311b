"""Depthwise convolutions over float32."""

from __future__ import annotations

from pytest_microtvm.compiler.quantized.float_specs import FloatConv2D, FloatDepthwiseConv2D
from pytest_microtvm.compiler.quantized.kernels.c_text import Text
from pytest_microtvm.compiler.quantized.kernels.floats.conv2d import conv2d
from pytest_microtvm.compiler.quantized.kernels.floats.windows import (
    LOOP_INSTRUCTIONS,
    Block,
    WindowWriter,
)
from pytest_microtvm.compiler.quantized.specs import KernelSource


def depthwise_conv2d(spec: FloatDepthwiseConv2D, registers: int) -> KernelSource:
    """A depthwise convolution in plain C.

    Args:
        spec: What is to be computed.
        registers: How many floats the CPU keeps at hand.
    """
    if spec.input_shape[3] == 1:
        # Every output channel reads all that there is.
        whole = (spec.input_shape, spec.output_shape, spec.window, spec.weights)
        return conv2d(FloatConv2D(*whole, spec.bias, spec.bounds), registers)
    return _Writer(spec, registers).source()


class _Writer(WindowWriter):
    """A column of the kernel is one tap for each channel."""

    layout = (
        "{} output channels at a time (the last may be fewer), tap after tap in the order of "
        "height and width, the weights of these output channels side by side"
    )

    @property
    def _multiplier(self) -> int:
        """How many output channels read one of the input."""
        return self.channels // self.depth

    def registers(self, block: Block) -> int:
        """The sums, a pixel, a weight, and a product."""
        return block.pixels * block.channels + 3

    def instructions(self, block: Block) -> int:
        """Loads of weights, and of each pixel's channels; multiplications and additions."""
        products = block.pixels * block.channels
        loads = block.channels + products // self._multiplier
        return LOOP_INSTRUCTIONS + loads + 2 * products

    def is_possible(self, block: Block) -> bool:
        """Where a block begins with a channel of the input."""
        return block.channels % self._multiplier == 0

    def column_weights(self, block: Block) -> int:
        """One for each channel."""
        return block.channels

    def inputs_of(self, channels: int) -> int:
        """Those that these channels read."""
        return channels // self._multiplier

    def write_row(self, text: Text, block: Block, is_border: bool) -> None:
        """A loop over the columns of the kernel."""
        columns, step = self.horizontal.taps, self.horizontal.dilation
        pitch = self.horizontal.stride * self.depth
        first, end = ("first_x", "end_x") if is_border else ("0", str(columns))
        offset = f" + first_x * {block.channels}" if is_border else ""
        with text.block():
            text.add("const float *taps = row;")
            text.add(f"const {self.weights.c_type} *w = row_weights{offset};")
            with text.block(f"for (int32_t j = {first}; j < {end}; ++j)"):
                for n in range(block.channels):
                    with text.block():
                        text.add(f"const float b = {self.weights.read(f'w[{n}]')};")
                        for p in range(block.pixels):
                            at = p * pitch + n // self._multiplier
                            text.add(f"sum{n}_{p} += taps[{at}] * b;")
                text.add(f"taps += {step * self.depth};", f"w += {block.channels};")
