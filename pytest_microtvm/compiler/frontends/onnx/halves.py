"""Floats of 16 bits are computed in 32: C has no type for them."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper

from pytest_microtvm.compiler.frontends.onnx.graph import Graph, subgraphs

_HALVES = (TensorProto.FLOAT16, TensorProto.BFLOAT16)
_TYPE_ATTRIBUTES = ("to", "dtype", "output_dtype", "stash_type", "precision", "softmax_precision")
"""Attributes that name an element type."""


def widen_halves(graph: Graph) -> None:
    """Let float32 take the place of float16 and bfloat16, inputs and outputs included."""
    for name, array in graph.constants.items():
        if str(array.dtype) in ("float16", "bfloat16"):
            graph.constants[name] = array.astype(np.float32)
    for value in (*graph.inputs, *graph.outputs):
        _widen_value(value)
    for node in graph.nodes:
        _widen_node(node)


def _widen_value(value: Any) -> None:
    tensor = value.type.tensor_type
    if tensor.elem_type in _HALVES:
        tensor.elem_type = TensorProto.FLOAT


def _widen_tensor(tensor: Any) -> None:
    if tensor.data_type in _HALVES:
        array = numpy_helper.to_array(tensor).astype(np.float32)
        tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))


def _widen_node(node: Any) -> None:
    for entry in node.attribute:
        if entry.type == onnx.AttributeProto.TENSOR:
            _widen_tensor(entry.t)
        elif entry.name in _TYPE_ATTRIBUTES and entry.i in _HALVES:
            entry.i = TensorProto.FLOAT
    for body in subgraphs(node):
        for tensor in body.initializer:
            _widen_tensor(tensor)
        for value in (*body.input, *body.output, *body.value_info):
            _widen_value(value)
        for inner in body.node:
            _widen_node(inner)
