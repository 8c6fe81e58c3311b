"""Runs a TFLite model by LiteRT; in the process of `interpreter_child`."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
About = dict[str, Any]

_HYBRID = frozenset(
    {
        "BATCH_MATMUL",
        "BIDIRECTIONAL_SEQUENCE_LSTM",
        "CONV_2D",
        "DEPTHWISE_CONV_2D",
        "FULLY_CONNECTED",
        "LSTM",
        "RNN",
        "SVDF",
        "TRANSPOSE_CONV",
        "UNIDIRECTIONAL_SEQUENCE_LSTM",
        "UNIDIRECTIONAL_SEQUENCE_RNN",
    }
)
"""Operators whose float activations LiteRT quantizes as it runs, where weights are integers."""

WRONG_REFERENCES: dict[tuple[str, str], tuple[int, int, int]] = {
    ("SUM", "int8"): (2, 3, 0),
    ("SUM", "int16"): (2, 3, 0),
}
"""Operators and types that LiteRT's reference kernels compute wrongly, and the newest release that
does; LiteRT's other kernels compute them right."""


_BIASES = {
    "CONV_2D": (0, 2),
    "DEPTHWISE_CONV_2D": (0, 2),
    "FULLY_CONNECTED": (0, 2),
    "TRANSPOSE_CONV": (2, 3),
}
"""Where operators have what they are applied to, and their biases, among their inputs."""

_OPTIONS = {
    "CONV_2D": "Conv2DOptions",
    "FULLY_CONNECTED": "FullyConnectedOptions",
    "TRANSPOSE_CONV": "TransposeConvOptions",
}
"""The options that say of which type a bias is; of other operators LiteRT takes it for int64."""


def run_litert(
    model: Path, steps: Sequence[Sequence[Array]], layers: bool
) -> tuple[About, dict[str, Array]]:
    """Run a TFLite model by LiteRT's reference kernels, which TFLite Micro's follow.

    Args:
        model: The file.
        steps: The inputs of each run, over which the model keeps its state.
        layers: Keep what every operator gives in the last run.

    Returns:
        What `Interpreted` says of it; the outputs with the steps as first dimension, and layers.
    """
    found, title, is_optimized = _litert(model, layers)
    operators = _operators(found)
    for position, operator in enumerate(operators):
        if fault := _fault(operator) or _misread_bias(model, position, operator):
            raise ValueError(fault)
    details = found.get_input_details()
    for detail, array in zip(details, steps[0], strict=False):
        if tuple(detail["shape"]) != array.shape:  # of a dimension that the model leaves open
            found.resize_tensor_input(detail["index"], array.shape)
    found.allocate_tensors()
    outputs = [detail["index"] for detail in found.get_output_details()]
    results = []
    for inputs in steps:
        if len(details) != len(inputs):
            raise ValueError(f"the model has {len(details)} inputs, not {len(inputs)}")
        for detail, array in zip(details, inputs, strict=True):
            found.set_tensor(detail["index"], array)
        found.invoke()
        results.append([found.get_tensor(index) for index in outputs])
    tensors = {detail["index"]: detail for detail in found.get_tensor_details()}
    producers = {int(index): operator for operator in operators for index in operator["outputs"]}
    arrays = {
        f"output_{i}": np.stack([result[i] for result in results]) for i in range(len(outputs))
    }
    about: About = {
        "title": title,
        "is_optimized": is_optimized,
        "is_rough": is_optimized and any(_is_layer(operator) for operator in operators),
        "steps": [_step(producers.get(index), tensors) for index in outputs],
        "hybrid": sorted({o["op_name"] for o in operators if _is_hybrid(o)}),
        "is_half": False,
        "layers": [],
    }
    if layers:
        for position, operator in enumerate(operators):
            for i, index in enumerate(operator["outputs"]):
                arrays[f"layer_{position}_{i}"] = found.get_tensor(index)[None]
        place = {id(operator): position for position, operator in enumerate(operators)}
        about["layers"] = [
            {
                "kind": operator["op_name"],
                "name": tensors[operator["outputs"][0]]["name"] if len(operator["outputs"]) else "",
                "inputs": [place[id(producers[i])] for i in operator["inputs"] if i in producers],
            }
            for operator in operators
        ]
    return about, arrays


def run_signature(
    model: Path, steps: Sequence[Sequence[Array]], name: str, inputs: list[str], outputs: list[str]
) -> tuple[About, dict[str, Array]]:
    """Run a signature of a TFLite model, as `run_litert` runs the model.

    Args:
        model: The file.
        steps: The inputs of each run.
        name: Of the signature.
        inputs: The signature's names of the inputs, in their order.
        outputs: Those of the outputs.
    """
    found, title, is_optimized = _litert(model, layers=False)
    runner = found.get_signature_runner(name)
    results = [runner(**dict(zip(inputs, given, strict=True))) for given in steps]
    arrays = {f"output_{i}": np.stack([r[name] for r in results]) for i, name in enumerate(outputs)}
    about: About = {
        "title": title,
        "is_optimized": is_optimized,
        "steps": [0.0] * len(outputs),
        "hybrid": [],
        "is_half": False,
        "layers": [],
    }
    return about, arrays


