"""Transposed convolutions and products of matrices that are both computed."""

from __future__ import annotations

import math

import numpy as np

from pytest_microtvm.compiler.program import C_TYPES
from pytest_microtvm.compiler.quantized.intervals import Interval, values_of
from pytest_microtvm.compiler.quantized.kernels.text import (
    Constants,
    body,
    centered,
    requantized,
)
from pytest_microtvm.compiler.quantized.specs import KernelSource
from pytest_microtvm.compiler.quantized.tflite_specs import BatchMatMul, TransposedConv2D


def transposed_conv2d(spec: TransposedConv2D) -> KernelSource:
    """A kernel that asks of each output which inputs reach it."""
    batches, height, width, channels = spec.input_shape
    _, output_height, output_width, outputs = spec.output_shape
    taps_y, taps_x = spec.window.shape
    (stride_y, stride_x), (top, left) = spec.window.strides, spec.window.padding
    constants: Constants = [spec.weights]
    c_type = _sum_type(spec)
    start = "0"
    if spec.bias is not None:
        start = "constant1[c]"
        constants.append(spec.bias if c_type == "int64_t" else spec.bias.astype(np.int32))
    output = requantized(spec.requantization, "sum", "c", constants, is_wide=c_type == "int64_t")
    weight = f"constant0[((c * {taps_y} + i) * {taps_x} + j) * {channels} + k]"
    text = f"""
    for (int32_t n = 0; n < {batches}; ++n) {{
      for (int32_t y = 0; y < {output_height}; ++y) {{
        for (int32_t x = 0; x < {output_width}; ++x) {{
          for (int32_t c = 0; c < {outputs}; ++c) {{
            {c_type} sum = {start};
            for (int32_t i = (y + {top}) % {stride_y}; i < {taps_y}; i += {stride_y}) {{
              const int32_t row = (y + {top} - i) / {stride_y};
              if (y + {top} < i || row >= {height}) {{
                continue;
              }}
              for (int32_t j = (x + {left}) % {stride_x}; j < {taps_x}; j += {stride_x}) {{
                const int32_t column = (x + {left} - j) / {stride_x};
                if (x + {left} < j || column >= {width}) {{
                  continue;
                }}
                const {C_TYPES[spec.input_dtype]} *const pixel =
                    input0 + ((n * {height} + row) * {width} + column) * {channels};
                for (int32_t k = 0; k < {channels}; ++k) {{
                  sum += ({c_type}){centered("pixel[k]", spec.input_zero_point)} *
                      {centered(weight, spec.weights_zero_point)};
                }}
              }}
            }}
            *output++ = ({C_TYPES[spec.requantization.dtype]}){output};
          }}
        }}
      }}
    }}
    """
    return KernelSource(
        (spec.input_dtype,),
        tuple(constants),
        spec.requantization.dtype,
        body(text),
        macs=batches * height * width * int(spec.weights.size),
    )


def _sum_type(spec: TransposedConv2D) -> str:
    weights = spec.weights.astype(np.int64) - spec.weights_zero_point
    reach = np.abs(weights.reshape(len(weights), -1)).sum(axis=1)
    reach = reach * values_of(spec.input_dtype, spec.input_zero_point).reach
    if spec.bias is not None:
        reach = reach + np.abs(spec.bias.astype(np.int64))
    return Interval(0, int(reach.max())).c_type


def batch_mat_mul(spec: BatchMatMul) -> KernelSource:
    """A kernel with a loop for each axis."""
    constants: Constants = []
    names: list[str] = []
    dtypes: list[str] = []
    for factor in spec.factors:
        if factor.values is None:
            names.append(f"input{len(dtypes)}")
            dtypes.append(spec.dtype)
        else:
            names.append(f"constant{len(constants)}")
            constants.append(factor.values)
    rows, columns = spec.shape
    left, right = spec.factors
    product = values_of(spec.dtype, left.zero_point) * values_of(spec.dtype, right.zero_point)
    c_type = product.summed(spec.depth).c_type
    output = requantized(spec.requantization, "sum", "0", constants, is_wide=c_type == "int64_t")
    loops = [
        f"for (int32_t b{axis} = 0; b{axis} < {extent}; ++b{axis}) {{"
        for axis, extent in enumerate(spec.batches)
    ]
    sizes = rows * spec.depth, spec.depth * columns
    starts = [
        _start(spec.batches, factor.batches, size)
        for factor, size in zip(spec.factors, sizes, strict=True)
    ]
    at = (
        f"i * {left.row_step} + k * {left.column_step}",
        f"k * {right.row_step} + j * {right.column_step}",
    )
    c = C_TYPES[spec.dtype]
    lines = [
        *loops,
        f"const {c} *const left = {names[0]} + {starts[0]};",
        f"const {c} *const right = {names[1]} + {starts[1]};",
        f"for (int32_t i = 0; i < {rows}; ++i) {{",
        f"for (int32_t j = 0; j < {columns}; ++j) {{",
        f"{c_type} sum = 0;",
        f"for (int32_t k = 0; k < {spec.depth}; ++k) {{",
        f"sum += ({c_type}){centered(f'left[{at[0]}]', left.zero_point)} * "
        f"{centered(f'right[{at[1]}]', right.zero_point)};",
        "}",
        f"*output++ = ({c}){output};",
        "}",
        "}",
        *("}" for _ in loops),
    ]
    return KernelSource(
        tuple(dtypes),
        tuple(constants),
        spec.dtype,
        body("\n".join(lines)),
        macs=math.prod(spec.batches) * rows * columns * spec.depth,
    )


def _start(batches: tuple[int, ...], own: tuple[int, ...], size: int) -> str:
    """Where the matrix of a batch begins; extents of 1 broadcast."""
    padded = (*(1,) * (len(batches) - len(own)), *own)
    terms = []
    for axis in reversed(range(len(batches))):
        if padded[axis] > 1:
            terms.append(f"b{axis} * {size}")
        size *= padded[axis]
    return " + ".join(reversed(terms)) or "0"
