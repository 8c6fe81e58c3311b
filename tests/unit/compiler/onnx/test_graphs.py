"""ONNX graphs: open shapes, functions, branches, loops, what is left in by exporters."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, defs, helper, numpy_helper

from pytest_microtvm.compiler import CompileOptions, compile_to_files
from pytest_microtvm.errors import ModelError
from tests.unit.compiler.onnx.comparing import agree, compiled, floats, made, node


@pytest.mark.parametrize("batch", ["N", "batch_size", None, -1])
def test_an_open_dimension_is_1(batch: str | int | None, tmp_path: Path):
    model = made([node("Relu", "x")], {"x": ("FLOAT", [batch, 3])})
    agree(model, tmp_path, [floats(1, 3)])


def test_an_open_dimension_is_what_the_options_say(tmp_path: Path):
    nodes = [node("Add", "x other", "sum"), node("ReduceMax", "sum axes", keepdims=0)]
    inputs: dict[str, Any] = {"x": ("FLOAT", ["N", "T"]), "other": ("FLOAT", ["N", 1])}
    model = made(nodes, inputs, constants={"axes": [1]})
    options = CompileOptions(input_shapes={"x": (2, 5)})
    agree(model, tmp_path, [floats(2, 5), floats(2, 1)], options=options)


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        ({"z": (1,)}, "no input 'z'.*'?x"),
        ({"x": (2, 4)}, r"shape \[N, 3\], which \[2, 4\] does not fit"),
        ({"x": (2, 3, 1)}, "does not fit"),
        ({"x": (2, 3), "other": (5, 3)}, "dimension 'N' is 2 in the input 'x', and 5 in 'other'"),
    ],
)
def test_shapes_that_do_not_fit_are_refused(
    shapes: dict[str, tuple[int, ...]], message: str, tmp_path: Path
):
    inputs = {"x": ("FLOAT", ["N", 3]), "other": ("FLOAT", ["N", 3])}
    model = made([node("Add", "x other")], inputs)
    with pytest.raises(ModelError, match=message):
        compiled(model, tmp_path, CompileOptions(input_shapes=shapes))


def test_shape_arithmetic_is_computed_once_the_batch_is_known(tmp_path: Path):
    nodes = [
        node("Shape", "x", "shape"),
        node("Gather", "shape zero", "batch"),
        node("Unsqueeze", "batch axis", "first"),
        node("Concat", "first rest", "target", axis=0),
        node("Reshape", "x target"),
    ]
    constants = {"zero": np.int64(0), "axis": np.array([0]), "rest": np.array([-1, 2])}
    model = made(nodes, {"x": ("FLOAT", ["N", 4, 2])}, constants=constants)
    agree(model, tmp_path, [floats(1, 4, 2)])


def test_functions_of_the_model_are_put_in_place(tmp_path: Path):
    imports = [helper.make_opsetid("", 21)]
    body = [
        helper.make_node("MatMul", ["a", "b"], ["product"]),
        helper.make_node("Add", ["product", "c"], ["result"]),
    ]
    linear = helper.make_function("local", "Lin", ["a", "b", "c"], ["result"], body, imports)
    calls = [
        helper.make_node("Lin", ["x", "w", "b"], ["once"], domain="local"),
        helper.make_node("Lin", ["once", "w", "b"], ["y"], domain="local"),
    ]
    constants = {"w": floats(3, 3, seed=1), "b": floats(3, seed=2)}
    model = made(calls, {"x": ("FLOAT", [2, 3])}, constants=constants, functions=[linear])
    agree(model, tmp_path, [floats(2, 3)])


def body_of(nodes: list[object], inputs: list[object], outputs: list[str]) -> object:
    made_outputs = [helper.make_tensor_value_info(n, TensorProto.FLOAT, None) for n in outputs]
    return helper.make_graph(nodes, "body", inputs, made_outputs)


@pytest.mark.parametrize("condition", [True, False])
def test_a_branch_whose_condition_is_known_is_the_only_one(condition: bool, tmp_path: Path):
    branches = {
        name: body_of([node(operator, "x", f"{name}_y")], [], [f"{name}_y"])
        for name, operator in (("then_branch", "Relu"), ("else_branch", "Neg"))
    }
    nodes = [node("If", "condition", "result", **branches), node("Abs", "result")]
    constants = {"condition": np.array(condition)}
    agree(made(nodes, {"x": ("FLOAT", [4])}, constants=constants), tmp_path, [floats(4)])


def test_a_branch_on_an_input_is_refused_with_its_node(tmp_path: Path):
    branches = {
        name: body_of([node("Relu", "x", f"{name}_y")], [], [f"{name}_y"])
        for name in ("then_branch", "else_branch")
    }
    model = made(
        [node("If", "condition", "y", name="branch", **branches)],
        {"x": ("FLOAT", [4]), "condition": ("BOOL", [])},
    )
    with pytest.raises(ModelError, match=r"If \(its condition depends on.*\) at 'branch'"):
        compiled(model, tmp_path)


def test_a_loop_of_known_length_is_unrolled(tmp_path: Path):
    scalar = helper.make_tensor_value_info
    inner = helper.make_graph(
        [
            node("Identity", "going", "goes_on"),
            node("Mul", "state factor", "next"),
            node("Identity", "next", "seen"),
        ],
        "body",
        [
            scalar("step", TensorProto.INT64, []),
            scalar("going", TensorProto.BOOL, []),
            scalar("state", TensorProto.FLOAT, [2]),
        ],
        [
            scalar("goes_on", TensorProto.BOOL, []),
            scalar("next", TensorProto.FLOAT, [2]),
            scalar("seen", TensorProto.FLOAT, [2]),
        ],
        [numpy_helper.from_array(np.float32(1.5), "factor")],
    )
    model = made(
        [node("Loop", "count start x", "y all", body=inner)],
        {"x": ("FLOAT", [2])},
        "y all",
        {"count": np.int64(3), "start": np.array(True)},
    )
    agree(model, tmp_path, [floats(2)])


def test_dropout_is_the_identity(tmp_path: Path):
    nodes = [node("Dropout", "x ratio", "kept mask"), node("Relu", "kept")]
    model = made(nodes, {"x": ("FLOAT", [4])}, constants={"ratio": np.float32(0.5)})
    agree(model, tmp_path, [floats(4)])


def test_every_operator_that_is_refused_is_named_at_once(tmp_path: Path):
    nodes = [
        node("NonZero", "x", "where", name="first"),
        node("RandomUniformLike", "x", "noise", name="second"),
        node("Add", "x noise"),
    ]
    model = made(nodes, {"x": ("FLOAT", [4])}, "y where")
    path = tmp_path / "model.onnx"
    path.write_bytes(model.SerializeToString())
    with pytest.raises(ModelError) as caught:
        compile_to_files(path)
    text = str(caught.value)
    assert "NonZero (the size of its result depends" in text
    assert "at 'first'" in text
    assert "RandomUniformLike (its result is random" in text
    assert "at 'second'" in text


def test_an_attribute_that_no_converter_reads_is_refused(tmp_path: Path):
    model = made(
        [node("MaxPool", "x", kernel_shape=[2, 2], storage_order=1)], {"x": ("FLOAT", [1, 1, 4, 4])}
    )
    with pytest.raises(ModelError, match=r"MaxPool .its attribute storage_order=1 is not"):
        compiled(model, tmp_path)


def test_an_order_of_blocks_that_no_converter_reads_is_refused(tmp_path: Path):
    newest = min(28, defs.onnx_opset_version())  # of version 28 on, an operator has it
    model = made(
        [node("SpaceToDepth", "x", blocksize=2, mode="CRD")],
        {"x": ("FLOAT", [1, 2, 4, 4])},
        opset=newest,
    )
    with pytest.raises(ModelError, match=r"SpaceToDepth .its attribute mode=.*CRD"):
        compiled(model, tmp_path)


def test_floats_of_16_bits_are_computed_in_32(tmp_path: Path):
    nodes = [node("MatMul", "x w", "product"), node("Cast", "product", to=TensorProto.FLOAT16)]
    weights = floats(3, 2, seed=1).astype(np.float16)
    model = made(nodes, {"x": ("FLOAT16", [2, 3])}, constants={"w": weights})
    source = floats(2, 3)
    agree(model, tmp_path, [source], expected=[source @ weights.astype(np.float32)])
