"""Reads and checks a TFLite file before it is imported.

The `tflite` package reads flatbuffers without checking a single offset, and what
it finds is taken at its word later. What can be said early and in plain words is said here.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from typing import Any

import tflite

from pytest_microtvm.compiler.frontends.imported import TensorName
from pytest_microtvm.compiler.frontends.tflite_checks import (
    ELEMENT_BYTES,
    builtin_number,
    check_model,
    indices,
    tensor_name,
    type_name,
)
from pytest_microtvm.errors import ModelError

_IDENTIFIER = b"TFL3"
_DAMAGED_CURE = "export the model again, or copy the whole file"

READING_ERRORS = (AttributeError, IndexError, OverflowError, TypeError, ValueError, struct.error)
"""What the flatbuffers package raises when offsets lead astray."""

_PORT_TYPES = frozenset(ELEMENT_BYTES) - {"FLOAT16"}


@dataclass(frozen=True)
class TfliteFile:
    """A TFLite model whose structure holds together.

    Args:
        flatbuffer: The `tflite.Model`.
        subgraph: The number of the subgraph that is run.
        inputs: Names of its inputs, in order.
        outputs: Names of its outputs, in order.
    """

    flatbuffer: Any
    subgraph: int
    inputs: list[TensorName]
    outputs: list[TensorName]


def read_tflite(data: bytes, signature: str | None = None) -> TfliteFile:
    """Read a TFLite model.

    Args:
        data: The file's content.
        signature: The name of the signature that is run; None for the first subgraph.

    Raises:
        ModelError: The data is no TFLite model, is damaged, has element types that cannot be
            compiled, or no such signature.
    """
    if len(data) < 8 or data[4:8] != _IDENTIFIER:
        raise ModelError("the file is not a TFLite model", cure="give a file that TFLite exported")
    try:
        model = tflite.Model()
        model.Init(data, struct.unpack_from("<I", data)[0])
        return _read(model, len(data), signature)
    except READING_ERRORS as error:
        raise ModelError("the file is truncated or damaged", cure=_DAMAGED_CURE) from error


def _read(model: Any, file_bytes: int, wanted: str | None) -> TfliteFile:
    # Every entry of a table takes at least the 4 bytes of its offset.
    if not 1 <= model.SubgraphsLength() <= file_bytes // 4:
        raise ValueError("subgraph count")
    for i in range(model.SubgraphsLength()):
        _check_graph(model, model.Subgraphs(i), file_bytes)
    signature = _signature(model, wanted)
    subgraph = 0 if signature is None else int(signature.SubgraphIndex())
    graph = model.Subgraphs(subgraph)
    tensors = [graph.Tensors(i) for i in range(graph.TensorsLength())]
    inputs = indices(graph.InputsAsNumpy())
    outputs = indices(graph.OutputsAsNumpy())
    for index in (*inputs, *outputs):
        _check_type(tensors[index])
    check_model(model)
    input_aliases, output_aliases = _signature_names(signature)
    return TfliteFile(
        model,
        subgraph,
        [TensorName(tensor_name(tensors[index]), input_aliases.get(index)) for index in inputs],
        [TensorName(tensor_name(tensors[index]), output_aliases.get(index)) for index in outputs],
    )


def _check_graph(model: Any, graph: Any, file_bytes: int) -> None:
    """What a subgraph refers to is there, and its constants lie inside of the file."""
    if max(graph.TensorsLength(), graph.OperatorsLength(), model.BuffersLength()) > file_bytes // 4:
        raise ValueError("table size")
    tensor_count = graph.TensorsLength()
    for i in range(tensor_count):
        _check_constant(model, graph.Tensors(i))
    for i in range(graph.OperatorsLength()):
        _check_operator(model, graph.Operators(i), tensor_count)
    ports = indices(graph.InputsAsNumpy()) + indices(graph.OutputsAsNumpy())
    if not all(0 <= index < tensor_count for index in ports):
        raise IndexError("input or output")


def _check_type(tensor: Any) -> None:
    if type_name(tensor) not in _PORT_TYPES:
        raise ModelError(
            f"the tensor {tensor_name(tensor)!r} has the element type {type_name(tensor)}, "
            "which is not supported",
            cure="export the model with inputs and outputs of float32, integers or booleans",
        )


def _check_operator(model: Any, operator: Any, tensor_count: int) -> None:
    """An operator has a code and takes and makes tensors that exist; -1 stands for none."""
    if operator.OpcodeIndex() >= model.OperatorCodesLength():
        raise IndexError("operator code")
    builtin_number(model.OperatorCodes(operator.OpcodeIndex()))
    tensors = indices(operator.InputsAsNumpy()) + indices(operator.OutputsAsNumpy())
    if not all(0 <= index < tensor_count for index in indices(operator.IntermediatesAsNumpy())):
        raise IndexError("intermediate tensor of an operator")
    if not all(-1 <= index < tensor_count for index in tensors):
        raise IndexError("tensor of an operator")


def _check_constant(model: Any, tensor: Any) -> None:
    """The buffer of a tensor exists, lies inside of the file and has the size of the tensor."""
    if tensor.Buffer() >= model.BuffersLength():
        raise IndexError(tensor.Buffer())
    stored_bytes = model.Buffers(tensor.Buffer()).DataLength()
    if stored_bytes == 0:
        return
    if len(model.Buffers(tensor.Buffer()).DataAsNumpy()) != stored_bytes:
        raise ValueError("buffer size")
    element_bytes = ELEMENT_BYTES.get(type_name(tensor))
    if element_bytes is None or tensor.Sparsity() is not None:
        return
    if math.prod(indices(tensor.ShapeAsNumpy())) * element_bytes != stored_bytes:
        raise ValueError("tensor size")


def _signature(model: Any, wanted: str | None) -> Any:
    """The signature of a name; without one, the only one of the first subgraph, or None.

    Raises:
        ModelError: There is no signature of this name.
    """
    found = [model.SignatureDefs(i) for i in range(model.SignatureDefsLength())]
    if not all(0 <= each.SubgraphIndex() < model.SubgraphsLength() for each in found):
        raise IndexError("subgraph of a signature")
    if wanted is None:
        of_first = [each for each in found if each.SubgraphIndex() == 0]
        return of_first[0] if len(of_first) == 1 else None
    names = [(each.SignatureKey() or b"").decode("utf-8", errors="replace") for each in found]
    if wanted not in names:
        told = ", ".join(map(repr, names))
        raise ModelError(
            f"the model has no signature {wanted!r}",
            cure=f"name one of {told}" if names else "leave out the signature: it has none",
        )
    return found[names.index(wanted)]


def _signature_names(signature: Any) -> tuple[dict[int, str], dict[int, str]]:
    """Names of inputs and of outputs by tensor index."""
    if signature is None:
        return {}, {}

    def names(entries: list[Any]) -> dict[int, str]:
        return {int(e.TensorIndex()): e.Name().decode("utf-8", errors="replace") for e in entries}

    return (
        names([signature.Inputs(i) for i in range(signature.InputsLength())]),
        names([signature.Outputs(i) for i in range(signature.OutputsLength())]),
    )
