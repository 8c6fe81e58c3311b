"""TFLite's operators of two tensors, which broadcast, beside sums and products."""

from __future__ import annotations

from collections.abc import Sequence

from pytest_microtvm.compiler.program import C_TYPES
from pytest_microtvm.compiler.quantized.kernels.portable.elementwise import collapsed, nest
from pytest_microtvm.compiler.quantized.kernels.text import (
    Constants,
    body,
    centered,
    requantized,
    sources,
)
from pytest_microtvm.compiler.quantized.specs import KernelSource, Operand
from pytest_microtvm.compiler.quantized.tflite_specs import (
    Comparison,
    PowerOfTwoSum,
    Prelu,
    Quotient,
    SquaredDifference,
)


def _elements(operands: Sequence[Operand], constants: Constants) -> tuple[list[str], int]:
    """C for the element of each operand, and how many inputs there are."""
    names, inputs = sources(operands, constants)
    return [f"{name}[{index}]" for name, index in zip(names, "lr", strict=True)], inputs


def _kernel(
    spec: Comparison | PowerOfTwoSum | Prelu | Quotient | SquaredDifference,
    statements: str,
    inputs: int,
    constants: Constants,
    output_dtype: str,
    headers: tuple[str, ...] = (),
) -> KernelSource:
    shapes = [operand.shape for operand in spec.operands]
    extents, steps = collapsed(spec.output_shape, shapes)
    return KernelSource(
        (spec.dtype,) * inputs,
        tuple(constants),
        output_dtype,
        body(nest(extents, steps, statements)),
        headers=headers,
    )


def _common(operand: Operand, element: str, left_shift: int) -> str:
    """An element in the common scale."""
    value = f"{centered(element, operand.zero_point)} * {1 << left_shift}"
    return f"microtvm_requantize({value}, {operand.multiplier}, {operand.shift})"


def prelu(spec: Prelu) -> KernelSource:
    """A kernel that multiplies negative elements only."""
    constants: Constants = []
    (value, slope), inputs = _elements(spec.operands, constants)
    data, slopes = spec.operands
    product = f"value * {centered(slope, slopes.zero_point)}"
    positive = requantized(spec.positive, "value", "0", constants)
    negative = requantized(spec.negative, product, "0", constants)
    statements = f"""
        const int32_t value = {centered(value, data.zero_point)};
        *output++ = ({C_TYPES[spec.dtype]})(value >= 0 ? {positive} : {negative});
    """
    return _kernel(spec, statements, inputs, constants, spec.dtype)


def squared_difference(spec: SquaredDifference) -> KernelSource:
    """A kernel that takes both sides to a common scale."""
    constants: Constants = []
    names, inputs = _elements(spec.operands, constants)
    left, right = (
        _common(operand, name, spec.left_shift)
        for operand, name in zip(spec.operands, names, strict=True)
    )
    output = requantized(spec.requantization, "difference * difference", "0", constants)
    statements = f"""
        const int32_t difference = {left} - {right};
        *output++ = ({C_TYPES[spec.dtype]}){output};
    """
    return _kernel(spec, statements, inputs, constants, spec.dtype)


def quotient(spec: Quotient) -> KernelSource:
    """A kernel that multiplies by reciprocals."""
    constants: Constants = []
    names, inputs = _elements(spec.operands, constants)
    left, right = (
        centered(name, operand.zero_point)
        for operand, name in zip(spec.operands, names, strict=True)
    )
    scale = spec.requantization
    factor = f"{int(scale.multipliers[0])}, {int(scale.shifts[0])}"
    value = f"microtvm_quotient({left}, {right}, {factor}) + {scale.zero_point}"
    held = f"microtvm_clamp({value}, {scale.minimum}, {scale.maximum})"
    statements = f"*output++ = ({C_TYPES[spec.dtype]}){held};"
    return _kernel(spec, statements, inputs, constants, spec.dtype, ("tvmgen_fixed_point.h",))


def comparison(spec: Comparison) -> KernelSource:
    """A kernel that compares in a common scale."""
    constants: Constants = []
    names, inputs = _elements(spec.operands, constants)
    left, right = (
        _common(operand, name, spec.left_shift)
        for operand, name in zip(spec.operands, names, strict=True)
    )
    statements = f"""
        const int32_t left = {left};
        const int32_t right = {right};
        *output++ = left {spec.relation} right ? 1 : 0;
    """
    return _kernel(spec, statements, inputs, constants, "bool")


def power_of_two_sum(spec: PowerOfTwoSum) -> KernelSource:
    """A kernel that shifts one side and saturates the sum, or the difference."""
    constants: Constants = []
    names, inputs = _elements(spec.operands, constants)
    left, right = (
        f"microtvm_rounding_shift({name}, {shift})" if shift else name
        for name, shift in zip(names, spec.shifts, strict=True)
    )
    # Saturation to int16 is within these bounds.
    sign = "-" if spec.is_difference else "+"
    total = f"microtvm_clamp({left} {sign} {right}, {spec.minimum}, {spec.maximum})"
    return _kernel(spec, f"*output++ = (int16_t){total};", inputs, constants, "int16")
