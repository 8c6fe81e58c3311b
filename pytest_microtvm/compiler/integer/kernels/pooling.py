"""Pools."""

from __future__ import annotations

from pytest_microtvm.compiler.integer.arithmetic import LIMITS
from pytest_microtvm.compiler.integer.kernels.text import body
from pytest_microtvm.compiler.integer.specs import KernelSource, Pool
from pytest_microtvm.compiler.program import C_TYPES


def pool(spec: Pool) -> KernelSource:
    """A kernel for `spec`; each window is cut to what lies inside of the image."""
    batches, height, width, channels = spec.input_shape
    _, output_height, output_width, _ = spec.output_shape
    c_type = C_TYPES[spec.dtype]
    rows, top, cut_rows = _taps(spec, 0)
    columns, left, cut_columns = _taps(spec, 1)
    is_average = spec.kind == "average"
    # The number of taps divides: where it is known, by a multiplication.
    count = f"const int32_t count = ({rows}) * ({columns});" if is_average else ""
    # Taps that follow each other in memory, and how many such runs there are.
    runs, run = ("1", f"({rows}) * {width}") if columns == str(width) else (rows, columns)
    start, step = ("0", "value += *tap;") if is_average else ("*row", "*tap > value ? *tap : value")
    if not is_average:
        step = f"value = {step};"
    result = "value"
    if is_average:
        result = "(value > 0 ? value + count / 2 : value - count / 2) / count"
    if (spec.minimum, spec.maximum) != LIMITS[spec.dtype]:
        result = f"microtvm_clamp({result}, {spec.minimum}, {spec.maximum})"
    text = f"""
    for (int32_t n = 0; n < {batches}; ++n) {{
      const {c_type} *const image = input0 + n * {height * width * channels};
      for (int32_t y = 0; y < {output_height}; ++y) {{
        {cut_rows}
        for (int32_t x = 0; x < {output_width}; ++x) {{
          {cut_columns}
          {count}
          const {c_type} *const corner = image + (({top}) * {width} + {left}) * {channels};
          for (int32_t c = 0; c < {channels}; ++c) {{
            const {c_type} *row = corner + c;
            int32_t value = {start};
            for (int32_t i = 0; i < {runs}; ++i) {{
              const {c_type} *tap = row;
              for (int32_t j = 0; j < {run}; ++j) {{
                {step}
                tap += {channels};
              }}
              row += {width * channels};
            }}
            *output++ = ({c_type})({result});
          }}
        }}
      }}
    }}
    """
    return KernelSource((spec.dtype,), (), spec.dtype, body(text))


def _taps(spec: Pool, axis: int) -> tuple[str, str, str]:
    """How many taps are inside of the image, where the first is, and declarations for the two."""
    name = "yx"[axis]
    extent, outputs = spec.input_shape[1 + axis], spec.output_shape[1 + axis]
    taps, stride = spec.window.shape[axis], spec.window.strides[axis]
    padding = spec.window.padding[axis]
    if padding == 0 and (outputs - 1) * stride + taps <= extent:
        return str(taps), f"{name} * {stride}", ""
    return (
        f"end_{name} - first_{name}",
        f"first_{name}",
        f"""
          const int32_t {name}_at = {name} * {stride} - {padding};
          const int32_t first_{name} = {name}_at < 0 ? 0 : {name}_at;
          const int32_t end_{name} = {name}_at + {taps} > {extent} ? {extent} : {name}_at + {taps};
    """,
    )
