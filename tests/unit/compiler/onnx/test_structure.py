"""What a graph may look like, and what it may not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import AttributeProto, TensorProto, helper

from pytest_microtvm.compiler.frontends.onnx import import_onnx
from pytest_microtvm.errors import ModelError
from tests.unit.compiler.onnx.comparing import agree, floats, made, node

X: dict[str, tuple[str, Any]] = {"x": ("FLOAT", [2, 3])}


def test_attributes_of_functions_have_defaults(tmp_path: Path):
    leaky = node("LeakyRelu", "a", "b")
    leaky.attribute.add(name="alpha", ref_attr_name="k", type=AttributeProto.FLOAT)
    default = [helper.make_attribute("k", 0.7)]
    function = helper.make_function(
        "local", "F", ["a"], ["b"], [leaky], [helper.make_opsetid("", 21)], attribute_protos=default
    )
    nodes = [node("F", "x", "z", domain="local"), node("F", "z", domain="local", k=0.5)]
    source = floats(2, 3)
    expected = np.where(source < 0, source * np.float32(0.7) * np.float32(0.5), source)
    model = made(nodes, X, functions=[function])
    agree(model, tmp_path, [source], expected=[expected.astype(np.float32)])


def test_nodes_may_be_in_any_order(tmp_path: Path):
    model = made([node("Exp", "z"), node("Neg", "x", "z")], X)
    source = floats(2, 3)
    agree(model, tmp_path, [source], expected=[np.exp(-source)])


@pytest.mark.parametrize(
    ("nodes", "said"),
    [
        ([node("Add", "x z"), node("Relu", "y", "z")], "waits for its own result"),
        ([node("Add", "x q")], "Add at 'y' reads 'q', which nothing makes"),
        ([node("Relu", "x", "z")], "nothing makes the output 'y'"),
        (
            [node("ArgMax", "x", "s", axis=1, keepdims=0), node("Reshape", "x s")],
            "Reshape .the shape of its result follows from 's', which depends on the inputs",
        ),
        ([node("Shape", "x", "s"), node("Add", "x s")], "the model breaks a rule of ONNX: .*Add"),
    ],
)
def test_graphs_that_cannot_be_are_refused_by_what_is_wrong(nodes: list[Any], said: str):
    with pytest.raises(ModelError, match=said):
        import_onnx(made(nodes, X).SerializeToString())


def test_sparse_constants_are_made_dense(tmp_path: Path):
    model = made([node("Add", "x c")], {"x": ("FLOAT", [2, 3])})
    values = helper.make_tensor("c", TensorProto.FLOAT, [2], [1.5, -2.5])
    places = helper.make_tensor("at", TensorProto.INT64, [2], [1, 5])
    model.graph.sparse_initializer.append(helper.make_sparse_tensor(values, places, [2, 3]))
    source = floats(2, 3)
    agree(
        model,
        tmp_path,
        [source],
        expected=[source + np.array([[0, 1.5, 0], [0, 0, -2.5]], np.float32)],
    )


def test_parts_without_elements_are_left_out(tmp_path: Path):
    constants = {"nothing": np.zeros((0, 3), np.float32)}
    model = made([node("Concat", "nothing x", axis=0)], X, "y", constants)
    source = floats(2, 3)
    agree(model, tmp_path, [source], expected=[source])


@pytest.mark.parametrize("rounds", [0, 3])
def test_a_loop_goes_on_while_a_counter_is_low(rounds: int, tmp_path: Path):
    value = helper.make_tensor_value_info
    body = helper.make_graph(
        [
            node("Add", "count one", "counted"),
            node("Less", "counted limit", "goes_on"),
            node("Mul", "state factor", "next"),
        ],
        "body",
        [
            value("step", TensorProto.INT64, []),
            value("going", TensorProto.BOOL, []),
            value("count", TensorProto.INT64, []),
            value("state", TensorProto.FLOAT, [2, 3]),
        ],
        [
            value("goes_on", TensorProto.BOOL, []),
            value("counted", TensorProto.INT64, []),
            value("next", TensorProto.FLOAT, [2, 3]),
        ],
    )
    constants = {
        "begins": np.array(rounds > 0),
        "zero": np.int64(0),
        "one": np.int64(1),
        "limit": np.int64(rounds),
        "factor": np.float32(1.5),
    }
    loop = node("Loop", "_ begins zero x", "n y", body=body)
    source = floats(2, 3)
    expected = [np.int64(rounds), source * np.float32(1.5**rounds)]
    agree(made([loop], X, "n y", constants), tmp_path, [source], expected=expected)
