"""Pools."""

from __future__ import annotations

from pytest_microtvm.compiler.integer.kernels.text import body
from pytest_microtvm.compiler.integer.specs import KernelSource, Pool
from pytest_microtvm.compiler.program import C_TYPES

# What the value starts from, what each tap does to it, what is known of a window, and what makes
# the value an output.
_AVERAGE = (
    "0",
    "value += tap;",
    "const int32_t count = (end_row - first_row) * (end_column - first_column);",
    "value = (value > 0 ? value + count / 2 : value - count / 2) / count;",
)
_MAXIMUM = ("INT16_MIN", "value = tap > value ? tap : value;", "", "")


def pool(spec: Pool) -> KernelSource:
    """A kernel for `spec`; each window is cut to what lies inside of the image."""
    batches, height, width, channels = spec.input_shape
    _, output_height, output_width, _ = spec.output_shape
    window = spec.window
    c_type = C_TYPES[spec.dtype]
    start, step, count, finish = _MAXIMUM if spec.kind == "max" else _AVERAGE
    text = f"""
    for (int32_t n = 0; n < {batches}; ++n) {{
      for (int32_t y = 0; y < {output_height}; ++y) {{
        const int32_t top = y * {window.strides[0]} - {window.padding[0]};
        const int32_t first_row = top < 0 ? 0 : top;
        const int32_t end_row =
            top + {window.shape[0]} > {height} ? {height} : top + {window.shape[0]};
        for (int32_t x = 0; x < {output_width}; ++x) {{
          const int32_t left = x * {window.strides[1]} - {window.padding[1]};
          const int32_t first_column = left < 0 ? 0 : left;
          const int32_t end_column =
              left + {window.shape[1]} > {width} ? {width} : left + {window.shape[1]};
          {count}
          for (int32_t c = 0; c < {channels}; ++c) {{
            int32_t value = {start};
            for (int32_t row = first_row; row < end_row; ++row) {{
              for (int32_t column = first_column; column < end_column; ++column) {{
                const int32_t tap =
                    input0[((n * {height} + row) * {width} + column) * {channels} + c];
                {step}
              }}
            }}
            {finish}
            *output++ = ({c_type})microtvm_clamp(value, {spec.minimum}, {spec.maximum});
          }}
        }}
      }}
    }}
    """
    return KernelSource((spec.dtype,), (), spec.dtype, body(text))
