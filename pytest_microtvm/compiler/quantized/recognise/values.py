"""What the variables of a Relax function stand for, as far as integer kernels ask."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np

from pytest_microtvm.compiler.quantized.tensors import Activation, Array, Quantization, Weights


def shape_of(expression: Any) -> tuple[int, ...]:
    """The static shape of a tensor."""
    return tuple(int(extent.value) for extent in expression.ty.shape)


def dtype_of(expression: Any) -> str:
    """The element type of a tensor."""
    dtype = expression.ty.dtype
    return str(getattr(dtype, "dtype", dtype))


def is_static_tensor(expression: Any) -> bool:
    """Whether an expression is a tensor of fixed shape."""
    ty = expression.ty
    return (
        type(ty).__name__ == "TensorType"
        and ty.shape is not None
        and all(type(extent).__name__ == "IntImm" for extent in ty.shape)
    )


_MOVEMENTS = ("clip", "expand_dims", "flatten", "permute_dims", "reshape", "squeeze")
"""Operators that leave the values of integers as they are, or at most clamp them."""


class Values:
    """The bindings of a function's `main`, looked at from their uses.

    Args:
        function: A Relax function in A-normal form.
    """

    def __init__(self, function: Any) -> None:
        self._bound: dict[Any, Any] = {}
        self._uses: Counter[Any] = Counter()
        self._readers: dict[Any, Any] = {}
        self._clipped: set[Any] = set()
        self._real_uses: dict[Any, Any] = {}
        for block in function.body.blocks:
            for binding in block.bindings:
                if type(binding).__name__ == "VarBinding":
                    self._bound[binding.var] = binding.value
                    if operator_name(binding.value) == "clip":
                        self._clipped.add(binding.value.args[0])
                    if operator_name(binding.value) == "dequantize":
                        self._real_uses.setdefault(binding.value.args[0], binding.value)
                    read = variables_of(binding.value)
                    self._uses.update(read)
                    if operator_name(binding.value):
                        self._readers |= dict.fromkeys(read, binding.var)
        self._uses.update(variables_of(function.body.body))

    def is_only_clipped(self, variable: Any) -> bool:
        """Whether nothing but one `clip` reads a variable: the group goes on there."""
        return variable in self._clipped and self._uses[variable] == 1

    def is_read_once(self, expression: Any) -> bool:
        """Whether an expression is a variable that one call reads, and once."""
        return self.reader(expression) is not None

    def reader(self, variable: Any) -> Any | None:
        """The variable of the only call that reads another one, once; None where there are more."""
        if self._uses[variable] != 1:
            return None
        return self._readers.get(variable)

    def definition(self, expression: Any) -> Any:
        """What a variable is bound to; the expression itself when it is no bound variable."""
        while type(expression).__name__ in ("Var", "DataflowVar") and expression in self._bound:
            expression = self._bound[expression]
        return expression

    def call(self, expression: Any, *names: str) -> Any | None:
        """The call that makes `expression`, if it is one of a Relax operator among `names`."""
        value = self.definition(expression)
        return value if operator_name(value) in names else None

    def calls(self, name: str) -> list[Any]:
        """The bound calls of a Relax operator, in order."""
        return [value for value in self._bound.values() if operator_name(value) == name]

    def constant(self, expression: Any) -> Array | None:
        """The value of `expression`, if it is known."""
        value = self.definition(expression)
        if type(value).__name__ == "GenericConst" and hasattr(value.value, "numpy"):
            array: Array = value.value.numpy()
            return array
        name = operator_name(value)
        if name == "permute_dims":
            source = self.constant(value.args[0])
            return None if source is None else np.transpose(source, _axes(value, source.ndim))
        if name == "reshape":
            source = self.constant(value.args[0])
            return None if source is None else source.reshape(shape_of(value))
        if name == "multiply":
            factors = [self.constant(argument) for argument in value.args]
            if factors[0] is not None and factors[1] is not None:
                product: Array = factors[0] * factors[1]
                return product
        return None

    def real(self, expression: Any) -> Array | None:
        """The value of a float `expression`, if it is known; of integers, what they stand for."""
        found = self.constant(expression)
        if found is None:
            weights = self.weights(expression)
            if weights is not None:
                found = (weights.values - weights.zero_points) * weights.scales
        return found

    def activation(self, expression: Any) -> Activation | None:
        """The quantized tensor behind `dequantize(x)`, when one scale serves all of it."""
        call = self.call(expression, "dequantize")
        if call is None or self.constant(call.args[0]) is not None:
            return None
        quantization = self.quantization(call)
        if quantization is None or not is_static_tensor(call.args[0]):
            return None
        source = call.args[0]
        return Activation(source, shape_of(source), dtype_of(source), quantization)

    def number(self, expression: Any) -> float:
        """A number given as an expression."""
        known = self.constant(expression)
        if known is not None:
            return float(known.reshape(-1)[0])
        while hasattr(expression, "value"):
            expression = expression.value
        return float(expression)

    def quantization(self, call: Any) -> Quantization | None:
        """The parameters of a `quantize` or `dequantize` with one scale for all."""
        scale, zero_point = (self.constant(argument) for argument in call.args[1:3])
        if scale is None or zero_point is None or scale.size != 1 or zero_point.size != 1:
            return None
        return Quantization(np.float32(scale.reshape(-1)[0]), int(zero_point.reshape(-1)[0]))

    def quantization_of(self, expression: Any) -> Quantization | None:
        """What the integers of `expression` stand for, as their making or their use shows."""
        value = self.definition(expression)
        use = self._real_uses.get(expression)
        while use is None and operator_name(value) in _MOVEMENTS:
            expression = value.args[0]
            value = self.definition(expression)
            use = self._real_uses.get(expression)
        if operator_name(value) == "quantize":
            return self.quantization(value)
        return None if use is None else self.quantization(use)

    def weights(self, expression: Any) -> Weights | None:
        """The quantized constant behind `dequantize(c)`, reshaped and permuted as it is used."""
        value = self.definition(expression)
        name = operator_name(value)
        if name == "dequantize":
            return self._dequantized(value)
        if name == "multiply":
            return self._scaled(value)
        if name == "reshape":
            source = self.weights(value.args[0])
            return source and source.moved(lambda array: array.reshape(shape_of(value)))
        if name == "permute_dims":
            source = self.weights(value.args[0])
            if source is None:
                return None
            axes = _axes(value, source.values.ndim)
            return source.moved(lambda array: np.transpose(array, axes))
        return None

    def _scaled(self, call: Any) -> Weights | None:
        """Weights of int64: a cast times a scale for each element of the last axis, or for all."""
        cast = self.call(call.args[0], "astype")
        values = None if cast is None else self.constant(cast.args[0])
        scales = self.constant(call.args[1])
        if values is None or scales is None or str(values.dtype) != "int64":
            return None
        spread = np.broadcast_to(scales.astype(np.float32), values.shape)
        return Weights(values, spread, np.zeros(values.shape, np.int64))

    def _dequantized(self, call: Any) -> Weights | None:
        values, scales, zero_points = (self.constant(argument) for argument in call.args)
        if values is None or scales is None or zero_points is None:
            return None
        axis = int(call.attrs.axis) % max(1, values.ndim)

        def spread(array: Array, dtype: Any) -> Array:
            shape = [1] * values.ndim
            if array.size > 1:
                shape[axis] = array.size
            return np.broadcast_to(array.astype(dtype).reshape(shape), values.shape)

        return Weights(values, spread(scales, np.float32), spread(zero_points, np.int64))


def operator_name(expression: Any) -> str:
    """The name of the Relax operator that a call calls, without "relax."; else empty."""
    if type(expression).__name__ != "Call" or type(expression.op).__name__ != "Op":
        return ""
    return str(expression.op.name).removeprefix("relax.")


def _axes(call: Any, rank: int) -> list[int]:
    axes = call.attrs.axes
    if axes is None:
        return list(reversed(range(rank)))
    return [int(axis) for axis in axes]


def variables_of(expression: Any) -> list[Any]:
    """The variables that an expression reads."""
    kind = type(expression).__name__
    if kind in ("Var", "DataflowVar"):
        return [expression]
    if kind == "Call":
        return [found for argument in expression.args for found in variables_of(argument)]
    if kind == "Tuple":
        return [found for field in expression.fields for found in variables_of(field)]
    if kind == "TupleGetItem":
        return variables_of(expression.tuple_value)
    return []
