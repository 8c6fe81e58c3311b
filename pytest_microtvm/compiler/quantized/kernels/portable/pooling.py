"""Pools."""

from __future__ import annotations

import math

from pytest_microtvm.compiler.program import C_TYPES
from pytest_microtvm.compiler.quantized.arithmetic import LIMITS
from pytest_microtvm.compiler.quantized.intervals import values_of
from pytest_microtvm.compiler.quantized.kernels.text import body
from pytest_microtvm.compiler.quantized.specs import KernelSource, Pool


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
    is_by_four = is_average and _fits_by_four(spec)
    start, step, finish = _by_four(spec) if is_by_four else _by_one(spec)
    text = f"""
    for (int32_t n = 0; n < {batches}; ++n) {{
      const {c_type} *const image = input0 + n * {height * width * channels};
      for (int32_t y = 0; y < {output_height}; ++y) {{
        {cut_rows}
        for (int32_t x = 0; x < {output_width}; ++x) {{
          {cut_columns}
          {count}
          const {c_type} *const corner = image + (({top}) * {width} + {left}) * {channels};
          for (int32_t c = 0; c < {channels}; c += {4 if is_by_four else 1}) {{
            const {c_type} *row = corner + c;
            {start}
            for (int32_t i = 0; i < {runs}; ++i) {{
              const {c_type} *tap = row;
              for (int32_t j = 0; j < {run}; ++j) {{
                {step}
                tap += {channels};
              }}
              row += {width * channels};
            }}
            {finish}
          }}
        }}
      }}
    }}
    """
    return KernelSource((spec.dtype,), (), spec.dtype, body(text))


def _by_one(spec: Pool) -> tuple[str, str, str]:
    """Statements before the taps of a channel, for each, and after them."""
    if spec.kind == "average":
        sums = values_of(spec.dtype).summed(math.prod(spec.window.shape))
        return f"{sums.c_type} value = 0;", "value += *tap;", _output(spec)
    return "int32_t value = *row;", "value = *tap > value ? *tap : value;", _output(spec)


def _fits_by_four(spec: Pool) -> bool:
    """Whether 16 bits hold the sum of a window's bytes, and channels come in fours."""
    is_bytes = spec.dtype in ("int8", "uint8")
    return is_bytes and spec.input_shape[3] % 4 == 0 and math.prod(spec.window.shape) <= 257


def _by_four(spec: Pool) -> tuple[str, str, str]:
    """The same for the sums of four channels in two words, of bytes that are not negative."""
    is_signed = spec.dtype == "int8"
    step = f"""
                uint32_t word;
                memcpy(&word, tap, sizeof(word));
                {"word ^= 0x80808080u;" if is_signed else ""}
                even += word & 0x00ff00ffu;
                odd += (word >> 8) & 0x00ff00ffu;
    """
    finish = f"""
            const uint32_t sums[] = {{even & 0xffffu, odd & 0xffffu, even >> 16, odd >> 16}};
            for (int32_t k = 0; k < 4; ++k) {{
              const int32_t value = (int32_t)sums[k]{" - 128 * count" if is_signed else ""};
              {_output(spec)}
            }}
    """
    return "uint32_t even = 0;\nuint32_t odd = 0;", step, finish


def _output(spec: Pool) -> str:
    """A statement that makes an output of a value."""
    result = "value"
    if spec.kind == "average":
        result = "(value > 0 ? value + count / 2 : value - count / 2) / count"
        zero_point = spec.even_from
        if zero_point is not None:
            offset = f"(int64_t){zero_point} * count"
            result = f"microtvm_even_mean(value - {offset}, count) + {zero_point}"
        elif not values_of(spec.dtype).summed(math.prod(spec.window.shape)).fits_int32:
            result = f"(int32_t)({result})"
    if (spec.minimum, spec.maximum) != LIMITS[spec.dtype]:
        result = f"microtvm_clamp({result}, {spec.minimum}, {spec.maximum})"
    return f"*output++ = ({C_TYPES[spec.dtype]})({result});"


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
