"""Softmax over float32."""

from __future__ import annotations

from pytest_microtvm.compiler.quantized.float_specs import FloatSoftmax
from pytest_microtvm.compiler.quantized.kernels.floats.text import HEADERS
from pytest_microtvm.compiler.quantized.kernels.text import body
from pytest_microtvm.compiler.quantized.specs import KernelSource


def softmax(spec: FloatSoftmax) -> KernelSource:
    """A kernel that keeps the exponentials where the results will be."""
    text = f"""
    for (int32_t row = 0; row < {spec.rows}; ++row) {{
      float greatest = input0[0];
      for (int32_t c = 1; c < {spec.columns}; ++c) {{
        greatest = microtvm_at_least(input0[c], greatest);
      }}
      float sum = 0.0f;
      for (int32_t c = 0; c < {spec.columns}; ++c) {{
        const float power = microtvm_expf(input0[c] - greatest);
        output[c] = power;
        sum += power;
      }}
      for (int32_t c = 0; c < {spec.columns}; ++c) {{
        output[c] = output[c] / sum;
      }}
      input0 += {spec.columns};
      output += {spec.columns};
    }}
    """
    return KernelSource(
        ("float32",), (), "float32", body(text), in_place=(0,), headers=HEADERS, is_float=True
    )
