"""Fixes the shapes of inputs, and infers types and shapes of all that follows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import onnx

from pytest_microtvm.compiler.failures import out_of_memory, summary
from pytest_microtvm.compiler.frontends.onnx.graph import Graph, ValueType
from pytest_microtvm.errors import ModelError


def fix_input_shapes(graph: Graph, shapes: Mapping[str, tuple[int, ...]]) -> None:
    """Give every input a shape of fixed extents.

    An extent that the model leaves open is 1, or what `shapes` says. A name that stands for an
    extent stands for the same one everywhere.

    Args:
        graph: It is changed.
        shapes: By the name of an input.

    Raises:
        ModelError: A shape does not fit the model, or an input has no shape at all.
    """
    known = {value.name for value in graph.inputs}
    for name in shapes:
        if name not in known:
            raise ModelError(
                f"the model has no input {name!r} to give a shape to",
                cure=f"name one of {', '.join(sorted(known))}",
            )
    symbols: dict[str, tuple[int, str]] = {}
    for value in graph.inputs:
        given = shapes.get(value.name)
        if given is not None:
            _set_shape(value, given, symbols)
    for value in graph.inputs:
        tensor = value.type.tensor_type
        if not tensor.HasField("shape"):
            raise ModelError(
                f"the input {value.name!r} has no shape",
                cure=f"say it, as in --input-shapes '{value.name}:[1,16]'",
            )
        for dim in tensor.shape.dim:
            if dim.dim_value < -1:
                raise ModelError(
                    f"the input {value.name!r} has the extent {dim.dim_value}",
                    cure="export the model again, with extents of 1 or more",
                )
            if dim.dim_value <= 0:
                extent, _ = symbols.get(dim.dim_param, (1, ""))
                dim.dim_value = extent


def _set_shape(value: Any, shape: tuple[int, ...], symbols: dict[str, tuple[int, str]]) -> None:
    tensor = value.type.tensor_type
    if not tensor.HasField("shape"):
        tensor.shape.CopyFrom(onnx.TensorShapeProto())
        for _ in shape:
            tensor.shape.dim.add()
    dims = tensor.shape.dim
    stated = "[" + ", ".join(dim.dim_param or str(dim.dim_value or "?") for dim in dims) + "]"
    fits = len(dims) == len(shape) and all(extent > 0 for extent in shape)
    if fits:
        fits = all(
            dim.dim_value in (0, -1, extent) for dim, extent in zip(dims, shape, strict=True)
        )
    if not fits:
        raise ModelError(
            f"the input {value.name!r} has the shape {stated}, which {list(shape)} does not fit",
            cure="give a positive extent for each dimension, and keep those that are fixed",
        )
    for dim, extent in zip(dims, shape, strict=True):
        name = dim.dim_param
        if name:
            before, where = symbols.setdefault(name, (extent, value.name))
            if before != extent:
                raise ModelError(
                    f"the dimension {name!r} is {before} in the input {where!r}, and {extent} in "
                    f"{value.name!r}",
                    cure="give both inputs the same extent there",
                )
        dim.dim_value = extent


def infer_types(graph: Graph) -> None:
    """Find the types of all values anew, from the inputs on."""
    proto = graph.proto()
    # What the file says of results may be out of date, or hold names of open extents.
    for value in proto.graph.output:
        value.type.tensor_type.ClearField("shape")
    try:
        inferred = onnx.shape_inference.infer_shapes(proto, strict_mode=False, data_prop=True)
    except Exception as error:
        # Lists of extents are followed element by element, as long as these may be.
        raise out_of_memory("infer the shapes of", error) or ModelError(
            f"the model's shapes cannot be inferred: {summary(error)}",
            cure="check the model with onnx.checker.check_model(..., full_check=True)",
        ) from error
    graph.types = {
        value.name: value_type(value)
        for value in (
            *inferred.graph.input,
            *inferred.graph.value_info,
            *inferred.graph.output,
        )
        if value.type.HasField("tensor_type")
    }


def value_type(value: Any) -> ValueType:
    """What a `ValueInfoProto` says."""
    tensor = value.type.tensor_type
    if not tensor.HasField("shape"):
        return ValueType(tensor.elem_type, None)
    shape = tuple(
        int(dim.dim_value) if dim.HasField("dim_value") else None for dim in tensor.shape.dim
    )
    return ValueType(tensor.elem_type, shape)
