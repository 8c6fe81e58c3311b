"""Means over axes."""

from __future__ import annotations

import math

from pytest_microtvm.compiler.program import C_TYPES
from pytest_microtvm.compiler.quantized.intervals import values_of
from pytest_microtvm.compiler.quantized.kernels.text import Constants, body, requantized
from pytest_microtvm.compiler.quantized.specs import KernelSource, Mean


def mean(spec: Mean) -> KernelSource:
    """A kernel with one accumulator at a time."""
    constants: Constants = []
    shape = spec.input_shape
    steps = [math.prod(shape[axis + 1 :]) for axis in range(len(shape))]
    kept = [axis for axis in range(len(shape)) if axis not in spec.axes]
    count = math.prod(shape[axis] for axis in spec.axes)
    sums = values_of(spec.input_dtype).summed(count)
    c_type = (sums + values_of(spec.input_dtype, spec.input_zero_point).summed(count)).c_type
    offset = f"({c_type}){spec.input_zero_point} * {count}"
    output = requantized(
        spec.requantization, f"sum - {offset}", "0", constants, is_wide=c_type == "int64_t"
    )
    lines = []
    for axis in kept:
        lines.append(f"for (int32_t i{axis} = 0; i{axis} < {shape[axis]}; ++i{axis}) {{")
    lines.append(f"{c_type} sum = 0;")
    for axis in spec.axes:
        lines.append(f"for (int32_t i{axis} = 0; i{axis} < {shape[axis]}; ++i{axis}) {{")
    index = " + ".join(f"i{axis} * {steps[axis]}" for axis in range(len(shape)))
    lines.append(f"sum += input0[{index}];")
    lines += ["}"] * len(spec.axes)
    lines.append(f"*output++ = ({C_TYPES[spec.requantization.dtype]}){output};")
    lines += ["}"] * len(kept)
    return KernelSource(
        (spec.input_dtype,), tuple(constants), spec.requantization.dtype, body("\n".join(lines))
    )
