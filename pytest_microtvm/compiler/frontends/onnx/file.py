"""Reads and checks an ONNX file before TVM's importer sees it. Needs the `onnx` package."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import onnx

from pytest_microtvm.compiler.frontends.imported import TensorName
from pytest_microtvm.errors import ModelError

_INT_BITS = (8, 16, 32, 64)
_PORT_TYPES = frozenset(
    {"BFLOAT16", "BOOL", "DOUBLE", "FLOAT", "FLOAT16"}
    | {f"{sign}INT{bits}" for sign in ("", "U") for bits in _INT_BITS}
)
_POSITIVE = frozenset({"blocksize", "dilations", "group", "kernel_shape", "strides"})
"""Attributes that operators divide or step by."""


@dataclass(frozen=True)
class OnnxFile:
    """An ONNX model whose inputs are tensors of numbers.

    Args:
        proto: The `onnx.ModelProto`.
        inputs: Names of the inputs that are not initializers, in order.
        outputs: Names of the outputs, in order.
    """

    proto: Any
    inputs: list[TensorName]
    outputs: list[TensorName]


def read_onnx(data: bytes, weights: Mapping[str, bytes]) -> OnnxFile:
    """Read an ONNX model.

    Args:
        data: What the file holds.
        weights: What the files hold that tensors may be in, by their names.

    Raises:
        ModelError: The data is no ONNX model, has other inputs than tensors of numbers,
            or keeps weights in files that are not given.
    """
    try:
        model = onnx.load_model_from_string(data)
    except Exception as error:
        raise ModelError(
            "the file is not an ONNX model, or is damaged",
            cure="export the model again, or copy the whole file",
        ) from error
    graph = model.graph
    if model.ir_version == 0 or not graph.output:
        raise ModelError(
            "the file is not an ONNX model, or has no outputs",
            cure="export the model again, or copy the whole file",
        )
    _check_versions(model)
    _check_message(model, weights)
    initializers = {tensor.name for tensor in graph.initializer}
    initializers |= {tensor.values.name for tensor in graph.sparse_initializer}
    inputs = [value for value in graph.input if value.name not in initializers]
    for value in inputs:
        _check_type(value)
    return OnnxFile(
        model,
        [TensorName(value.name) for value in inputs],
        [TensorName(value.name) for value in graph.output],
    )


def _check_versions(model: Any) -> None:
    """Make sure that the operators of the standard are of a version that is known here.

    Raises:
        ModelError: They are of a later one, or of none.
    """
    latest = onnx.defs.onnx_opset_version()
    for entry in model.opset_import:
        if entry.domain in ("", "ai.onnx") and not 1 <= entry.version <= latest:
            raise ModelError(
                f"the model is written in version {entry.version} of ONNX's operators, and onnx "
                f"{onnx.__version__} knows versions 1 to {latest}",
                cure=f"export it with opset_version={latest} or less, or install a newer onnx",
            )


def _check_message(message: Any, weights: Mapping[str, bytes]) -> None:
    """Check tensors and nodes, wherever a message holds them, and take in tensors of other files.

    That is in initializers, constants, attributes, subgraphs, sparse tensors and functions.

    Raises:
        ModelError: A tensor is stored in another file that is not given, which may be any of this
            machine; or an operator is to step by nothing.
    """
    if isinstance(message, onnx.TensorProto):
        if message.data_location == onnx.TensorProto.EXTERNAL or message.external_data:
            _take_in(message, weights)
        _check_size(message)
    if isinstance(message, onnx.NodeProto) and message.domain in ("", "ai.onnx"):
        _check_steps(message)
    for field, value in message.ListFields():
        if field.type != field.TYPE_MESSAGE:
            continue
        for part in [value] if hasattr(value, "ListFields") else value:
            _check_message(part, weights)


def _take_in(tensor: Any, weights: Mapping[str, bytes]) -> None:
    """Put the bytes of a tensor into it that are in another file."""
    said = {entry.key: entry.value for entry in tensor.external_data}
    location = said.get("location", "")
    if tensor.data_location != onnx.TensorProto.EXTERNAL or location not in weights:
        raise ModelError(
            f"the tensor {tensor.name!r} is stored in another file, {location!r}; of those only "
            "MODEL.onnx.data and MODEL.onnx_data are read, where they are beside the model",
            cure="copy that file, too, or save the model with "
            "onnx.save(..., save_as_external_data=False)",
        )
    content = weights[location]
    try:
        offset = int(said.get("offset", "0"))
        size = int(said.get("length", str(len(content) - offset)))
    except ValueError:
        offset = size = -1
    if offset < 0 or size < 0 or offset + size > len(content):
        raise ModelError(
            f"the tensor {tensor.name!r} is beyond the end of {location}",
            cure="copy the whole file that belongs to the model",
        )
    tensor.raw_data = content[offset : offset + size]
    del tensor.external_data[:]
    tensor.data_location = onnx.TensorProto.DEFAULT


def _check_size(tensor: Any) -> None:
    """A tensor holds as many elements as its shape says."""
    try:
        onnx.numpy_helper.to_array(tensor)
    except Exception as error:
        raise ModelError(
            f"the tensor {tensor.name!r} does not hold the elements of its shape "
            f"{list(tensor.dims)}",
            cure="export the model again, or copy the whole file",
        ) from error


def _check_steps(node: Any) -> None:
    """Windows, steps and groups of an operator are 1 or more."""
    for attribute in node.attribute:
        if attribute.name not in _POSITIVE or attribute.ref_attr_name:
            continue
        is_list = attribute.type == onnx.AttributeProto.INTS
        values = list(attribute.ints) if is_list else [attribute.i]
        if any(value < 1 for value in values):
            raise ModelError(
                f"{node.op_type} at {', '.join(map(repr, node.output))} has the {attribute.name} "
                f"{values if is_list else values[0]}, not of 1 or more",
                cure="export the model again, with what ONNX defines",
            )


def _check_type(value: Any) -> None:
    if not value.type.HasField("tensor_type"):
        raise ModelError(
            f"the input {value.name!r} is not a tensor", cure="export the model with tensors only"
        )
    type_name = onnx.TensorProto.DataType.Name(value.type.tensor_type.elem_type)
    if type_name not in _PORT_TYPES:
        raise ModelError(
            f"the input {value.name!r} has the element type {type_name}, which is not supported",
            cure="export the model with inputs and outputs of numbers or booleans",
        )
