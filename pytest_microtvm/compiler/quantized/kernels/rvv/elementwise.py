"""Sums and differences of tensors by RISC-V's vector extension, where a linear form gives them."""

from __future__ import annotations

import math

from pytest_microtvm.compiler.quantized.kernels.c_text import Text
from pytest_microtvm.compiler.quantized.kernels.linear import find_linear, sums_of
from pytest_microtvm.compiler.quantized.specs import Arithmetic, KernelSource


def fits(spec: Arithmetic) -> bool:
    """Whether it is a sum or difference of two int8 tensors of one shape."""
    return (
        spec.kind in ("add", "subtract")
        and spec.dtype == spec.requantization.dtype == "int8"
        and all(
            operand.values is None and operand.shape == spec.output_shape
            for operand in spec.operands
        )
    )


def arithmetic(spec: Arithmetic) -> KernelSource | None:
    """The kernel of a spec that `fits`; None where 32 bits do not hold a form of it."""
    form = find_linear(sums_of(spec))
    if form is None or not form.is_narrow:
        return None
    text = Text()
    numbers = (
        *(*form.factors, form.constant, form.shift),
        *(spec.requantization.minimum, spec.requantization.maximum),
    )
    text.add(
        f"microtvm_linear(output, input0, input1, {math.prod(spec.output_shape)}, "
        f"{', '.join(map(str, numbers))});"
    )
    return KernelSource(
        input_dtypes=("int8", "int8"),
        constants=(),
        output_dtype="int8",
        body=str(text),
        in_place=(0, 1),
        headers=("tvmgen_integer_rvv.h",),
    )
