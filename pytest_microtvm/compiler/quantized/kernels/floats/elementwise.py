"""Functions of each element alone over float32: those that follow each other are one loop."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from pytest_microtvm.compiler.quantized.float_specs import (
    Expression,
    FloatElementwise,
)
from pytest_microtvm.compiler.quantized.kernels.c_text import Text
from pytest_microtvm.compiler.quantized.kernels.floats.text import HEADERS, number
from pytest_microtvm.compiler.quantized.kernels.text import Constants, sources
from pytest_microtvm.compiler.quantized.specs import KernelSource

_FUNCTIONS: Mapping[str, str] = {
    "abs": "fabsf({0})",
    "add": "{0} + {1}",
    "at_least": "microtvm_at_least({0}, {value})",
    "at_most": "microtvm_at_most({0}, {value})",
    "divide": "{0} / {1}",
    "exp": "microtvm_expf({0})",
    "leaky_relu": "{0} < 0.0f ? {0} * {value} : {0}",
    "maximum": "microtvm_at_least({0}, {1})",
    "minimum": "microtvm_at_most({0}, {1})",
    "multiply": "{0} * {1}",
    "negative": "-{0}",
    "rsqrt": "1.0f / sqrtf({0})",
    "sigmoid": "microtvm_logisticf({0})",
    "silu": "{0} * microtvm_logisticf({0})",
    "sqrt": "sqrtf({0})",
    "square": "{0} * {0}",
    "subtract": "{0} - {1}",
    "tanh": "microtvm_tanhf({0})",
}


def elementwise(spec: FloatElementwise) -> KernelSource:
    """A kernel with a loop for each axis that broadcasts otherwise than the next one."""
    constants: Constants = []
    names, inputs = sources(spec.operands, constants)
    extents, steps = _collapsed(spec.shape, [operand.shape for operand in spec.operands])
    text = Text()

    def write(axis: int) -> None:
        if axis < len(extents):
            with text.repeated(f"i{axis}", extents[axis]):
                write(axis + 1)
            return
        for position, name in enumerate(names):
            at = " + ".join(f"i{n} * {step}" for n, step in enumerate(steps[position]) if step)
            text.add(f"const float x{position} = {name}[{at or '0'}];")
        count = 0

        def value_of(expression: Expression) -> str:
            nonlocal count
            if expression.function == "operand":
                return f"x{int(expression.value)}"
            if expression.function == "number":
                return number(expression.value)
            arguments = [value_of(argument) for argument in expression.arguments]
            value = _FUNCTIONS[expression.function].format(
                *arguments, value=number(expression.value)
            )
            text.add(f"const float y{count} = {value};")
            count += 1
            return f"y{count - 1}"

        result = value_of(spec.function)
        text.add(f"*output++ = {result};")

    write(0)
    size = math.prod(spec.shape)
    given = [operand for operand in spec.operands if operand.values is None]
    return KernelSource(
        ("float32",) * inputs,
        tuple(constants),
        "float32",
        str(text),
        in_place=tuple(n for n, operand in enumerate(given) if math.prod(operand.shape) == size),
        headers=HEADERS,
        is_float=True,
    )


def _collapsed(
    shape: Sequence[int], operands: Sequence[Sequence[int]]
) -> tuple[list[int], list[list[int]]]:
    """The extents of as few axes as do, and how far each operand goes in a step along each."""
    rank = len(shape)
    padded = [(1,) * (rank - len(operand)) + tuple(operand) for operand in operands]
    extents: list[int] = []
    kinds: list[tuple[bool, ...]] = []
    for axis, extent in enumerate(shape):
        if extent == 1:
            continue
        kind = tuple(operand[axis] > 1 for operand in padded)
        if kinds and kinds[-1] == kind:
            extents[-1] *= extent
        else:
            extents.append(extent)
            kinds.append(kind)
    steps = []
    for position in range(len(operands)):
        step, found = 1, []
        for extent, kind in zip(reversed(extents), reversed(kinds), strict=True):
            found.append(step if kind[position] else 0)
            step *= extent if kind[position] else 1
        steps.append(list(reversed(found)))
    return extents, steps
