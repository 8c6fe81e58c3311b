"""Runs an ONNX model by onnxruntime; in the process of `interpreter_child`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
About = dict[str, Any]


def run_onnx(
    model: Path, steps: Sequence[Sequence[Array]], layers: bool
) -> tuple[About, dict[str, Array]]:
    """Run an ONNX model by onnxruntime, each operator as it is.

    Arguments and results are as of `run_litert.run_litert`; such a model keeps no state, so that
    there is one step.
    """
    import onnx
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    proto = onnx.load(str(model))  # with the weights that are in a file beside it
    names = [value.name for value in proto.graph.output]
    nodes = [node for node in proto.graph.node if any(node.output)]
    if layers:
        known = {*names}
        for node in nodes:
            extra = [name for name in node.output if name and name not in known]
            proto.graph.output.extend(onnx.ValueInfoProto(name=name) for name in extra)
            known.update(extra)
    session = onnxruntime.InferenceSession(
        proto.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    [inputs] = steps
    feeds = {
        # What is compiled takes and gives float32 where the file has float16.
        value.name: array.astype(np.float16) if value.type == "tensor(float16)" else array
        for value, array in zip(session.get_inputs(), inputs, strict=True)
    }
    wanted = [value.name for value in proto.graph.output]
    found = {
        name: _widened(np.asarray(array))
        for name, array in zip(wanted, session.run(wanted, feeds), strict=True)
    }
    arrays = {f"output_{i}": found[name][None] for i, name in enumerate(names)}
    producers = {name: i for i, node in enumerate(nodes) for name in node.output if name}
    about: About = {
        "title": f"onnxruntime {onnxruntime.__version__}",
        "is_optimized": any("Linear" in node.op_type for node in nodes),
        "steps": [_onnx_step(nodes, producers.get(name), proto) for name in names],
        "hybrid": [],
        "is_half": _has_halves(proto),
        "layers": [],
    }
    if layers:
        for position, node in enumerate(nodes):
            for i, name in enumerate(filter(None, node.output)):
                arrays[f"layer_{position}_{i}"] = found[name][None]
        about["layers"] = [
            {
                "kind": node.op_type,
                "name": node.name or node.output[0],
                "inputs": [producers[name] for name in node.input if name in producers],
            }
            for node in nodes
        ]
    return about, arrays


def _has_halves(message: Any) -> bool:
    """Whether a message of a model has tensors of 16-bit floats, or makes some, wherever in it."""
    import onnx

    halves = (onnx.TensorProto.FLOAT16, onnx.TensorProto.BFLOAT16)
    if isinstance(message, onnx.TensorProto):
        return message.data_type in halves
    if isinstance(message, onnx.TypeProto.Tensor):
        return message.elem_type in halves
    if isinstance(message, onnx.AttributeProto) and message.name in ("to", "dtype"):
        return message.i in halves
    return any(
        _has_halves(part)
        for field, value in message.ListFields()
        if field.type == field.TYPE_MESSAGE
        for part in ([value] if hasattr(value, "ListFields") else value)
    )


def _widened(array: Array) -> Array:
    return array.astype(np.float32) if array.dtype == np.float16 else array


def _onnx_step(nodes: Sequence[Any], position: int | None, proto: Any) -> float:
    from onnx import numpy_helper

    if position is None or nodes[position].op_type != "DequantizeLinear":
        return 0.0
    scale = nodes[position].input[1]
    for tensor in proto.graph.initializer:
        if tensor.name == scale:
            return float(np.max(numpy_helper.to_array(tensor)))
    return 0.0
