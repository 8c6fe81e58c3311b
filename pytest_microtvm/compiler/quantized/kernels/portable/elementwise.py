"""Operators that work element by element."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from pytest_microtvm.compiler.emit.literals import float_literal
from pytest_microtvm.compiler.program import C_TYPES
from pytest_microtvm.compiler.quantized.arithmetic import LIMITS
from pytest_microtvm.compiler.quantized.intervals import values_of
from pytest_microtvm.compiler.quantized.kernels.linear import find_linear, is_even_sum, sums_of
from pytest_microtvm.compiler.quantized.kernels.text import (
    Constants,
    body,
    by_bits,
    centered,
    clamped,
    requantized,
    sources,
)
from pytest_microtvm.compiler.quantized.specs import (
    Arithmetic,
    KernelSource,
    Lookup,
    Operand,
    Quantize,
    Requantization,
    Requantize,
    Role,
)

_UNROLLED = 4


def lookup(spec: Lookup) -> KernelSource:
    """A kernel that replaces each value by what a table says."""
    table = by_bits(spec.table, spec.input_dtype)
    text = f"""
    for (int32_t i = 0; i < {spec.size}; ++i) {{
      output[i] = constant0[(uint8_t)input0[i]];
    }}
    """
    output_dtype = str(table.dtype)
    return KernelSource(
        (spec.input_dtype,),
        (table,),
        output_dtype,
        body(text),
        in_place=(0,) if output_dtype == spec.input_dtype else (),
        roles=(Role("table", "the output for each value of the input, by the bits of the value"),),
    )


def quantize(spec: Quantize) -> KernelSource:
    """A kernel that quantizes floats."""
    scale = float_literal(float(spec.scale), "float32")
    bounds = f"{spec.zero_point}, {spec.minimum}, {spec.maximum}"
    function = "microtvm_quantize_even" if spec.is_even else "microtvm_quantize"
    text = f"""
    for (int32_t i = 0; i < {spec.size}; ++i) {{
      output[i] = ({C_TYPES[spec.dtype]}){function}(input0[i], {scale}, {bounds});
    }}
    """
    return KernelSource(("float32",), (), spec.dtype, body(text))


def requantize(spec: Requantize) -> KernelSource:
    """A kernel that moves each value to another scale."""
    constants: Constants = []
    value = centered("input0[i]", spec.input_zero_point)
    output = requantized(spec.requantization, value, "0", constants)
    text = f"""
    for (int32_t i = 0; i < {spec.size}; ++i) {{
      output[i] = ({C_TYPES[spec.requantization.dtype]}){output};
    }}
    """
    return KernelSource(
        (spec.input_dtype,),
        tuple(constants),
        spec.requantization.dtype,
        body(text),
        in_place=(0,) if spec.requantization.dtype == spec.input_dtype else (),
    )


def arithmetic(spec: Arithmetic) -> KernelSource:
    """A kernel that adds, subtracts or multiplies two tensors."""
    constants: Constants = []
    names, inputs = sources(spec.operands, constants)
    roles = [Role("known", "the side that is known") for _ in constants]
    has_form = spec.kind != "multiply" and spec.dtype != "int16"
    form = find_linear(sums_of(spec)) if has_form else None
    if form is None:
        declarations = ""
        output = _result(spec, f"{names[0]}[l]", f"{names[1]}[r]", constants)
    else:
        declarations = form.declarations(f"constant{len(constants)}")
        constants.append(np.array(form.factors, np.int32))
        roles.append(Role("factors", "of the two sides"))
        output = _clamped(form.text(f"{names[0]}[l]", f"{names[1]}[r]"), spec.requantization)
    extents, strides = collapsed(spec.output_shape, [operand.shape for operand in spec.operands])
    statement = f"*output++ = ({C_TYPES[spec.dtype]}){output};"
    is_regular = form is not None and bool(extents) and extents[-1] % _UNROLLED == 0
    unrolled = _UNROLLED if is_regular else 1
    computed = [operand for operand in spec.operands if operand.values is None]
    whole = [i for i, operand in enumerate(computed) if operand.shape == spec.output_shape]
    return KernelSource(
        (spec.dtype,) * inputs,
        tuple(constants),
        spec.dtype,
        body(declarations + nest(extents, strides, statement, unrolled)),
        in_place=tuple(whole),
        headers=() if form is None else ("tvmgen_integer_scale.h",),
        roles=tuple(roles),
    )


def _clamped(value: str, requantization: Requantization) -> str:
    if (requantization.minimum, requantization.maximum) == LIMITS["int8"]:
        return f"microtvm_saturate8({value})"
    return f"microtvm_clamp({value}, {requantization.minimum}, {requantization.maximum})"


def _result(spec: Arithmetic, left: str, right: str, constants: Constants) -> str:
    """An expression for an element of the output, given those of the sides, as TFLite has it."""
    sides = [
        _side(spec, operand, element)
        for operand, element in zip(spec.operands, (left, right), strict=True)
    ]
    sign = {"add": "+", "subtract": "-", "multiply": "*"}[spec.kind]
    requantization = spec.requantization
    if is_even_sum(spec):
        value = f"microtvm_even_shift({sides[0]} {sign} {sides[1]}, {spec.left_shift}, 0)"
        return clamped(value, requantization)
    ends = [values_of(spec.dtype, operand.zero_point) for operand in spec.operands]
    is_wide = spec.kind == "multiply" and not (ends[0] * ends[1]).fits_int32
    if is_wide:
        sides[0] = f"(int64_t){sides[0]}"
    value = f"{sides[0]} {sign} {sides[1]}"
    return requantized(requantization, value, "0", constants, is_wide=is_wide)


def _side(spec: Arithmetic, operand: Operand, element: str) -> str:
    value = centered(element, operand.zero_point)
    if spec.kind == "multiply":
        return value
    if is_even_sum(spec):
        return f"(int64_t){value} * {operand.multiplier}"
    return (
        f"microtvm_requantize({value} * {1 << spec.left_shift}, "
        f"{operand.multiplier}, {operand.shift})"
    )


def collapsed(
    shape: Sequence[int], operands: Sequence[Sequence[int]]
) -> tuple[list[int], list[list[int]]]:
    """Extents of the loops, and for each operand the steps of each loop.

    Neighboring dimensions that both operands pass through alike become one.
    """
    rank = len(shape)
    padded = [(*(1,) * (rank - len(operand)), *operand) for operand in operands]
    extents: list[int] = []
    flags: list[tuple[bool, ...]] = []
    for axis, extent in enumerate(shape):
        moves = tuple(operand[axis] != 1 for operand in padded)
        if extent == 1:
            continue
        if flags and flags[-1] == moves:
            extents[-1] *= extent
        else:
            extents.append(extent)
            flags.append(moves)
    steps: list[list[int]] = []
    for position in range(len(operands)):
        step = 1
        found: list[int] = []
        for extent, moves in zip(reversed(extents), reversed(flags), strict=True):
            found.append(step if moves[position] else 0)
            step *= extent if moves[position] else 1
        steps.append(found[::-1])
    return extents, steps


def nest(
    extents: Sequence[int], steps: Sequence[Sequence[int]], statement: str, unrolled: int = 1
) -> str:
    """Loops around a statement that reads the operands at `l` and `r`.

    Args:
        extents: Of the loops, the outermost first.
        steps: Of each operand, by loop.
        statement: It.
        unrolled: How often it is there in the innermost loop, whose extent this divides.
    """
    depth = len(extents)
    lines = []
    for level, extent in enumerate(extents):
        count = unrolled if level == depth - 1 else 1
        advance = f"++i{level}" if count == 1 else f"i{level} += {count}"
        head = f"for (int32_t i{level} = 0; i{level} < {extent}; {advance}) {{"
        lines.append(f"{'  ' * level}{head}")
    for number in range(unrolled):
        lines += ["{"] if unrolled > 1 else []
        for name, operand in zip(("l", "r"), steps, strict=True):
            terms = [
                f"i{level}" if step == 1 else f"i{level} * {step}"
                for level, step in enumerate(operand)
                if step
            ]
            if number and operand[-1]:
                terms.append(str(number * operand[-1]))
            lines.append(f"{'  ' * depth}const int32_t {name} = {' + '.join(terms) or '0'};")
        lines.append(f"{'  ' * depth}{statement}")
        lines += ["}"] if unrolled > 1 else []
    lines += ["  " * level + "}" for level in reversed(range(depth))]
    text = "\n".join(lines)
    # Declarations must not meet those of an outer scope.
    return text if math.prod(extents) > 1 else f"{{\n{text}\n}}"
