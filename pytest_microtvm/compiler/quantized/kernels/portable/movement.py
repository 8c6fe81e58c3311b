"""Operators that move elements."""

from __future__ import annotations

import math

from pytest_microtvm.compiler.program import dtype_bytes
from pytest_microtvm.compiler.quantized.kernels.text import Constants, body, by_bits
from pytest_microtvm.compiler.quantized.specs import Concatenation, KernelSource, Role
from pytest_microtvm.compiler.quantized.tflite_specs import UpdateSlice


def concatenation(spec: Concatenation) -> KernelSource:
    """A kernel that copies the rows of its inputs one after the other."""
    constants: Constants = []
    roles = []
    copies = []
    for i, (length, table) in enumerate(zip(spec.lengths, spec.tables, strict=True)):
        if table is None:
            copies.append(f"memcpy(output, input{i}, {length * dtype_bytes(spec.dtype)});")
        else:
            copies.append(f"for (int32_t i = 0; i < {length}; ++i) {{")
            copies.append(f"output[i] = constant{len(constants)}[(uint8_t)input{i}[i]];\n}}")
            constants.append(by_bits(table, spec.dtype))
            roles.append(Role(f"table{i}", f"what becomes of each value of input{i}, by its bits"))
        copies.append(f"input{i} += {length};")
        copies.append(f"output += {length};")
    lines = [f"for (int32_t row = 0; row < {spec.rows}; ++row) {{", *copies, "}"]
    dtypes = (spec.dtype,) * len(spec.lengths)
    return KernelSource(
        dtypes, tuple(constants), spec.dtype, body("\n".join(lines)), roles=tuple(roles)
    )


def update_slice(spec: UpdateSlice) -> KernelSource:
    """A kernel that copies the whole, and the box over it."""
    steps = [math.prod(spec.shape[axis + 1 :]) for axis in range(len(spec.shape))]
    lines = [f"memcpy(output, input0, {math.prod(spec.shape)} * sizeof(*output));"]
    for axis, (extent, size) in enumerate(zip(spec.shape, spec.part, strict=True)):
        given = f"(int32_t)input2[{axis}]"
        lines.append(f"const int32_t at{axis} = microtvm_clamp({given}, 0, {extent - size});")
    for axis, size in enumerate(spec.part):
        lines.append(f"for (int32_t i{axis} = 0; i{axis} < {size}; ++i{axis}) {{")
    places = [f"(at{axis} + i{axis}) * {step}" for axis, step in enumerate(steps)]
    lines.append(f"output[{' + '.join(places) or '0'}] = *input1++;")
    lines += ["}"] * len(spec.part)
    return KernelSource(
        (spec.dtype, spec.dtype, spec.start_dtype), (), spec.dtype, body("\n".join(lines))
    )
