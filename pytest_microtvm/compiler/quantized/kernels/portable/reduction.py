"""Means over axes."""

from __future__ import annotations

import math

from pytest_microtvm.compiler.program import C_TYPES
from pytest_microtvm.compiler.quantized.kernels.text import Constants, body, requantized
from pytest_microtvm.compiler.quantized.specs import KernelSource, Mean


def mean(spec: Mean) -> KernelSource:
    """A kernel with one accumulator at a time."""
    constants: Constants = []
    shape = spec.input_shape
    steps = [math.prod(shape[axis + 1 :]) for axis in range(len(shape))]
    kept = [axis for axis in range(len(shape)) if axis not in spec.axes]
    count = math.prod(shape[axis] for axis in spec.axes)
    output = requantized(
        spec.requantization, f"sum - {count * spec.input_zero_point}", "0", constants
    )
    lines = []
    for axis in kept:
        lines.append(f"for (int32_t i{axis} = 0; i{axis} < {shape[axis]}; ++i{axis}) {{")
    lines.append("int32_t sum = 0;")
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
