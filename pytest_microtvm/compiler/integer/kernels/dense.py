"""Fully connected layers over int8."""

from __future__ import annotations

from pytest_microtvm.compiler.integer.features import Simd
from pytest_microtvm.compiler.integer.kernels.text import Constants, body, requantized
from pytest_microtvm.compiler.integer.specs import FullyConnected, KernelSource


def fully_connected(spec: FullyConnected, simd: Simd) -> KernelSource:
    """A kernel for `spec` on a CPU with `simd`."""
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
