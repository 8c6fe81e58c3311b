"""An operator while it is converted: what it reads, what it is to make, and how that is written."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
from tvm import relax

from pytest_microtvm.compiler.frontends.tflite.graph import (
    Array,
    Graph,
    Operator,
    Quantization,
    Tensor,
)
from pytest_microtvm.compiler.frontends.tflite.open_lists import OpenList
from pytest_microtvm.compiler.frontends.tflite.options import Options
from pytest_microtvm.compiler.frontends.tflite.refusal import Refusal
from pytest_microtvm.compiler.frontends.tflite.spectra import Complex
from pytest_microtvm.compiler.frontends.tflite.states import Handle, States
from pytest_microtvm.compiler.frontends.tflite_checks import enumeration
from pytest_microtvm.compiler.frontends.top_k import top_k_of_rows
from pytest_microtvm.compiler.quantized.arithmetic import LIMITS, round_away
from pytest_microtvm.compiler.quantized.given import PREFIX, GivenSpec, Subgraph
from pytest_microtvm.errors import ModelError

_BOUNDS: dict[str, tuple[float, float | None]] = {
    "RELU": (0.0, None),
    "RELU6": (0.0, 6.0),
    "RELU_N1_TO_1": (-1.0, 1.0),
}
"""Activations that hold a value between bounds."""


def constant(values: Any) -> Any:
    """Known values in Relax, in their own element type: left alone, Relax makes int64 to int32."""
    array = np.asarray(values)
    return relax.const(array, str(array.dtype))


class Operand:
    """A tensor that an operator reads.

    Args:
        tensor: What the file says of it.
        value: Its values where they are known, else the Relax variable that holds them.
    """

    def __init__(self, tensor: Tensor, value: Array | Any) -> None:
        self.tensor = tensor
        self.value: Array | None = value if isinstance(value, np.ndarray) else None
        self._variable: Any = None if isinstance(value, np.ndarray) else value

    @property
    def expression(self) -> Any:
        """Its values in Relax."""
        return self._held if self.value is None else constant(self.value)

    @property
    def shape(self) -> tuple[int, ...]:
        """Its extents; those of the file may be out of date."""
        if self.value is not None:
            return tuple(self.value.shape)
        held = self._held if self.complex is None else self.complex.real
        return tuple(int(extent) for extent in held.ty.shape)

    @property
    def complex(self) -> Complex | None:
        """Its real and imaginary parts, where it has both."""
        return self._variable if isinstance(self._variable, Complex) else None

    @property
    def open_list(self) -> OpenList | None:
        """The list that it is, where nothing told yet what its items are."""
        return self._variable if isinstance(self._variable, OpenList) else None

    @property
    def _held(self) -> Any:
        if self.open_list is not None:
            raise ModelError(
                f"its input {self.tensor.name!r} is a list into which nothing was put",
                cure="export the model without its lists, with TFLITE_BUILTINS only",
            )
        if self.complex is not None:
            raise ModelError(
                f"its input {self.tensor.name!r} holds complex numbers",
                cure="go on with their real and imaginary parts, or with their magnitudes: tf.abs",
            )
        if isinstance(self._variable, Handle):
            raise ModelError(
                f"its input {self.tensor.name!r} names a variable, which only READ_VARIABLE and "
                "ASSIGN_VARIABLE take",
                cure="convert the model with its weights as constants, as "
                "TFLiteConverter.from_keras_model and from_saved_model do",
            )
        return self._variable

    @property
    def rank(self) -> int:
        """How many extents it has."""
        return len(self.shape)

    @property
    def dtype(self) -> str:
        """NumPy's name of the element type."""
        return self.tensor.dtype

    @property
    def handle(self) -> Handle:
        """The variable that it names.

        Raises:
            ValueError: It names none.
        """
        if not isinstance(self._variable, Handle):
            raise ValueError(f"its input {self.tensor.name!r} names no variable")
        return self._variable

    @property
    def quantization(self) -> Quantization | None:
        """None when the values are the numbers."""
        return self.tensor.quantization if self.dtype != "float32" else None

    @property
    def is_quantized(self) -> bool:
        """Whether its values stand for other numbers."""
        return self.quantization is not None

    @property
    def real(self) -> Any:
        """The numbers that its values stand for, in Relax; float32 when it is quantized."""
        known = self.quantization
        return self.expression if known is None else dequantized(self.expression, known)

    def moved(self, values: Array, axis: int = 0) -> Any:
        """The numbers of a quantized constant whose elements were moved.

        Args:
            values: The constant's, in their new places.
            axis: Where the axis of the quantization has gone.
        """
        known = self.quantization
        expression = constant(np.ascontiguousarray(values))
        return expression if known is None else dequantized(expression, known, axis)

    def known_real(self) -> Array | None:
        """The numbers that a constant stands for, as float32."""
        if self.value is None:
            return None
        known = self.quantization
        if known is None:
            return self.value
        shape = [1] * self.value.ndim
        if known.scales.size > 1:
            shape[known.axis] = known.scales.size
        shifted = self.value.astype(np.int64) - known.zero_points.reshape(shape)
        real: Array = shifted.astype(np.float32) * known.scales.reshape(shape)
        return real


