"""Images of another size."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from pytest_microtvm.compiler.program import C_TYPES
from pytest_microtvm.compiler.quantized.arithmetic import round_away
from pytest_microtvm.compiler.quantized.kernels.text import body
from pytest_microtvm.compiler.quantized.specs import KernelSource, Resize, Role

_BITS = 10
"""After the point of coordinates."""


def resize(spec: Resize) -> KernelSource:
    """A kernel for `spec`."""
    return _nearest(spec) if spec.kind == "nearest" else _bilinear(spec)


def _nearest(spec: Resize) -> KernelSource:
    batches, height, width, channels = spec.input_shape
    _, output_height, output_width, _ = spec.output_shape
    text = f"""
    for (int32_t n = 0; n < {batches}; ++n) {{
      for (int32_t y = 0; y < {output_height}; ++y) {{
        for (int32_t x = 0; x < {output_width}; ++x) {{
          const {C_TYPES[spec.dtype]} *const pixel =
              input0 + ((n * {height} + constant0[y]) * {width} + constant1[x]) * {channels};
          for (int32_t c = 0; c < {channels}; ++c) {{
            *output++ = pixel[c];
          }}
        }}
      }}
    }}
    """
    constants = (
        _nearest_places(height, output_height, spec),
        _nearest_places(width, output_width, spec),
    )
    roles = (
        Role("rows", "of each row of the output, the row of the input"),
        Role("columns", "of each column of the output, the column of the input"),
    )
    return KernelSource((spec.dtype,), constants, spec.dtype, body(text), roles=roles)


def _nearest_places(size: int, output_size: int, spec: Resize) -> npt.NDArray[np.int16]:
    """For each place of the output the one of the input; in float32, as TFLite computes it."""
    if spec.align_corners and output_size > 1:
        scale = np.float32(size - 1) / np.float32(output_size - 1)
    else:
        scale = np.float32(size) / np.float32(output_size)
    offset = np.float32(0.5 if spec.half_pixel_centers else 0.0)
    at = (np.arange(output_size, dtype=np.float32) + offset) * np.float32(scale)
    places = round_away(at) if spec.align_corners else np.floor(at)
    return np.clip(places, 0, size - 1).astype(np.int16)


def _bilinear(spec: Resize) -> KernelSource:
    batches, height, width, channels = spec.input_shape
    _, output_height, output_width, _ = spec.output_shape
    c_type = C_TYPES[spec.dtype]
    sum_type = "int64_t" if spec.dtype == "int16" else "int32_t"
    text = f"""
    for (int32_t n = 0; n < {batches}; ++n) {{
      for (int32_t y = 0; y < {output_height}; ++y) {{
        {_place("y", height, output_height, spec)}
        for (int32_t x = 0; x < {output_width}; ++x) {{
          {_place("x", width, output_width, spec)}
          const {c_type} *const upper = input0 + (n * {height} + y0) * {width * channels};
          const {c_type} *const lower = input0 + (n * {height} + y1) * {width * channels};
          for (int32_t c = 0; c < {channels}; ++c) {{
            const {sum_type} top = ({sum_type})upper[x0 * {channels} + c] * (1024 - x_part) +
                ({sum_type})upper[x1 * {channels} + c] * x_part;
            const {sum_type} bottom = ({sum_type})lower[x0 * {channels} + c] * (1024 - x_part) +
                ({sum_type})lower[x1 * {channels} + c] * x_part;
            const {sum_type} sum = top * (1024 - y_part) + bottom * y_part;
            *output++ = ({c_type})((sum > 0 ? sum + 524288 : sum - 524288) / 1048576);
          }}
        }}
      }}
    }}
    """
    return KernelSource((spec.dtype,), (), spec.dtype, body(text))


def _place(axis: str, size: int, output_size: int, spec: Resize) -> str:
    """Declarations of the two places to read from, and of how far the output is to the second."""
    one = 1 << _BITS
    scale = (one * size + output_size // 2) // output_size
    if spec.align_corners and output_size > 1:
        scale = (one * (size - 1) + (output_size - 1) // 2) // (output_size - 1)
    offset = scale // 2 - one // 2 if spec.half_pixel_centers else 0
    return f"""
        const int32_t {axis}_at = {axis} * {scale} + {offset};
        const int32_t {axis}0 = {axis}_at > 0 ? {axis}_at / {one} : 0;
        const int32_t {axis}_end = ({axis}_at + {one - 1}) / {one};
        const int32_t {axis}1 = {axis}_end > {size - 1} ? {size - 1} : {axis}_end;
        const int32_t {axis}_part = {axis}_at - {axis}0 * {one};
    """
