"""Convolutions of each channel alone, over int8."""

from __future__ import annotations

from pytest_microtvm.compiler.integer.features import Simd
from pytest_microtvm.compiler.integer.kernels.text import Constants, body, requantized
from pytest_microtvm.compiler.integer.specs import DepthwiseConv2D, KernelSource


def depthwise_conv2d(spec: DepthwiseConv2D, simd: Simd) -> KernelSource:
    """A kernel for `spec` on a CPU with `simd`."""
    batches, height, width, channels = spec.input_shape
    _, output_height, output_width, output_channels = spec.output_shape
    window = spec.window
    taps_y, taps_x = window.shape
    constants: Constants = [spec.weights]
    start = "0"
    if spec.bias is not None:
        constants.append(spec.bias)
        start = "constant1[c]"
    output = requantized(spec.requantization, "sum", "c", constants)
    text = f"""
    for (int32_t n = 0; n < {batches}; ++n) {{
      for (int32_t y = 0; y < {output_height}; ++y) {{
        for (int32_t x = 0; x < {output_width}; ++x) {{
          for (int32_t c = 0; c < {output_channels}; ++c) {{
            int32_t sum = {start};
            for (int32_t i = 0; i < {taps_y}; ++i) {{
              const int32_t row =
                  y * {window.strides[0]} + i * {window.dilation[0]} - {window.padding[0]};
              for (int32_t j = 0; j < {taps_x}; ++j) {{
                const int32_t column =
                    x * {window.strides[1]} + j * {window.dilation[1]} - {window.padding[1]};
                if (row < 0 || row >= {height} || column < 0 || column >= {width}) {{
                  continue;
                }}
                const int32_t pixel =
                    input0[((n * {height} + row) * {width} + column) * {channels} +
                        c / {output_channels // channels}];
                sum += (pixel - ({spec.input_zero_point})) *
                    constant0[(i * {taps_x} + j) * {output_channels} + c];
              }}
            }}
            *output++ = (int8_t){output};
          }}
        }}
      }}
    }}
    """
    macs = batches * output_height * output_width * int(spec.weights.size)
    return KernelSource((spec.input_dtype,), tuple(constants), "int8", body(text), macs=macs)
