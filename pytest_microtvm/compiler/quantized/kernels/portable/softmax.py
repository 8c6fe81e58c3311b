"""Softmax."""

from __future__ import annotations

from pytest_microtvm.compiler.program import C_TYPES
from pytest_microtvm.compiler.quantized.arithmetic import LIMITS
from pytest_microtvm.compiler.quantized.kernels.text import body
from pytest_microtvm.compiler.quantized.specs import KernelSource, Softmax


def softmax(spec: Softmax) -> KernelSource:
    """A kernel that computes exponentials twice rather than keep them."""
    least, greatest = LIMITS[spec.dtype]
    c_type = C_TYPES[spec.dtype]
    # With a shift of 31 only the greatest counts: its difference is 0.
    factor = 1 << spec.shift if spec.shift < 31 else 0
    exponential = (
        f"microtvm_exp(microtvm_high_multiply((input0[c] - greatest) * "
        f"{factor}, {spec.multiplier}))"
    )
    text = f"""
    for (int32_t row = 0; row < {spec.rows}; ++row) {{
      int32_t greatest = {least};
      for (int32_t c = 0; c < {spec.columns}; ++c) {{
        greatest = input0[c] > greatest ? input0[c] : greatest;
      }}
      int32_t sum = 0;
      for (int32_t c = 0; c < {spec.columns}; ++c) {{
        if (input0[c] - greatest >= {spec.least_difference}) {{
          sum += microtvm_rounding_shift({exponential}, 12);
        }}
      }}
      int32_t exponent;
      const int32_t scale = microtvm_reciprocal(sum, &exponent);
      for (int32_t c = 0; c < {spec.columns}; ++c) {{
        int32_t value = {least};
        if (input0[c] - greatest >= {spec.least_difference}) {{
          value += microtvm_rounding_shift(
              microtvm_high_multiply(scale, {exponential}), exponent + 23);
        }}
        output[c] = ({c_type})(value > {greatest} ? {greatest} : value);
      }}
      input0 += {spec.columns};
      output += {spec.columns};
    }}
    """
    return KernelSource((spec.dtype,), (), spec.dtype, body(text), in_place=(0,))
