"""Recognizes functions of each element alone over float32, several after each other as one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from pytest_microtvm.compiler.quantized.float_specs import (
    Expression,
    FloatElementwise,
    FloatOperand,
)
from pytest_microtvm.compiler.quantized.recognise.floats import FLOATS, layer_of, range_of
from pytest_microtvm.compiler.quantized.recognise.matches import Match, last
from pytest_microtvm.compiler.quantized.recognise.values import (
    Values,
    dtype_of,
    is_static_tensor,
    operator_name,
    shape_of,
)

_FUNCTIONS: Mapping[str, str] = {
    "abs": "abs",
    "add": "add",
    "clip": "clip",
    "divide": "divide",
    "exp": "exp",
    "maximum": "maximum",
    "minimum": "minimum",
    "multiply": "multiply",
    "negative": "negative",
    "nn.leakyrelu": "leaky_relu",
    "nn.relu": "clip",
    "nn.silu": "silu",
    "rsqrt": "rsqrt",
    "sigmoid": "sigmoid",
    "sqrt": "sqrt",
    "square": "square",
    "subtract": "subtract",
    "tanh": "tanh",
}
"""By the Relax operator, the function of `Expression`; bounds are two functions at the most."""


def is_elementwise(values: Values, variable: Any) -> bool:
    """Whether a variable is a float function of elements, and not the end of another layer.

    What is between dequantization and quantization is left to TVM, which makes one loop of it.
    """
    call = values.definition(variable)
    if operator_name(call) not in _FUNCTIONS or not is_static_tensor(variable):
        return False
    if any(not is_static_tensor(each) or dtype_of(each) != "float32" for each in _tensors(call)):
        return False
    layer = layer_of(values, variable)
    return layer is not None and operator_name(layer.call) not in FLOATS


def goes_on(values: Values, variable: Any) -> bool:
    """Whether a function of elements is part of that which reads it."""
    reader = values.reader(variable)
    return (
        reader is not None
        and is_elementwise(values, variable)
        and is_elementwise(values, reader)
        and shape_of(reader) == shape_of(variable)
    )


def match_elementwise(values: Values, variable: Any) -> Match | None:
    """The functions of elements that end in `variable`, as one."""
    tree = _Tree(values)
    function = tree.expression(values.definition(variable))
    if not tree.inputs or tree.is_between_integers(variable):
        return None
    shape = shape_of(variable)
    spec = FloatElementwise(shape, tuple(tree.operands), function)
    channels_last = None
    if len(shape) == 4 and all(len(shape_of(source)) == 4 for source in tree.inputs):
        channels_last = FloatElementwise(last(shape), tuple(map(_moved, tree.operands)), function)
    names = dict.fromkeys(tree.names)
    return Match("_".join(names), spec, tuple(tree.inputs), channels_last=channels_last)


class _Tree:
    """Collects what an expression is made of."""

    def __init__(self, values: Values) -> None:
        self._values = values
        self._positions: dict[Any, int] = {}
        self.operands: list[FloatOperand] = []
        self.inputs: list[Any] = []
        self.names: list[str] = []

    def expression(self, call: Any) -> Expression:
        """What a call computes of each element."""
        name = operator_name(call)
        arguments = [self._argument(call, each) for each in _tensors(call)]
        self.names.append(name.removeprefix("nn."))
        function = _FUNCTIONS[name]
        if function == "leaky_relu":
            return Expression(function, arguments, float(call.attrs.alpha))
        if function != "clip":
            return Expression(function, arguments)
        bounds = range_of(self._values, call)
        [result] = arguments
        if bounds.minimum is not None:
            result = Expression("at_least", [result], bounds.minimum)
        if bounds.maximum is not None:
            result = Expression("at_most", [result], bounds.maximum)
        return result

    def is_between_integers(self, variable: Any) -> bool:
        """Whether an operand was dequantized, or the result will be quantized."""
        values = self._values
        reader = values.reader(variable)
        is_quantized = reader is not None and values.call(reader, "quantize") is not None
        return is_quantized or any(
            values.call(each, "dequantize") is not None for each in self.inputs
        )

    def _argument(self, call: Any, argument: Any) -> Expression:
        values = self._values
        known = values.constant(argument)
        if known is not None and known.size == 1:
            return Expression("number", value=float(known.reshape(-1)[0]))
        is_part = known is None and goes_on(values, argument)
        if is_part and shape_of(argument) == shape_of(call):
            return self.expression(values.definition(argument))
        if argument not in self._positions:
            self._positions[argument] = len(self.operands)
            if known is None:
                self.inputs.append(argument)
            else:
                known = np.ascontiguousarray(known, np.float32)
            self.operands.append(FloatOperand(shape_of(argument), known))
        return Expression("operand", value=self._positions[argument])


def _tensors(call: Any) -> list[Any]:
    """The arguments of a call that are tensors: the bounds of `clip` are none."""
    return list(call.args[:1] if operator_name(call) == "clip" else call.args)


def _moved(operand: FloatOperand) -> FloatOperand:
    """An operand of an image with its channels last."""
    shape = (1,) * (4 - len(operand.shape)) + operand.shape
    if operand.values is None:
        return FloatOperand(last(shape))
    values = operand.values.reshape(shape).transpose(0, 2, 3, 1)
    return FloatOperand(last(shape), np.ascontiguousarray(values))
