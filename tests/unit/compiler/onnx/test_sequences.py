"""Sequences of tensors that are known when a model is compiled."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

from pytest_microtvm.compiler.frontends.onnx import import_onnx
from pytest_microtvm.errors import ModelError
from tests.unit.compiler.onnx.comparing import agree, floats, made, node

X: dict[str, tuple[str, Any]] = {"x": ("FLOAT", [3, 5])}


def alike(nodes: list[Any], folder: Path, outputs: str, **constants: Any) -> None:
    """Compile, and compare with onnxruntime."""
    model = made(nodes, X, outputs, constants, opset=16)
    source = floats(3, 5)
    session = onnxruntime.InferenceSession(model.SerializeToString())
    agree(model, folder, [source], expected=session.run(None, {"x": source}))


def test_parts_are_taken_out_of_a_sequence(tmp_path: Path):
    nodes = [
        node("SplitToSequence", "x two", "parts", axis=1),
        node("SequenceAt", "parts last", "y"),
        node("SequenceLength", "parts", "count"),
        node("Identity", "parts", "same"),
        node("SequenceErase", "same first", "fewer"),
        node("ConcatFromSequence", "fewer", "joined", axis=1),
    ]
    numbers = {"two": np.int64(2), "last": np.int64(-1), "first": np.int64(0)}
    alike(nodes, tmp_path, "y count joined", **numbers)


def test_what_is_put_into_a_sequence_is_stacked(tmp_path: Path):
    nodes = [
        node("SequenceEmpty", "", "empty"),
        node("SequenceInsert", "empty x", "one"),
        node("Neg", "x", "negative"),
        node("SequenceInsert", "one negative first", "two"),
        node("ConcatFromSequence", "two", axis=1, new_axis=1),
        node("SplitToSequence", "x", "rows", axis=0, keepdims=0),
        node("SequenceAt", "rows first", "row"),
    ]
    alike(nodes, tmp_path, "y row", first=np.int64(0))


def test_a_sequence_as_a_result_is_refused():
    model = made([node("SequenceConstruct", "x x")], X)
    with pytest.raises(ModelError, match=r"SequenceConstruct \(it makes or takes sequences"):
        import_onnx(model.SerializeToString())
