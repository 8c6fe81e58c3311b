"""Softmax, layer normalization and interpolation to the nearest values."""

from __future__ import annotations

import numpy as np

from pytest_microtvm.compiler.program import C_TYPES
from pytest_microtvm.compiler.quantized.arithmetic import LIMITS
from pytest_microtvm.compiler.quantized.even_specs import (
    TABLE_BITS,
    Interpolated,
    LayerNormalization,
    SoftmaxByTable,
)
from pytest_microtvm.compiler.quantized.kernels.text import Constants, body, centered, requantized
from pytest_microtvm.compiler.quantized.specs import KernelSource, Role


def softmax(spec: SoftmaxByTable) -> KernelSource:
    """A kernel that looks exponentials up."""
    c_type = C_TYPES[spec.dtype]
    least, greatest = LIMITS[spec.dtype]
    steps = f"(uint32_t)(greatest - input0[at + c * {spec.step}])"
    constants: Constants = [spec.exponentials]
    roles = [Role("exponentials", "e**-x, 31 bits after the point, of each number of steps")]
    power = f"constant0[{steps}]"
    if spec.fine is not None:
        constants.append(spec.fine)
        roles = [
            Role("coarse", "e**-x, 31 bits after the point, of each 256th number of steps"),
            Role("fine", "the same of the numbers of steps below 256"),
        ]
        product = f"(uint64_t)constant0[{steps} >> 8] * constant1[{steps} & 255u]"
        power = f"(uint32_t)(({product} + {1 << (TABLE_BITS - 1)}u) >> {TABLE_BITS})"
    # The greatest element adds 1: the sum has 32 bits when it is shifted by `excess`.
    text = f"""
    for (int32_t row = 0; row < {spec.rows}; ++row) {{
      for (int32_t i = 0; i < {spec.step}; ++i) {{
        const int32_t at = row * {spec.columns * spec.step} + i;
        int32_t greatest = {least};
        for (int32_t c = 0; c < {spec.columns}; ++c) {{
          const int32_t value = input0[at + c * {spec.step}];
          greatest = value > greatest ? value : greatest;
        }}
        uint64_t sum = 0;
        for (int32_t c = 0; c < {spec.columns}; ++c) {{
          sum += {power};
        }}
        uint32_t excess = 0;
        while ((sum >> excess) >> 32) {{
          ++excess;
        }}
        const uint64_t factor = (UINT64_C({spec.multiplier << 31}) / (sum >> excess)) >> excess;
        for (int32_t c = 0; c < {spec.columns}; ++c) {{
          const int32_t value = microtvm_even_shift(
              (int64_t)({power} * factor), {62 - spec.shift}, 0) + {spec.zero_point};
          output[at + c * {spec.step}] = ({c_type})microtvm_clamp(value, {least}, {greatest});
        }}
      }}
    }}
    """
    return KernelSource(
        (spec.dtype,), tuple(constants), spec.dtype, body(text), in_place=(0,), roles=tuple(roles)
    )


def layer_normalization(spec: LayerNormalization) -> KernelSource:
    """A kernel with a square root and a division for each row."""
    c_type = C_TYPES[spec.dtype]
    least, greatest = LIMITS[spec.dtype]
    # A deviation is `root` with `4 + bits` bits after the point; rows, with `30 - root_bits`.
    text = f"""
    for (int32_t row = 0; row < {spec.rows}; ++row) {{
      int64_t sum = 0;
      int64_t squares = 0;
      for (int32_t c = 0; c < {spec.columns}; ++c) {{
        sum += input0[c];
        squares += (int64_t)input0[c] * input0[c];
      }}
      uint64_t variance = (uint64_t)({spec.columns} * squares - sum * sum) * 256u;
      variance += UINT64_C({spec.epsilon});
      variance += variance == 0 ? 1u : 0u;
      int32_t bits = 0;
      while (!(variance >> 62)) {{
        variance <<= 2;
        ++bits;
      }}
      const uint32_t root = microtvm_root(variance);
      const int64_t inverse = (int64_t)((UINT64_C(1) << 62) / root);
      const int32_t shift = {28 + spec.root_bits} - bits;
      for (int32_t c = 0; c < {spec.columns}; ++c) {{
        const int64_t product = ((int64_t)input0[c] * {spec.columns} - sum) * inverse;
        const int64_t normal =
            shift > 0 ? product >> shift : product * (INT64_C(1) << -shift);
        const int32_t value = microtvm_even_shift(
            normal * constant0[c] + constant1[c], {spec.shift}, 0) + {spec.zero_point};
        output[c] = ({c_type})microtvm_clamp(value, {least}, {greatest});
      }}
      input0 += {spec.columns};
      output += {spec.columns};
    }}
    """
    return KernelSource(
        (spec.dtype,),
        (spec.factors, spec.offsets),
        spec.dtype,
        body(text),
        in_place=(0,),
        roles=(Role("factors", "of each column"), Role("offsets", "of each column")),
    )


def interpolated(spec: Interpolated) -> KernelSource:
    """A kernel that reads four pixels for each one."""
    batches, height, width, channels = spec.input_shape
    _, output_height, output_width, _ = spec.output_shape
    c_type = C_TYPES[spec.dtype]
    tables = [
        np.stack([taps.first, taps.second, taps.weights], axis=1).astype(np.int32)
        for taps in (spec.rows, spec.columns)
    ]
    constants: Constants = [*tables]
    output = requantized(spec.requantization, "sum", "0", constants, is_wide=True)
    one = 1 << spec.bits

    def mixed(row: str) -> str:
        before, behind = (
            centered(f"{row}[{name} * {channels} + c]", spec.input_zero_point)
            for name in ("left", "right")
        )
        return f"(int64_t){before} * ({one} - x_weight) + (int64_t){behind} * x_weight"

    text = f"""
    for (int32_t n = 0; n < {batches}; ++n) {{
      for (int32_t y = 0; y < {output_height}; ++y) {{
        const {c_type} *const above = input0 + constant0[3 * y] * {width * channels};
        const {c_type} *const below = input0 + constant0[3 * y + 1] * {width * channels};
        const int32_t y_weight = constant0[3 * y + 2];
        for (int32_t x = 0; x < {output_width}; ++x) {{
          const int32_t left = constant1[3 * x];
          const int32_t right = constant1[3 * x + 1];
          const int32_t x_weight = constant1[3 * x + 2];
          for (int32_t c = 0; c < {channels}; ++c) {{
            const int64_t upper = {mixed("above")};
            const int64_t lower = {mixed("below")};
            const int64_t sum = upper * ({one} - y_weight) + lower * y_weight;
            *output++ = ({c_type}){output};
          }}
        }}
      }}
      input0 += {height * width * channels};
    }}
    """
    places = f"elements before and behind, weight of the latter in parts of {one}"
    return KernelSource(
        (spec.dtype,),
        tuple(constants),
        spec.dtype,
        body(text),
        roles=(
            Role("rows", f"of each row: {places}"),
            Role("columns", f"of each column: {places}"),
        ),
    )
