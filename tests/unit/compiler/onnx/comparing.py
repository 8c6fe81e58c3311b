"""Compiles ONNX models and compares them with ONNX's own reference implementation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from pytest_microtvm.compiler import CompileOptions, compile_to_files
from tests.unit.compiler.native import NativeModel

Array = npt.NDArray[Any]
OPSET = 21


def node(operator: str, inputs: str, outputs: str = "y", **attributes: Any) -> Any:
    """A node; names are separated by spaces, and "_" stands for one that is left out."""
    given, made = (["" if n == "_" else n for n in text.split()] for text in (inputs, outputs))
    return helper.make_node(operator, given, made, **attributes)


def made(
    nodes: Sequence[Any],
    inputs: Mapping[str, tuple[str, Sequence[Any] | None]],
    outputs: str = "y",
    constants: Mapping[str, Any] | None = None,
    *,
    opset: int = OPSET,
    functions: Sequence[Any] = (),
) -> Any:
    """A model.

    Args:
        nodes: In order.
        inputs: Element type and shape by name.
        outputs: Names, separated by spaces.
        constants: By name.
        opset: Version of the operators.
        functions: Of the domain "local".
    """
    graph = helper.make_graph(
        list(nodes),
        "graph",
        [
            helper.make_tensor_value_info(name, getattr(TensorProto, dtype), shape)
            for name, (dtype, shape) in inputs.items()
        ],
        [helper.make_empty_tensor_value_info(name) for name in outputs.split()],
        [numpy_helper.from_array(np.asarray(v), k) for k, v in (constants or {}).items()],
    )
    imports = [helper.make_opsetid("", opset)]
    if functions:
        imports.append(helper.make_opsetid("local", 1))
    model = helper.make_model(graph, opset_imports=imports, functions=functions, ir_version=10)
    return model


def compiled(model: Any, folder: Path, options: CompileOptions | None = None) -> NativeModel:
    """A model, compiled and built for this machine."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "model.onnx"
    path.write_bytes(model.SerializeToString())
    return NativeModel(compile_to_files(path, options), folder)


def agree(
    model: Any,
    folder: Path,
    inputs: Sequence[Array],
    *,
    tolerance: float = 1e-5,
    expected: Sequence[Array] | None = None,
    options: CompileOptions | None = None,
) -> NativeModel:
    """Compile a model and compare what it computes with ONNX's reference implementation.

    Args:
        model: An `onnx.ModelProto`.
        folder: An empty one.
        inputs: In the model's order.
        tolerance: For floats, relative and absolute.
        expected: Instead of what the reference computes.
        options: Of the compiler.
    """
    native = compiled(model, folder, options)
    if expected is None:
        names = [value.name for value in model.graph.input]
        expected = ReferenceEvaluator(model).run(None, dict(zip(names, inputs, strict=True)))
    for wanted, result in zip(expected, native(*inputs), strict=True):
        assert (result.shape, result.dtype) == (np.shape(wanted), wanted.dtype)
        if np.issubdtype(result.dtype, np.floating):
            np.testing.assert_allclose(result, wanted, rtol=tolerance, atol=tolerance)
        else:
            np.testing.assert_array_equal(result, wanted)
    return native


def floats(*shape: int, seed: int = 0) -> Array:
    """Normally distributed float32."""
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)
