"""ONNX models.

file        reads the file
normalise   brings the graph to a form of static shapes and plain operators, by order, attributes,
functions, shapes, folding, branches (rounds), sequences, halves, words and rewrites/, on `graph`
operators   refuses what is left that cannot be compiled, by parameters, too
converters  TVM's importer, and what it lacks
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from pytest_microtvm.compiler.failures import summary
from pytest_microtvm.compiler.frontends.imported import ImportedModel, import_failure, imported
from pytest_microtvm.errors import ModelError


def import_onnx(
    data: bytes,
    input_shapes: Mapping[str, tuple[int, ...]] | None = None,
    weights: Mapping[str, bytes] | None = None,
) -> ImportedModel:
    """Import an ONNX model.

    Args:
        data: What the file holds.
        input_shapes: Of inputs whose shapes are open, by name.
        weights: What the files beside it hold that tensors may be in, by their names.

    Raises:
        ModelError: It is damaged, or holds what cannot be compiled.
    """
    try:
        from pytest_microtvm.compiler.frontends.onnx.converters import Importer
        from pytest_microtvm.compiler.frontends.onnx.file import read_onnx
        from pytest_microtvm.compiler.frontends.onnx.normalise import normalise
        from pytest_microtvm.compiler.frontends.onnx.operators import check_operators
    except ImportError as error:
        raise ModelError(
            f"reading ONNX models needs the package {error.name or 'onnx'!r}",
            cure="pip install 'pytest-microtvm[onnx]'",
        ) from error

    model = read_onnx(data, weights or {})
    graph = normalise(model.proto, input_shapes or {})
    check_operators(graph)
    importer = Importer({}, "float32")
    try:
        with warnings.catch_warnings():
            # Renamed inputs: names are given by `imported`.
            warnings.simplefilter("ignore")
            module = importer.from_onnx(graph.proto().graph, graph.opset)
    except Exception as error:
        raise _broken_rule(model.proto) or import_failure(error, importer.at) from error
    found = imported(module, model.inputs, model.outputs, importer.specs)
    found = replace(found, is_even=True)
    _check_outputs(graph, found)
    return found


def _broken_rule(model: Any) -> ModelError | None:
    """What a model that cannot be imported has against ONNX's rules, if that is why."""
    from onnx import shape_inference

    try:
        shape_inference.infer_shapes(model, check_type=True, strict_mode=True)
    except shape_inference.InferenceError as error:
        return ModelError(
            f"the model breaks a rule of ONNX: {summary(error)}",
            cure="export the model again, and check it with onnx.checker.check_model",
        )
    except Exception:  # noqa: BLE001  # what cannot be checked is told as the importer does
        return None
    return None


def _check_outputs(graph: Any, found: ImportedModel) -> None:
    """Compare the types of the outputs with those that ONNX's rules give."""
    from onnx import helper

    for value, port in zip(graph.outputs, found.outputs, strict=True):
        dtype, shape = graph.dtype(value.name), graph.shape(value.name)
        if dtype is None or shape is None:
            continue
        expected = str(helper.tensor_dtype_to_np_dtype(dtype))
        if (expected, shape) != (port.type.dtype, port.type.shape):
            raise ModelError(
                f"the output {value.name!r} would be {port.type.dtype}{list(port.type.shape)}, "
                f"where the model has {expected}{list(shape)}: an operator is read wrongly",
                cure="report the model, and replace the operators before that output",
            )
