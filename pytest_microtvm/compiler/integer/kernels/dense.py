"""Fully connected layers over int8."""

from __future__ import annotations

from pytest_microtvm.compiler.integer.features import Simd
from pytest_microtvm.compiler.integer.kernels.conv2d import conv2d
from pytest_microtvm.compiler.integer.kernels.text import Constants, body, requantized
from pytest_microtvm.compiler.integer.specs import Conv2D, FullyConnected, KernelSource, Window


def fully_connected(spec: FullyConnected, simd: Simd) -> KernelSource:
    """A kernel for `spec` on a CPU with `simd`."""
    if spec.weights_zero_point == 0:
        return conv2d(_as_convolution(spec), simd)
    outputs, inputs = spec.weights.shape
    constants: Constants = [spec.weights]
    start = "0"
    if spec.bias is not None:
        constants.append(spec.bias)
        start = "constant1[c]"
    output = requantized(spec.requantization, "sum", "c", constants)
    text = f"""
    for (int32_t row = 0; row < {spec.rows}; ++row) {{
      const int8_t *weights = constant0;
      for (int32_t c = 0; c < {outputs}; ++c) {{
        int32_t sum = {start};
        for (int32_t k = 0; k < {inputs}; ++k) {{
          sum += (input0[k] - ({spec.input_zero_point})) *
              (*weights++ - ({spec.weights_zero_point}));
        }}
        *output++ = (int8_t){output};
      }}
      input0 += {inputs};
    }}
    """
    macs = spec.rows * int(spec.weights.size)
    return KernelSource((spec.input_dtype,), tuple(constants), "int8", body(text), macs=macs)


def _as_convolution(spec: FullyConnected) -> Conv2D:
    """The same, with the rows of the input as pixels."""
    outputs, inputs = spec.weights.shape
    return Conv2D(
        input_shape=(1, spec.rows, 1, inputs),
        output_shape=(1, spec.rows, 1, outputs),
        window=Window((1, 1)),
        weights=spec.weights.reshape(outputs, 1, 1, inputs),
        bias=spec.bias,
        input_zero_point=spec.input_zero_point,
        requantization=spec.requantization,
        input_dtype=spec.input_dtype,
    )
