"""Softmax."""

from __future__ import annotations

from pytest_microtvm.compiler.program import C_TYPES
from pytest_microtvm.compiler.quantized.arithmetic import LIMITS
from pytest_microtvm.compiler.quantized.kernels.text import body
from pytest_microtvm.compiler.quantized.specs import KernelSource, Softmax


def softmax(spec: Softmax) -> KernelSource:
    """A kernel that computes exponentials twice rather than keep them."""
    lowest = LIMITS[spec.dtype][0]
    least, greatest = LIMITS[spec.output_dtype]
    c_type = C_TYPES[spec.output_dtype]
    # Of the 31 bits after the point, those that the output does not keep.
    dropped = 31 - (greatest - least).bit_length()
    # With a shift of 31 only the greatest counts: its difference is 0.
    factor = 1 << spec.shift if spec.shift < 31 else 0
    exponential = (
        f"microtvm_exp(microtvm_high_multiply((input0[c] - greatest) * "
        f"{factor}, {spec.multiplier}))"
    )
    text = f"""
    for (int32_t row = 0; row < {spec.rows}; ++row) {{
      int32_t greatest = {lowest};
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
              microtvm_high_multiply(scale, {exponential}), exponent + {dropped});
        }}
        output[c] = ({c_type})(value > {greatest} ? {greatest} : value);
      }}
      input0 += {spec.columns};
      output += {spec.columns};
    }}
    """
    in_place = (0,) if spec.output_dtype == spec.dtype else ()
    return KernelSource((spec.dtype,), (), spec.output_dtype, body(text), in_place=in_place)
