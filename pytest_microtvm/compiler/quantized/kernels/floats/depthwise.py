"""Depthwise convolutions over float32."""

from __future__ import annotations

from pytest_microtvm.compiler.quantized.float_specs import FloatConv2D, FloatDepthwiseConv2D
from pytest_microtvm.compiler.quantized.kernels.c_text import Text
from pytest_microtvm.compiler.quantized.kernels.floats.conv2d import conv2d
from pytest_microtvm.compiler.quantized.kernels.floats.lanes import Lanes
from pytest_microtvm.compiler.quantized.kernels.floats.text import StoredWeights
from pytest_microtvm.compiler.quantized.kernels.floats.windows import (
    LOOP_INSTRUCTIONS,
    Block,
    WindowWriter,
)
from pytest_microtvm.compiler.quantized.specs import KernelSource


def depthwise_conv2d(spec: FloatDepthwiseConv2D, lanes: Lanes) -> KernelSource | None:
    """A depthwise convolution; None where vectors do not suit it.

    Args:
        spec: What is to be computed.
        lanes: How channels are computed beside each other.
    """
    if spec.input_shape[3] == 1:
        # Every output channel reads all that there is.
        whole = (spec.input_shape, spec.output_shape, spec.window, spec.weights)
        return conv2d(FloatConv2D(*whole, spec.bias, spec.bounds), lanes)
    channels = spec.input_shape[3]
    if channels < lanes.count or (lanes.count > 1 and channels < spec.output_shape[3]):
        return None
    if StoredWeights(spec.weights).kind not in lanes.can_read:
        return None
    return _Writer(spec, lanes).source()


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
        """The sums, a pixel, a weight, and a product where that is not added at once."""
        return block.sums + 1 + self.lanes.product_instructions

    def instructions(self, block: Block) -> int:
        """Loads of weights, and of each pixel's channels; multiplications and additions."""
        loads = block.units + block.sums // self._multiplier
        return LOOP_INSTRUCTIONS + loads + self.lanes.product_instructions * block.sums

    def is_possible(self, block: Block) -> bool:
        """Where a block begins with a channel of the input."""
        return block.units % self._multiplier == 0

    def column_weights(self, block: Block) -> int:
        """One for each channel."""
        return self.weights.stride(block.units * self.lanes.count)

    def inputs_of(self, channels: int) -> int:
        """Those that these channels read."""
        return channels // self._multiplier

    def write_row(self, text: Text, block: Block, is_border: bool) -> None:
        """A loop over the columns of the kernel."""
        lanes = self.lanes
        columns, step = self.horizontal.taps, self.horizontal.dilation
        pitch = self.horizontal.stride * self.depth
        column_weights = self.column_weights(block)
        first, end = ("first_x", "end_x") if is_border else ("0", str(columns))
        offset = f" + first_x * {column_weights}" if is_border else ""
        with text.block():
            text.add("const float *taps = row;")
            text.add(f"const {self.weights.c_type} *w = row_weights{offset};")
            with text.block(f"for (int32_t j = {first}; j < {end}; ++j)"):
                for n in range(block.units):
                    weight = lanes.weight(self.weights, "w", n * lanes.count)
                    with text.block():
                        text.add(f"const {lanes.c_type} a = {weight};")
                        for p in range(block.pixels):
                            at = p * pitch + n * lanes.count // self._multiplier
                            value = lanes.load("taps", at)
                            text.add(lanes.add_products(f"sum{n}_{p}", value, "a"))
                text.add(f"taps += {step * self.depth};", f"w += {column_weights};")
