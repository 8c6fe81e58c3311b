"""Layers that remember."""

from __future__ import annotations

from pytest_microtvm.compiler.program import C_TYPES
from pytest_microtvm.compiler.quantized.kernels.text import (
    Constants,
    body,
    centered,
    requantized,
)
from pytest_microtvm.compiler.quantized.specs import KernelSource
from pytest_microtvm.compiler.quantized.tflite_specs import SvdfOutput, SvdfState


def svdf_state(spec: SvdfState) -> KernelSource:
    """A kernel that moves the memory of each filter by one, and adds what the filter gives now."""
    filters, inputs = spec.weights.shape
    constants: Constants = [spec.weights]
    dtype = spec.requantization.dtype
    newest = requantized(spec.requantization, "sum", "0", constants)
    if spec.zero_point:
        newest = f"{newest} + {spec.zero_point}"
    text = f"""
    for (int32_t n = 0; n < {spec.batches}; ++n) {{
      const int8_t *weights = constant0;
      for (int32_t f = 0; f < {filters}; ++f) {{
        int32_t sum = 0;
        for (int32_t k = 0; k < {inputs}; ++k) {{
          sum += *weights++ * {centered("input0[k]", spec.input_zero_point)};
        }}
        for (int32_t i = 1; i < {spec.memory}; ++i) {{
          *output++ = input1[i];
        }}
        *output++ = ({C_TYPES[dtype]})({newest});
        input1 += {spec.memory};
      }}
      input0 += {inputs};
    }}
    """
    return KernelSource(
        (spec.input_dtype, dtype),
        tuple(constants),
        dtype,
        body(text),
        macs=spec.batches * filters * inputs,
    )


def svdf_output(spec: SvdfOutput) -> KernelSource:
    """A kernel that adds up the filters of each output."""
    filters, memory = spec.weights.shape
    constants: Constants = [spec.weights]
    start = "0"
    if spec.bias is not None:
        start = f"constant{len(constants)}[c]"
        constants.append(spec.bias)
    output = requantized(spec.requantization, "sum", "0", constants)
    text = f"""
    for (int32_t n = 0; n < {spec.batches}; ++n) {{
      const {C_TYPES[str(spec.weights.dtype)]} *weights = constant0;
      for (int32_t c = 0; c < {filters // spec.rank}; ++c) {{
        int32_t sum = {start};
        for (int32_t k = 0; k < {spec.rank * memory}; ++k) {{
          sum += *weights++ * {centered("*input0", spec.zero_point)};
          ++input0;
        }}
        *output++ = ({C_TYPES[spec.requantization.dtype]}){output};
      }}
    }}
    """
    return KernelSource(
        (spec.state_dtype,),
        tuple(constants),
        spec.requantization.dtype,
        body(text),
        macs=spec.batches * filters * memory,
    )
