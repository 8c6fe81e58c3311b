"""A TFLite model as plain data: the form between the flatbuffer and the converter."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pytest_microtvm.compiler.frontends.tflite.sparse import densified
from pytest_microtvm.compiler.frontends.tflite_checks import (
    enumeration,
    indices,
    is_quantizable,
    operator_name,
    tensor_name,
    type_name,
)
from pytest_microtvm.compiler.frontends.tflite_file import READING_ERRORS
from pytest_microtvm.errors import ModelError

Array = npt.NDArray[Any]

_NUMPY_TYPES = {
    "BOOL": "bool",
    "FLOAT16": "float16",
    "FLOAT32": "float32",
    "FLOAT64": "float64",
    "INT2": "int8",
    "INT4": "int8",
    "INT8": "int8",
    "INT16": "int16",
    "INT32": "int32",
    "INT64": "int64",
    "UINT4": "uint8",
    "UINT8": "uint8",
    "UINT16": "uint16",
    "UINT32": "uint32",
    "UINT64": "uint64",
}
"""How tensors are held; those of less than 8 bits have a byte for each element."""

_DTYPES = frozenset(_NUMPY_TYPES.values())
"""What `Tensor.dtype` may be for NumPy to have it."""

_PARTS_OF_BYTES = {"INT2": 2, "INT4": 4, "UINT4": 4}
"""How many bits the elements of such types have."""


_LEAST_SCALE = 1e-30
"""Stands for a scale of 0, which converters give to zeros: what is multiplied by it rounds to 0."""


@dataclass(frozen=True)
class Quantization:
    """Real numbers are `scales * (values - zero_points)`.

    Args:
        scales: float32, one for all or one for each index of `axis`.
        zero_points: int64, as many as there are scales.
        axis: Without meaning where there is one scale.
    """

    scales: npt.NDArray[np.float32]
    zero_points: npt.NDArray[np.int64]
    axis: int

    def is_same(self, other: Quantization | None) -> bool:
        """Whether equal values stand for equal numbers."""
        return (
            other is not None
            and np.array_equal(self.scales, other.scales)
            and np.array_equal(self.zero_points, other.zero_points)
            and (self.scales.size == 1 or self.axis == other.axis)
        )

    @property
    def scale(self) -> np.float32:
        """The scale of a tensor that has one for all."""
        scale: np.float32 = self.scales[0]
        return scale

    @property
    def zero_point(self) -> int:
        """The zero point of a tensor that has one for all."""
        return int(self.zero_points[0])


@dataclass(frozen=True)
class Tensor:
    """A tensor of the model.

    Args:
        index: In its subgraph.
        name: Possibly empty, possibly that of other tensors, too.
        dtype: NumPy's name of the element type; that of the file in lower case where NumPy has
            none.
        shape: As stored; an extent that is known at run time only is stored as 1, mostly.
        signature: The same, with -1 for extents that are known at run time only.
        is_ranked: Whether an empty shape means a scalar.
        data: The values of a constant.
        quantization: None when the values are the numbers.
        is_variable: Whether operators keep a state in it from run to run.
    """

    index: int
    name: str
    dtype: str
    shape: tuple[int, ...]
    signature: tuple[int, ...]
    is_ranked: bool
    data: Array | None
    quantization: Quantization | None
    is_variable: bool = False

    @property
    def is_empty(self) -> bool:
        """Whether it has no elements, and so no data in the file, even as a constant."""
        return 0 in self.shape and -1 not in self.signature and self.dtype in _DTYPES

    def allows(self, shape: tuple[int, ...]) -> bool:
        """Whether the file says nothing against a shape."""
        if not self.signature and not self.is_ranked:
            return True
        if shape == self.shape:  # which tools that edit models may have changed alone
            return True
        return len(shape) == len(self.signature) and all(
            stored in (-1, extent) for stored, extent in zip(self.signature, shape, strict=True)
        )


@dataclass(frozen=True)
class Operator:
    """An operator of the model.

    Args:
        position: In its subgraph.
        name: Of the builtin operator; "CUSTOM name" for custom ones.
        version: Of the operator.
        inputs: Indices of tensors; -1 stands for one that is left out.
        outputs: Indices of tensors.
        options_name: The table of its options in the schema; empty when there is none.
        options: The flatbuffers table of its options.
        intermediates: Indices of tensors whose quantization is that of numbers inside of it.
        custom_options: Options of a custom operator.
    """

    position: int
    name: str
    version: int
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    options_name: str
    options: Any
    intermediates: tuple[int, ...] = ()
    custom_options: bytes = b""


@dataclass(frozen=True)
class Graph:
    """A subgraph of the model."""

    tensors: tuple[Tensor, ...]
    operators: tuple[Operator, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


def read_graphs(model: Any) -> tuple[Graph, ...]:
    """The subgraphs of a `tflite.Model` whose structure was checked before; the first is run.

    Raises:
        ModelError: They are damaged all the same.
    """
    return tuple(_read_graph(model, index) for index in range(model.SubgraphsLength()))


def _read_graph(model: Any, index: int) -> Graph:
    """A subgraph of a `tflite.Model` whose structure was checked before.

    Raises:
        ModelError: It is damaged all the same.
    """
    try:
        graph = model.Subgraphs(index)
        tensors = [_tensor(model, graph.Tensors(i), i) for i in range(graph.TensorsLength())]
        operators = [
            _operator(model, graph.Operators(i), i) for i in range(graph.OperatorsLength())
        ]
        inputs, outputs = _integers(graph.InputsAsNumpy()), _integers(graph.OutputsAsNumpy())
    except READING_ERRORS as error:
        raise ModelError(
            "the file is truncated or damaged",
            cure="export the model again, or copy the whole file",
        ) from error
    return Graph(tuple(tensors), tuple(operators), inputs, outputs)


def _integers(vector: Any) -> tuple[int, ...]:
    """A vector of integers."""
    return tuple(indices(vector))


def _tensor(model: Any, tensor: Any, index: int) -> Tensor:
    stored = type_name(tensor)
    shape = _integers(tensor.ShapeAsNumpy())
    return Tensor(
        index,
        tensor_name(tensor),
        _NUMPY_TYPES.get(stored, stored.lower()),
        shape,
        _integers(tensor.ShapeSignatureAsNumpy()) or shape,
        bool(tensor.HasRank()),
        _data(model.Buffers(tensor.Buffer()), tensor, stored, shape),
        _quantization(tensor.Quantization()) if is_quantizable(tensor) else None,
        bool(tensor.IsVariable()),
    )


def _data(buffer: Any, tensor: Any, stored: str, shape: tuple[int, ...]) -> Array | None:
    if stored not in _NUMPY_TYPES or buffer.DataLength() == 0:
        return None
    content = buffer.DataAsNumpy()
    bits = _PARTS_OF_BYTES.get(stored)
    if bits is not None:
        count = math.prod(shape) if tensor.Sparsity() is None else 8 // bits * content.size
        values = _unpacked(content, bits, _NUMPY_TYPES[stored])[:count]
    else:
        values = np.frombuffer(content.tobytes(), _NUMPY_TYPES[stored])
    if tensor.Sparsity() is not None:
        return densified(values, tensor.Sparsity(), shape)
    return values.reshape(shape)


def _unpacked(content: npt.NDArray[np.uint8], bits: int, dtype: str) -> Array:
    """Numbers of some bits each, the lowest bits of each byte first."""
    lifted = [content << (8 - bits - at) for at in range(0, 8, bits)]
    return np.stack(lifted, axis=1).reshape(-1).view(dtype) >> (8 - bits)


def _quantization(parameters: Any) -> Quantization | None:
    if parameters is None or parameters.ScaleLength() == 0:
        return None
    scales = np.array(parameters.ScaleAsNumpy(), np.float32)
    scales[scales == 0] = _LEAST_SCALE
    zero_points = np.zeros(scales.size, np.int64)
    if parameters.ZeroPointLength():
        zero_points = np.array(parameters.ZeroPointAsNumpy(), np.int64)
    if zero_points.size != scales.size:
        zero_points = np.broadcast_to(zero_points, scales.shape).copy()
    return Quantization(scales, zero_points, int(parameters.QuantizedDimension()))


def _operator(model: Any, operator: Any, position: int) -> Operator:
    code = model.OperatorCodes(operator.OpcodeIndex())
    name = operator_name(model, operator)
    if name == "CUSTOM":
        name = f"CUSTOM {(code.CustomCode() or b'').decode('utf-8', errors='replace')}"
    options_name, options = "", None
    if operator.BuiltinOptionsType():
        kind = operator.BuiltinOptionsType()
        options_name = enumeration("BuiltinOptions").get(kind, f"options {kind}")
        options = operator.BuiltinOptions()
    elif operator.BuiltinOptions2Type():
        kind = operator.BuiltinOptions2Type()
        options_name = enumeration("BuiltinOptions2").get(kind, f"options {kind}")
        options = operator.BuiltinOptions2()
    return Operator(
        position,
        name,
        int(code.Version()),
        _integers(operator.InputsAsNumpy()),
        _integers(operator.OutputsAsNumpy()),
        options_name,
        options,
        _integers(operator.IntermediatesAsNumpy()),
        operator.CustomOptionsAsNumpy().tobytes() if operator.CustomOptionsLength() else b"",
    )
