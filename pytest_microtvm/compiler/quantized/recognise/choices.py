"""Recognizes what is quantized after it was only chosen, joined or moved in float.

Each element of such a result is one of its operands, so these are quantized in its place.
Converters leave SELECT and CONCATENATION in float where they do not quantize an operand.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pytest_microtvm.compiler.quantized.recognise.chains import match_chain
from pytest_microtvm.compiler.quantized.recognise.matches import Match, Output
from pytest_microtvm.compiler.quantized.recognise.simple import MOVEMENTS
from pytest_microtvm.compiler.quantized.recognise.values import Values, dtype_of, operator_name

Part = Match | npt.NDArray[Any] | Any
"""What makes an operand in integers: a kernel, known values, or a tensor that is there."""


@dataclass(frozen=True)
class Choice:
    """A float operator that is computed of integers as it is.

    Args:
        call: The call of the operator.
        operands: Its float operands.
        parts: What is in the place of each of them.
    """

    call: Any
    operands: tuple[Any, ...]
    parts: tuple[Part, ...]

    def of(self, operands: list[Any]) -> Any:
        """The call with other operands."""
        from tvm import relax

        call = self.call
        name = operator_name(call)
        if name == "concat":
            return relax.op.concat(operands, int(call.attrs.axis))
        if name in ("astype", "where"):
            return relax.op.where(call.args[0], *operands)
        return relax.Call(call.op, [*operands, *call.args[1:]], call.attrs)


def match_choice(values: Values, value: Any, output: Output) -> Choice | None:
    """What chooses, joins or moves elements that are known, bytes, or functions of bytes.

    Args:
        values: The bindings that `value` is one of.
        value: What gives the float result.
        output: What that is quantized to.
    """
    from tvm import relax

    name = operator_name(value)
    operands: tuple[Any, ...]
    if name == "astype" and dtype_of(value.args[0]) == "bool":
        operands = (relax.const(1.0, "float32"), relax.const(0.0, "float32"))
    elif name == "concat":
        operands = tuple(value.args[0].fields)
    elif name == "where":
        operands = tuple(value.args[1:])
    elif name in MOVEMENTS:
        operands = (value.args[0],)
    else:
        return None
    parts = tuple(_part(values, operand, output) for operand in operands)
    if any(part is None for part in parts):
        return None
    return Choice(value, operands, parts)


def _part(values: Values, operand: Any, output: Output) -> Part | None:
    known = values.constant(operand)
    if known is not None:
        if dtype_of(operand) != "float32" or np.isnan(known).any():
            return None
        steps = output.rounded(known / output.quantization.scale)
        shifted = steps.astype(np.float64) + output.quantization.zero_point
        return np.asarray(np.clip(shifted, output.minimum, output.maximum), output.dtype)
    source = values.activation(operand)
    if (
        source is not None
        and (source.quantization, source.dtype) == (output.quantization, output.dtype)
        and not output.is_activated
    ):
        return source.expression
    return match_chain(values, values.definition(operand), output)
