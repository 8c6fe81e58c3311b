"""Reads and checks a TFLite file before TVM's importer sees it.

The `tflite` package reads flatbuffers without checking a single offset, and TVM's importer takes
stored shapes at their word. What can be said early and in plain words is said here.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from functools import cache
from typing import Any

from pytest_microtvm.compiler.importing import TensorName
from pytest_microtvm.errors import ModelError

_IDENTIFIER = b"TFL3"
_DAMAGED_CURE = "export the model again, or copy the whole file"

_ELEMENT_BYTES = {
    "BOOL": 1,
    "FLOAT16": 2,
    "FLOAT32": 4,
    "FLOAT64": 8,
    "INT8": 1,
    "INT16": 2,
    "INT32": 4,
    "INT64": 8,
    "UINT8": 1,
    "UINT16": 2,
    "UINT32": 4,
    "UINT64": 8,
}
_READING_ERRORS = (AttributeError, IndexError, OverflowError, TypeError, ValueError, struct.error)
"""What the flatbuffers package raises when offsets lead astray."""

_PORT_TYPES = frozenset(_ELEMENT_BYTES) - {"FLOAT16"}


@dataclass(frozen=True)
class TfliteFile:
    """A TFLite model whose structure holds together.

    Args:
        flatbuffer: The `tflite.Model`.
        inputs: Names of the inputs of the first subgraph, in order.
        outputs: Names of its outputs, in order.
        operators: Names of the operators it uses, sorted.
    """

    flatbuffer: Any
    inputs: list[TensorName]
    outputs: list[TensorName]
    operators: list[str]


def read_tflite(data: bytes) -> TfliteFile:
    """Read a TFLite model.

    Raises:
        ModelError: The data is no TFLite model, is damaged, or has dynamic shapes or element types
            that cannot be compiled.
    """
    if len(data) < 8 or data[4:8] != _IDENTIFIER:
        raise ModelError("the file is not a TFLite model", cure="give a file that TFLite exported")
    import tflite

    try:
        model = tflite.Model.GetRootAsModel(data, 0)
        return _read(model, len(data))
    except _READING_ERRORS as error:
        raise ModelError("the file is truncated or damaged", cure=_DAMAGED_CURE) from error


def _read(model: Any, file_bytes: int) -> TfliteFile:
    # Every entry of a table takes at least the 4 bytes of its offset.
    if model.SubgraphsLength() < 1 or model.SubgraphsLength() > file_bytes // 4:
        raise ValueError("subgraph count")
    graph = model.Subgraphs(0)
    if max(graph.TensorsLength(), graph.OperatorsLength(), model.BuffersLength()) > file_bytes // 4:
        raise ValueError("table size")
    tensors = [graph.Tensors(i) for i in range(graph.TensorsLength())]
    for tensor in tensors:
        _check_constant(model, tensor)
    inputs = [_tensor(tensors, i) for i in _indices(graph.InputsAsNumpy())]
    outputs = [_tensor(tensors, i) for i in _indices(graph.OutputsAsNumpy())]
    for tensor in (*inputs, *outputs):
        _check_type(tensor)
    for tensor in inputs:
        _check_shape(tensor)
    signature = _signature_names(model)
    input_names = _indices(graph.InputsAsNumpy())
    output_names = _indices(graph.OutputsAsNumpy())
    return TfliteFile(
        model,
        [TensorName(_name(tensors[i]), signature[0].get(i)) for i in input_names],
        [TensorName(_name(tensors[i]), signature[1].get(i)) for i in output_names],
        _operator_names(model, graph),
    )


def _indices(array: Any) -> list[int]:
    """A vector of tensor indices; flatbuffers give 0 for one that is absent."""
    return [] if isinstance(array, int) else [int(index) for index in array]


def _tensor(tensors: list[Any], index: int) -> Any:
    if not 0 <= index < len(tensors):
        raise IndexError(index)
    return tensors[index]


def _name(tensor: Any) -> str:
    name = tensor.Name()
    return "" if name is None else str(name.decode("utf-8", errors="replace"))


@cache
def _enumeration(name: str) -> dict[int, str]:
    """Names of the values of an enumeration of the `tflite` package."""
    import tflite

    members = vars(getattr(tflite, name))
    return {value: key for key, value in members.items() if isinstance(value, int)}


def _type_name(tensor: Any) -> str:
    code = tensor.Type()
    return _enumeration("TensorType").get(code, f"number {code}")


def _check_type(tensor: Any) -> None:
    if _type_name(tensor) not in _PORT_TYPES:
        raise ModelError(
            f"the tensor {_name(tensor)!r} has the element type {_type_name(tensor)}, "
            "which is not supported",
            cure="export the model with numeric inputs and outputs",
        )


def _check_shape(tensor: Any) -> None:
    """A -1 stands for a dimension known at run time; a leading one stored as 1 is a batch of 1."""
    shape = _indices(tensor.ShapeAsNumpy())
    signature = _indices(tensor.ShapeSignatureAsNumpy()) or shape
    dynamic = [axis for axis, extent in enumerate(signature) if extent < 0]
    if dynamic == [0] and shape[0] == 1:
        dynamic = []
    if dynamic or any(extent < 0 for extent in shape):
        raise ModelError(
            f"the input {_name(tensor)!r} has a dynamic shape {tuple(signature)}",
            cure="export the model with fixed shapes for all inputs",
        )


def _check_constant(model: Any, tensor: Any) -> None:
    """The buffer of a tensor exists, lies inside of the file and has the size of the tensor."""
    if tensor.Buffer() >= model.BuffersLength():
        raise IndexError(tensor.Buffer())
    stored_bytes = model.Buffers(tensor.Buffer()).DataLength()
    if stored_bytes == 0:
        return
    if len(model.Buffers(tensor.Buffer()).DataAsNumpy()) != stored_bytes:
        raise ValueError("buffer size")
    element_bytes = _ELEMENT_BYTES.get(_type_name(tensor))
    if element_bytes is None or tensor.Sparsity() is not None:
        return
    if math.prod(_indices(tensor.ShapeAsNumpy())) * element_bytes != stored_bytes:
        raise ValueError("tensor size")


def _signature_names(model: Any) -> tuple[dict[int, str], dict[int, str]]:
    """Names of inputs and of outputs by tensor index, when the model has just one signature."""
    if model.SignatureDefsLength() != 1:
        return {}, {}
    signature = model.SignatureDefs(0)
    if signature.SubgraphIndex() != 0:
        return {}, {}

    def names(entries: list[Any]) -> dict[int, str]:
        return {int(e.TensorIndex()): e.Name().decode("utf-8", errors="replace") for e in entries}

    return (
        names([signature.Inputs(i) for i in range(signature.InputsLength())]),
        names([signature.Outputs(i) for i in range(signature.OutputsLength())]),
    )


def _operator_names(model: Any, graph: Any) -> list[str]:
    names = set()
    for i in range(graph.OperatorsLength()):
        code = model.OperatorCodes(graph.Operators(i).OpcodeIndex())
        number = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
        names.add(_enumeration("BuiltinOperator").get(number, f"number {number}"))
    return sorted(names)
