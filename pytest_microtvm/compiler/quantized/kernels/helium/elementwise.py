"""Sums and differences of tensors by Helium.

Where a linear form of 32 bits gives the same bytes, it is computed for 16 elements at a time. What
is left of these, or has no such form, takes TFLite's three roundings for four.
"""

from __future__ import annotations

import math

from pytest_microtvm.compiler.quantized.arithmetic import LIMITS
from pytest_microtvm.compiler.quantized.kernels.c_text import Text
from pytest_microtvm.compiler.quantized.kernels.linear import Linear, find_linear, sums_of
from pytest_microtvm.compiler.quantized.specs import Arithmetic, KernelSource, Operand, Rounding

_LANES = 4
_VECTOR = 16


def fits(spec: Arithmetic) -> bool:
    """Whether it is a sum or difference of two int8 tensors of one shape."""
    requantization = spec.requantization
    return (
        spec.kind in ("add", "subtract")
        and spec.dtype == requantization.dtype == "int8"
        and requantization.rounding is Rounding.DOUBLE
        and requantization.multipliers.size == 1
        and all(
            operand.values is None and operand.shape == spec.output_shape
            for operand in spec.operands
        )
    )


def arithmetic(spec: Arithmetic) -> KernelSource:
    """The kernel of a spec that `fits`."""
    text = Text()
    size = math.prod(spec.output_shape)
    form = find_linear(sums_of(spec)) if size >= _VECTOR else None
    first = 0
    if form is not None and form.is_narrow:
        first = size // _VECTOR * _VECTOR
        _write_linear(text, spec, form)
    if first < size:
        text.add(f"const microtvm_int32x4 unit = microtvm_all4({1 << spec.left_shift});")
    fours = (size - first) // _LANES * _LANES
    if fours:
        with text.repeated("i", fours, _LANES):
            _write_elements(text, spec, f"{first} + i" if first else "i", _LANES)
    if first + fours < size:
        with text.block():
            _write_elements(text, spec, str(first + fours), size - first - fours)
    return KernelSource(
        input_dtypes=("int8", "int8"),
        constants=(),
        output_dtype=spec.requantization.dtype,
        body=str(text),
        in_place=(0, 1),
        headers=("tvmgen_integer_helium.h",),
    )


def _write_linear(text: Text, spec: Arithmetic, form: Linear) -> None:
    """16 elements at a time, as far as they go."""
    requantization = spec.requantization
    limits = requantization.minimum, requantization.maximum
    left, right = form.factors
    text.add(f"const microtvm_int32x4 factors = microtvm_all4({left});")
    with text.repeated("i", math.prod(spec.output_shape) // _VECTOR * _VECTOR, _VECTOR):
        text.add(
            "microtvm_linear16(output + i, input0 + i, input1 + i, factors, "
            f"{right}, {form.constant}, {form.shift});"
        )
        if limits != LIMITS["int8"]:
            text.add(f"microtvm_limit16(output + i, {limits[0]}, {limits[1]});")


def _write_elements(text: Text, spec: Arithmetic, at: str, count: int) -> None:
    for n, operand in enumerate(spec.operands):
        address = f"input{n} + {at}"
        value = f"microtvm_widen4({address})"
        if count < _LANES:
            value = f"microtvm_widen4_first({address}, {count})"
        text.add(f"const microtvm_int32x4 side{n} = {_side(spec, operand, value)};")
    function = "microtvm_add4" if spec.kind == "add" else "microtvm_subtract4"
    requantization = spec.requantization
    multiplier, shift = int(requantization.multipliers[0]), int(requantization.shifts[0])
    rounding = _rounding(shift)
    if rounding == "MICROTVM_SHORT" and requantization.minimum >= requantization.zero_point:
        rounding = "MICROTVM_POSITIVE"
    limits = f"{requantization.zero_point}, {requantization.minimum}, {requantization.maximum}"
    text.add(
        f"const microtvm_int32x4 sum = {function}(side0, side1);",
        "const microtvm_int32x4 scaled = "
        f"microtvm_scale4_all(sum, {multiplier}, {shift}, {rounding});",
        f"microtvm_store4_first(output + {at}, microtvm_output4(scaled, {limits}), {count});",
    )


def _side(spec: Arithmetic, operand: Operand, value: str) -> str:
    """C: an operand in the common scale."""
    offset = -operand.zero_point * (1 << spec.left_shift)
    raised = f"microtvm_multiply_add4({value}, unit, {offset})"
    rounding = _rounding(operand.shift)
    return f"microtvm_scale4_all({raised}, {operand.multiplier}, {operand.shift}, {rounding})"


def _rounding(shift: int) -> str:
    return "MICROTVM_SHORT" if shift < 0 else "MICROTVM_ANY_SHIFT"