def dequantized(expression: Any, quantization: Quantization, axis: int | None = None) -> Any:
    """The numbers that quantized values stand for, in Relax."""
    scales, zero_points = quantization.scales, quantization.zero_points
    if str(getattr(expression.ty.dtype, "dtype", expression.ty.dtype)) == "int64":
        # Relax's operator does not take it.
        scale = scales.reshape(-1) if scales.size > 1 else scales[0]
        return relax.op.multiply(relax.op.astype(expression, "float32"), constant(scale))
    if scales.size == 1:
        axis = 0
    elif axis is None:
        axis = quantization.axis
    return relax.op.dequantize(expression, *_parameters(scales, zero_points), axis=axis)


def _parameters(scales: Array, zero_points: Array) -> tuple[Any, Any]:
    if scales.size == 1:
        return relax.const(float(scales[0]), "float32"), relax.const(int(zero_points[0]), "int32")
    if not zero_points.any():
        return relax.const(scales, "float32"), relax.const(0, "int32")
    return relax.const(scales, "float32"), relax.const(zero_points.astype(np.int32), "int32")


class Subgraphs(Protocol):
    """The subgraphs that an operator runs, by their numbers.

    Each method raises ValueError for a number that the model has no subgraph of.
    """

    def states(self, index: int) -> States:
        """What one leaves in its variables; ValueError for what is no initialization."""

    def graph(self, index: int) -> Graph:
        """What the file says of one."""

    def converted(
        self, index: int, inputs: Sequence[Operand], outputs: Sequence[int] | None = None
    ) -> tuple[Subgraph, list[tuple[tuple[int, ...], str]]]:
        """One as a function of those inputs that are not known.

        Args:
            index: Its number.
            inputs: What it is given.
            outputs: Positions of the results that are wanted; all when None.

        Returns:
            The function, and the shape and dtype of each result.
        """

    def inlined(self, index: int, inputs: Sequence[Operand]) -> list[Any]:
        """The results of one whose operators are converted in place of the operator.

        Args:
            index: Its number.
            inputs: What it is given.
        """


