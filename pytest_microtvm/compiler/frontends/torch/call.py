"""An operator while it is converted: what it is to make, and how that is written."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from tvm import relax

from pytest_microtvm.compiler.quantized.given import PREFIX, GivenSpec

Array = npt.NDArray[Any]
Type = tuple[tuple[int, ...], str]
"""Shape and dtype."""

_WIDENED = {"float16": "float32", "bfloat16": "float32"}
"""C has no types for them."""


class Refusal(Exception):
    """An operator that cannot be converted.

    Args:
        why: A clause that begins with what is wrong.
        cure: What to do about it.
    """

    def __init__(self, why: str, cure: str | None = None) -> None:
        super().__init__(why)
        self.why = why
        self.cure = cure or "replace the operator in the model by supported ones, or export to ONNX"


def dtype_name(dtype: torch.dtype) -> str:
    """NumPy's name of an element type; floats of 16 bits are held as float32."""
    name = str(dtype).removeprefix("torch.")
    return _WIDENED.get(name, name)


def type_of(value: torch.Tensor) -> Type:
    """The shape and dtype of a tensor, as they are held."""
    return tuple(int(extent) for extent in value.shape), dtype_name(value.dtype)


def array_of(tensor: torch.Tensor) -> Array:
    """The values of a tensor."""
    dense = tensor.detach().cpu()
    dense = dense.to_dense() if dense.layout != torch.strided else dense
    wanted = getattr(torch, dtype_name(dense.dtype))
    found: Array = dense.to(wanted).contiguous().numpy()
    return found


def constant(values: Any, dtype: str | None = None) -> Any:
    """Known values in Relax, in their own element type: left alone, Relax makes int64 to int32."""
    array = np.asarray(values, dtype)
    return relax.const(array, str(array.dtype))


def shape_of(expression: Any) -> tuple[int, ...]:
    """The extents of an expression whose type is known."""
    return tuple(int(extent) for extent in expression.ty.shape)


def dtype_of(expression: Any) -> str:
    """The element type of an expression whose type is known."""
    return str(getattr(expression.ty.dtype, "dtype", expression.ty.dtype))


def known(expression: Any) -> Array | None:
    """The values of a constant; None of anything else."""
    value: Any = getattr(expression, "value", None)
    return value.numpy() if hasattr(value, "numpy") else None


class Forms:
    """Which variables are other forms of others: kernels over integers are found by the plain ones.

    Attributes:
        views: By variable, the one whose elements it has in another shape.
        integers: By variable, the integers that it is the floats of: scale, zero point and axis.
    """

    def __init__(self) -> None:
        self.views: dict[Any, Any] = {}
        self.integers: dict[Any, tuple[Any, Any, Any, int]] = {}

    def rename(self, variable: Any, other: Any) -> None:
        """Take another variable for the same."""
        for table in (self.views, self.integers):
            if variable in table:
                table[other] = table[variable]


class Call:
    """An operator while it is converted.

    Args:
        name: Of the operator, with its namespace.
        outputs: The types of its results.
        arguments: Its arguments by name, as the program has them: tensors without values.
        builder: Normalizes expressions.
        specs: Kernels that are called by their numbers; `kernel` appends to them.
        forms: What variables are forms of.
    """

    def __init__(
        self,
        name: str,
        outputs: Sequence[Type],
        arguments: dict[str, Any],
        builder: Any,
        specs: list[GivenSpec],
        forms: Forms,
    ) -> None:
        self.name = name
        self.outputs = outputs
        self.builder = builder
        self._arguments = arguments
        self._specs = specs
        self.forms = forms

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of its first result."""
        return self.outputs[0][0]

    @property
    def dtype(self) -> str:
        """The dtype of its first result."""
        return self.outputs[0][1]

    def emit(self, expression: Any) -> Any:
        """A variable that is bound to an expression; its type is known."""
        return self.builder.emit(expression)

    def cast(self, value: Any, dtype: str | None = None) -> Any:
        """A tensor or number as an expression of a dtype, by default that of the result."""
        dtype = dtype or self.dtype
        if isinstance(value, (bool, int, float)):
            return constant(value, dtype)
        if dtype_of(value) == dtype:
            return value
        array = known(value)
        if array is not None:
            return constant(array.astype(dtype))
        if dtype == "bool":
            return self.emit(relax.op.not_equal(value, constant(0, dtype_of(value))))
        return self.emit(relax.op.astype(value, dtype))

    def promoted(self, *names: str) -> str:
        """The dtype in which PyTorch compares some of the arguments."""
        first, second = (self._arguments[name] for name in names)
        return dtype_name(torch.result_type(first, second))

    def reshaped(self, value: Any, shape: Sequence[int]) -> Any:
        """A tensor in another shape; integers that it is the floats of are reshaped first."""
        if shape_of(value) == tuple(shape):
            return value
        array = known(value)
        if array is not None:
            return constant(array.reshape(shape))
        found = self.forms.integers.get(value)
        if found is not None and self._stays(found, value, shape):
            integers, scale, zero_point, axis = found
            return self.dequantized(self.reshaped(integers, shape), scale, zero_point, axis)
        source = self.forms.views.get(value, value)
        if shape_of(source) == tuple(shape):
            return source
        made = self.emit(relax.op.reshape(source, list(shape)))
        self.forms.views[made] = source
        return made

    def _stays(self, found: tuple[Any, Any, Any, int], value: Any, shape: Sequence[int]) -> bool:
        """Whether the axis of the scales is the same in another shape."""
        _, scale, _, axis = found
        return not shape_of(scale) or (axis == 0 and shape_of(value)[:1] == tuple(shape[:1]))

    def dequantized(self, integers: Any, scale: Any, zero_point: Any, axis: int) -> Any:
        """The floats that integers stand for."""
        made = self.emit(relax.op.dequantize(integers, scale, zero_point, axis, "float32"))
        self.forms.integers[made] = integers, scale, zero_point, axis
        return made

    def through(self, value: Any, function: Callable[[Any], Any]) -> Any:
        """A function of each element: of a view, that of what it is a view of, seen so."""
        source = self.forms.views.get(value)
        if source is None:
            return function(value)
        return self.reshaped(self.emit(function(source)), shape_of(value))

    def spread(self, value: Any, shape: Sequence[int]) -> Any:
        """A tensor broadcast to a shape."""
        if shape_of(value) == tuple(shape):
            return value
        return self.emit(relax.op.broadcast_to(value, list(shape)))

    def permuted(self, value: Any, axes: Sequence[int]) -> Any:
        """A tensor with its axes in another order."""
        if list(axes) == list(range(len(axes))):
            return value
        return self.emit(relax.op.permute_dims(value, list(axes)))

    def part(self, value: Any, axis: int, start: int, end: int, step: int = 1) -> Any:
        """The elements from `start` to before `end` along an axis; neither counts from the end."""
        if (start, step) == (0, 1) and end >= shape_of(value)[axis]:
            return value
        return self.emit(relax.op.strided_slice(value, [axis], [start], [end], [step]))

    def kernel(self, name: str, spec: Any, inputs: Sequence[Any], types: Sequence[Type]) -> Any:
        """The results of a kernel of its own."""
        self._specs.append(GivenSpec(name, spec))
        held = [relax.TensorType(list(shape), dtype) for shape, dtype in types]
        made = self.emit(
            relax.call_dps_packed(f"{PREFIX}{len(self._specs) - 1}", list(inputs), held)
        )
        if len(held) == 1:
            return [made]
        return [self.emit(relax.TupleGetItem(made, i)) for i in range(len(held))]