def _litert(model: Path, layers: bool) -> tuple[Any, str, bool]:
    """LiteRT with a model, what to call it, and whether its optimized kernels are the ones used."""
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    def interpreter(resolver: Any) -> Any:
        made = Interpreter(
            model_path=str(model),
            experimental_op_resolver_type=resolver,
            num_threads=1,
            experimental_preserve_all_tensors=layers,
        )
        made.allocate_tensors()
        return made

    release = metadata.version("ai-edge-litert")
    optimized = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    try:
        found = interpreter(OpResolverType.BUILTIN_REF)
    except ValueError as error:
        # ELU, CEIL and ROUND are among those that have one kernel only.
        if "Didn't find op" not in str(error):
            raise
        title = f"LiteRT {release}'s optimized kernels, as some operators have no reference kernel"
        return interpreter(optimized), title, True
    wrong = _wrong_references(_operators(found), release)
    if not wrong:
        return found, f"LiteRT {release}'s reference kernels", False
    title = f"LiteRT {release}'s optimized kernels, as its reference kernels get {wrong[0]} wrong"
    return interpreter(optimized), title, True


def _operators(interpreter: Any) -> list[dict[str, Any]]:
    """The operators of a model, where this release of LiteRT tells them."""
    read = getattr(interpreter, "_get_ops_details", None)
    if read is None:
        return []
    names = ("op_name", "inputs", "outputs", "operand_types")
    operators = [{name: operator[name] for name in names} for operator in read()]
    for operator in operators:
        for name in ("inputs", "outputs"):
            operator[name] = [int(index) for index in operator[name]]
        types = operator["operand_types"]
        operator["operand_types"] = [np.dtype(each).name for each in types]
    return operators


def _wrong_references(operators: Sequence[dict[str, Any]], release: str) -> list[str]:
    """Names of operators that this release's reference kernels compute wrongly."""
    numbers = [int(part) for part in release.split(".")[:3] if part.isdigit()]
    return [
        f"{operator['op_name']} of {dtype}"
        for operator in operators
        for dtype in operator["operand_types"][:1]
        if tuple(numbers) <= WRONG_REFERENCES.get((operator["op_name"], dtype), (0,))
    ]


def _fault(operator: dict[str, Any]) -> str:
    """What LiteRT does wrong in each of its kernels; empty where nothing is known of the kind."""
    name, types = operator["op_name"], operator["operand_types"]
    if name == "SVDF" and types[4:5] == ["int8"]:  # it would write beyond the state
        return "its SVDF takes a state of int8, as TFLite Micro has it, for one of int16"
    if name == "BATCH_MATMUL" and types[:2] == ["int16", "int8"]:
        return "its BATCH_MATMUL of int16 with int8 gives zeros"
    return ""


def _misread_bias(model: Path, position: int, operator: dict[str, Any]) -> str:
    """What LiteRT reads beyond a bias of int32 of a layer of int16; empty where it does not.

    It asks the options of the operator, which older converters leave alone, not the bias.
    """
    name, types = operator["op_name"], operator["operand_types"]
    places = _BIASES.get(name)
    if places is None or [types[place : place + 1] for place in places] != [["int16"], ["int32"]]:
        return ""
    import tflite

    graph = tflite.Model.GetRootAs(model.read_bytes(), 0).Subgraphs(0)
    stored = graph.Operators(position).BuiltinOptions()
    if stored is not None and name in _OPTIONS:
        options = getattr(tflite, _OPTIONS[name])()
        options.Init(stored.Bytes, stored.Pos)
        if options.QuantizedBiasType() == tflite.TensorType.INT32:
            return ""
    return f"its {name} takes a bias of int32 for one of int64"


def _is_layer(operator: dict[str, Any]) -> bool:
    """Whether it is a layer over integers, of which LiteRT's optimized kernels round otherwise."""
    return operator["op_name"] in _BIASES and "float32" not in operator["operand_types"]


def _is_hybrid(operator: dict[str, Any]) -> bool:
    types = operator["operand_types"]
    return operator["op_name"] in _HYBRID and "float32" in types[:1] and "int8" in types


def _step(producer: dict[str, Any] | None, tensors: dict[int, dict[str, Any]]) -> float:
    """How far apart neighbours of an output are, when it is the float of a quantized tensor."""
    if producer is None or producer["op_name"] != "DEQUANTIZE":
        return 0.0
    scales = tensors[producer["inputs"][0]]["quantization_parameters"]["scales"]
    return float(np.max(scales)) if len(scales) else 0.0