class Call:
    """An operator while it is converted.

    Args:
        operator: Which.
        options: Its options.
        operands: What it reads; None for what is left out.
        outputs: What the file says of its results.
        builder: Normalizes expressions.
        specs: Kernels that are called by their numbers; `kernel` appends to them.
        states: The variables of the model.
        subgraphs: What the other subgraphs of the model are.
        intermediates: What the file says of numbers inside of the operator.
    """

    def __init__(
        self,
        operator: Operator,
        options: Options,
        operands: Sequence[Operand | None],
        outputs: Sequence[Tensor],
        builder: Any,
        specs: list[GivenSpec],
        states: States,
        subgraphs: Subgraphs,
        intermediates: Sequence[Tensor] = (),
    ) -> None:
        self.intermediates = intermediates
        self.states = states
        self.subgraphs = subgraphs
        self.operator = operator
        self.options = options
        self.outputs = outputs
        self._operands = operands
        self._builder = builder
        self._specs = specs

    # What it reads.

    @property
    def operands(self) -> list[Operand]:
        """All operands; none may be left out."""
        return [self.input(position) for position in range(len(self._operands))]

    @property
    def all_operands(self) -> list[Operand | None]:
        """All operands; None for one that is left out."""
        return list(self._operands)

    def input(self, position: int) -> Operand:
        """An operand that has to be there."""
        operand = self.optional(position)
        if operand is None:
            raise self.refusal(f"it lacks its input {position}")
        return operand

    def optional(self, position: int) -> Operand | None:
        """An operand that may be left out."""
        return self._operands[position] if position < len(self._operands) else None

    def known(self, position: int, what: str) -> Array:
        """The values of an operand that has to be known.

        Args:
            position: Of the operand.
            what: Names it in messages.
        """
        value = self.input(position).value
        if value is None:
            raise self.refusal(
                f"{what} is computed at run time",
                "export the model with fixed shapes for all inputs, or give them by input_shapes",
            )
        return value

    def integers(self, position: int, what: str) -> list[int]:
        """The same as integers."""
        return [int(value) for value in self.known(position, what).reshape(-1)]

    def output_shape(self, position: int) -> list[int]:
        """The shape that an operand says the result has.

        Where that is computed at run time, or an input of the model, it can only be the one that
        the file has: TensorFlow Lite Micro does not look at it, either.
        """
        stated = self.output.signature
        is_stated = -1 not in stated and (bool(stated) or self.output.is_ranked)
        if self.input(position).value is None and is_stated:
            return list(stated)
        return self.integers(position, "its shape")

    @property
    def output(self) -> Tensor:
        """What the file says of its only result."""
        if len(self.outputs) != 1:
            raise self.refusal(f"it has {len(self.outputs)} outputs")
        return self.outputs[0]

    def refusal(self, why: str, cure: str | None = None) -> Refusal:
        """Say why it cannot be converted."""
        return Refusal(self.operator, [tensor.name for tensor in self.outputs], why, cure)

    # How results are written.

    def normalized(self, expression: Any) -> Any:
        """An expression whose type is known."""
        return self._builder.normalize(expression)

    def emitted(self, expression: Any) -> Any:
        """A variable that is bound to an expression."""
        return self._builder.emit(expression)

    def top_k(self, source: Operand, count: int, places: str) -> list[Any]:
        """The greatest elements along the last axis, and their places as that type."""
        return top_k_of_rows(self._builder, source.expression, source.shape, count, places)

    def kernel(
        self,
        name: str,
        spec: Any,
        inputs: Sequence[Any],
        shape: Sequence[int],
        dtype: str | None = None,
    ) -> Any:
        """The result of a kernel that does just what TFLite does.

        Args:
            name: Of the operator, for the name of the kernel.
            spec: What the kernel does.
            inputs: Relax variables that it reads.
            shape: Of the result.
            dtype: Of the result; that of the only output when None.
        """
        ty = relax.TensorType(list(shape), dtype or self.output.dtype)
        return self._given(name, spec, inputs, ty)

    def kernel_of_several(
        self, name: str, spec: Any, inputs: Sequence[Any], types: Sequence[tuple[Any, str]]
    ) -> list[Any]:
        """The results of a kernel that may have several; `types` are their shapes and dtypes."""
        tys = [relax.TensorType(list(shape), dtype) for shape, dtype in types]
        made = self._builder.emit(self._given(name, spec, inputs, tys))
        if len(tys) == 1:
            return [made]
        return [self._builder.emit(relax.TupleGetItem(made, i)) for i in range(len(tys))]

    def _given(self, name: str, spec: Any, inputs: Sequence[Any], ty: Any) -> Any:
        self._specs.append(GivenSpec(name, spec))
        variables = [self._builder.emit(value) for value in inputs]
        return relax.call_dps_packed(f"{PREFIX}{len(self._specs) - 1}", variables, ty)

    def quantized(self, real: Any, output: Tensor | None = None) -> Any:
        """A float result as the output holds it.

        Args:
            real: float32.
            output: The only one, when there is just one.
        """
        output = output or self.output
        known = output.quantization
        if known is None or output.dtype == "float32":
            return real
        if output.dtype not in LIMITS:
            raise self.refusal(
                f"its output {output.name!r} is quantized to {output.dtype}",
                "quantize to int8, uint8 or int16",
            )
        scale, zero_point = _parameters(known.scales, known.zero_points)
        axis = known.axis if known.scales.size > 1 else 0
        return relax.op.quantize(real, scale, zero_point, axis=axis, out_dtype=output.dtype)

    def activation(self) -> str:
        """The fused activation, by its name in the schema."""
        return enumeration("ActivationFunctionType")[self.options["FusedActivationFunction"]]

    def finished(self, real: Any, activation: str = "NONE") -> Any:
        """A float result with its activation, as the output holds it."""
        known = self.output.quantization
        if known is None or self.output.dtype not in LIMITS:
            return self.activated(real, activation)
        if activation in _BOUNDS:
            return self.bounded(self.quantized(real), activation)
        return self.quantized(self.activated(real, activation))

    def bounded(self, values: Any, activation: str) -> Any:
        """Quantized values under an activation; its bounds are rounded in float32, as TFLite's."""
        low, high = self.bounds(activation)
        if (low, high) == LIMITS[self.output.dtype]:
            return values
        return relax.op.clip(values, float(low), float(high))

    def bounds(self, activation: str) -> tuple[int, int]:
        """Least and greatest value that an activation leaves to a quantized output."""
        low, high = LIMITS[self.output.dtype]
        known = self.output.quantization
        if activation == "NONE" or known is None:
            return low, high
        if activation not in _BOUNDS:
            raise self.refusal(f"the activation {activation} of integers is not supported")

        def steps(bound: float) -> int:
            return int(round_away(np.asarray(np.float32(bound) / known.scale))) + known.zero_point

        least, greatest = _BOUNDS[activation]
        low = max(low, steps(least))
        return low, high if greatest is None else min(high, steps(greatest))

    def activated(self, real: Any, activation: str) -> Any:
        """A result that is not quantized, under an activation."""
        if activation == "NONE":
            return real
        if activation == "RELU":
            return relax.op.nn.relu(real)
        if activation in _BOUNDS:
            low, high = _BOUNDS[activation]
            return relax.op.clip(real, low, high)
        if activation == "TANH":
            return relax.op.tanh(real)
        if activation == "SIGN_BIT":
            return relax.op.astype(relax.op.less(real, relax.const(0.0)), "float32")
        raise self.refusal(f"the fused activation {activation} is not supported")

    def same_quantization(self, *operands: Operand) -> bool:
        """Whether equal values of operands and outputs stand for equal numbers."""
        if not operands:
            operands = tuple(self.operands)
        known = [operand.quantization for operand in operands if operand.is_quantized]
        for output in self.outputs:
            if output.quantization is not None and output.dtype != "float32":
                known.append(output.quantization)
        return all(first is not None and first.is_same(known[0]) for first in known)

    def require_same_quantization(self, *operands: Operand) -> None:
        """Refuse to move values from one quantization to another, as TFLite's format forbids it."""
        if not self.same_quantization(*operands):
            raise self.refusal(
                "it moves values from one quantization to another",
                "export the model again: TFLite wants one scale and zero point for all of them",
            )


Convert = Callable[[Call], Any]
