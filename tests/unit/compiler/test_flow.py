"""Loops and branches of TFLite models, built for the host and run."""

from __future__ import annotations

from collections.abc import Callable

import flatbuffers
import numpy as np
import pytest
import tflite

from pytest_microtvm.compiler import compile_to_files
from pytest_microtvm.errors import ModelError
from tests.unit.compiler.native import NativeModel
from tests.unit.compiler.tflite_models import (
    Model,
    Operator,
    Quantization,
    Tensor,
    add,
    assign_variable,
    mul,
    read_variable,
    var_handle,
)


def while_operator(condition: int, body: int, values: list[int], results: list[int]) -> Operator:
    def options(builder: flatbuffers.Builder) -> int:
        tflite.WhileOptionsStart(builder)
        tflite.WhileOptionsAddCondSubgraphIndex(builder, condition)
        tflite.WhileOptionsAddBodySubgraphIndex(builder, body)
        return int(tflite.WhileOptionsEnd(builder))

    return Operator("WHILE", values, results, ("WhileOptions", options))


def if_operator(then: int, otherwise: int, values: list[int], results: list[int]) -> Operator:
    def options(builder: flatbuffers.Builder) -> int:
        tflite.IfOptionsStart(builder)
        tflite.IfOptionsAddThenSubgraphIndex(builder, then)
        tflite.IfOptionsAddElseSubgraphIndex(builder, otherwise)
        return int(tflite.IfOptionsEnd(builder))

    return Operator("IF", values, results, ("IfOptions", options))


def counted(steps: int) -> Model:
    """i < steps, of (i, y, w)."""
    tensors = [
        *(Tensor("i", [], "INT32"), Tensor("y", [3]), Tensor("w", [3])),
        *(Tensor("steps", [], "INT32", np.array(steps, np.int32)), Tensor("go_on", [], "BOOL")),
    ]
    return Model(tensors, [Operator("LESS", [0, 3], [4])], [0, 1, 2], [4])


def fibonacci_like() -> Model:
    """(i, y, w) -> (i + 1, y * w + y, w)."""
    tensors = [
        *(Tensor("i", [], "INT32"), Tensor("y", [3]), Tensor("w", [3])),
        Tensor("one", [], "INT32", np.array(1, np.int32)),
        *(Tensor("more", [], "INT32"), Tensor("product", [3]), Tensor("sum", [3])),
    ]
    operators = [add([0, 3], 4), mul([1, 2], 5), add([5, 1], 6)]
    return Model(tensors, operators, [0, 1, 2], [4, 6, 2])


def looped(steps: int, w: np.ndarray | None = None) -> Model:
    """y, w -> y * (1 + w)**steps, and how many steps there were."""
    tensors = [
        *(Tensor("zero", [], "INT32", np.array(0, np.int32)), Tensor("y", [3])),
        *(Tensor("w", [3], data=w), Tensor("count", [], "INT32"), Tensor("result", [3])),
        Tensor("same", [3]),
    ]
    loop = while_operator(1, 2, [0, 1, 2], [3, 4, 5])
    inputs = [1] if w is not None else [1, 2]
    return Model(tensors, [loop], inputs, [4, 3], subgraphs=[counted(steps), fibonacci_like()])


def native(model: Model, tmp_path) -> NativeModel:
    (tmp_path / "model.tflite").write_bytes(model.to_bytes())
    return NativeModel(compile_to_files(tmp_path / "model.tflite"), tmp_path)


@pytest.mark.parametrize(("steps", "is_known"), [(0, False), (1, False), (5, True)])
def test_a_loop_takes_its_steps(steps, is_known, tmp_path):
    w = np.array([0.5, -0.25, 2], np.float32)
    y = np.array([1, 2, -3], np.float32)
    model = native(looped(steps, w if is_known else None), tmp_path)
    for _ in range(2):
        result, count = model(y) if is_known else model(y, w)
        np.testing.assert_allclose(result, y * (1 + w) ** steps, rtol=1e-6)
        assert count == steps


def test_a_loop_is_one_call_of_a_kernel_that_calls_those_of_its_body(tmp_path):
    model = native(looped(4), tmp_path)
    assert model.text("*_lib1.c").count("tvmgen_model_loop_0(") == 1
    text = model.text("*_lib0.c")
    assert "for (;;) {" in text
    assert text.count("void tvmgen_model_loop0_") >= 2


def test_a_loop_may_be_given_what_no_step_reads(tmp_path):
    model, known = looped(2), np.array([7.0, 8.0, 9.0], np.float32)
    body = model.subgraphs[1]
    body.tensors.append(Tensor("known", [3], data=known))
    body.outputs = [body.outputs[0], len(body.tensors) - 1, 2]
    y = np.array([1.0, 2.0, 3.0], np.float32)
    result, count = native(model, tmp_path)(y, y)
    np.testing.assert_array_equal(result, known)
    assert count == 2


def test_values_that_change_places_are_both_right(tmp_path):
    """(i, a, b) -> (i + 1, b, a), three times."""
    condition = counted(3)
    tensors = [
        *(Tensor("i", [], "INT32"), Tensor("a", [3]), Tensor("b", [3])),
        *(Tensor("one", [], "INT32", np.array(1, np.int32)), Tensor("more", [], "INT32")),
    ]
    body = Model(tensors, [add([0, 3], 4)], [0, 1, 2], [4, 2, 1])
    outer = looped(3)
    outer.outputs = [4, 5]
    outer.subgraphs = [condition, body]
    a, b = (np.arange(3, dtype=np.float32) + n for n in (1, 7))
    first, second = native(outer, tmp_path)(a, b)
    np.testing.assert_array_equal([first, second], [b, a])


def branched(make: Callable[[list[int], int], Operator]) -> Model:
    """A branch of `a + b`, then `make` of both."""

    def part(step: Operator) -> Model:
        return Model([Tensor(name, [3]) for name in "abc"], [step], [0, 1], [2])

    tensors = [Tensor("which", [], "BOOL"), *(Tensor(name, [3]) for name in "abc")]
    parts = [part(add([0, 1], 2)), part(make([0, 1], 2))]
    return Model(tensors, [if_operator(1, 2, [0, 1, 2], [3])], [0, 1, 2], [3], subgraphs=parts)


def test_a_branch_is_taken_at_run_time(tmp_path):
    model = native(branched(mul), tmp_path)
    a, b = np.array([1, 2, 3], np.float32), np.array([5, 7, 9], np.float32)
    np.testing.assert_array_equal(model(np.array(True), a, b)[0], a + b)
    np.testing.assert_array_equal(model(np.array(False), a, b)[0], a * b)


def test_what_a_branch_cannot_do_is_refused_by_its_name(tmp_path):
    refused = branched(lambda inputs, output: Operator("BITCAST", inputs[:1], [output]))
    with pytest.raises(ModelError, match="BITCAST") as caught:
        native(refused, tmp_path)
    assert "what it runs" not in caught.value.message


def test_integers_of_a_loop_are_computed_over_integers(tmp_path):
    """Ten times y = quantized(y + y * w) of int8, as LiteRT's kernels do it."""
    known = Quantization([0.05], [3])
    names = ("y", "w", "product", "sum")
    body = fibonacci_like()
    body.tensors = [
        Tensor(t.name, t.shape, "INT8" if t.name in names else t.dtype, t.data, known)
        if t.name in names
        else t
        for t in body.tensors
    ]
    condition = counted(10)
    condition.tensors[1:3] = [Tensor(name, [3], "INT8", None, known) for name in "yw"]
    outer = looped(10)
    for index in (1, 2, 4, 5):
        outer.tensors[index] = Tensor(outer.tensors[index].name, [3], "INT8", None, known)
    outer.subgraphs = [condition, body]
    model = native(outer, tmp_path)
    assert "float" not in model.text("*_lib0.c")
    y, w = np.array([10, -20, 90], np.int8), np.array([5, -10, 1], np.int8)
    interpreter = pytest.importorskip("ai_edge_litert.interpreter")
    litert = interpreter.Interpreter(model_content=outer.to_bytes())
    litert.allocate_tensors()
    for detail, array in zip(litert.get_input_details(), (y, w), strict=True):
        litert.set_tensor(detail["index"], array)
    litert.invoke()
    result, count = model(y, w)
    np.testing.assert_array_equal(
        result, litert.get_tensor(litert.get_output_details()[0]["index"])
    )
    assert count == 10


def test_a_loop_whose_values_grow_is_refused(tmp_path):
    outer = looped(2)
    body = fibonacci_like()
    axis = {"Axis": 0}

    def options(builder: flatbuffers.Builder) -> int:
        tflite.ConcatenationOptionsStart(builder)
        tflite.ConcatenationOptionsAddAxis(builder, axis["Axis"])
        return int(tflite.ConcatenationOptionsEnd(builder))

    body.tensors[6] = Tensor("sum", [6])
    body.operators[2] = Operator("CONCATENATION", [5, 1], [6], ("ConcatenationOptions", options))
    outer.subgraphs[1] = body
    with pytest.raises(ModelError, match="change their shapes from step to step"):
        native(outer, tmp_path)


def test_a_subgraph_that_runs_itself_is_refused(tmp_path):
    model = branched(mul)
    inner = model.subgraphs[0]
    inner.tensors.append(Tensor("which", [], "BOOL", np.array(True)))
    inner.operators[0] = if_operator(1, 2, [3, 0, 1], [2])
    with pytest.raises(ModelError, match="the subgraph 1 runs itself"):
        native(model, tmp_path)


def test_the_subgraphs_that_are_run_are_bounded(tmp_path):
    """Each of twelve runs the next one twice."""
    model = branched(mul)
    count = 12
    graphs = [
        Model(
            [*(Tensor(name, [3]) for name in "abc"), Tensor("w", [], "BOOL", np.array(True))],
            *([if_operator(n + 2, n + 2, [3, 0, 1], [2])], [0, 1], [2]),
        )
        for n in range(count)
    ]
    model.subgraphs = [*graphs, model.subgraphs[1]]
    model.operators[0] = if_operator(1, 1, [0, 1, 2], [3])
    with pytest.raises(ModelError, match="in more than 256 places"):
        native(model, tmp_path)


def test_variables_of_a_branch_are_refused(tmp_path):
    model = branched(mul)
    tensors = [*(Tensor(name, [3]) for name in "abc"), Tensor("handle", [], "RESOURCE")]
    steps = [var_handle("v", 3), read_variable(3, 2), assign_variable(3, 0)]
    model.subgraphs[0] = Model(tensors, steps, [0, 1], [2])
    with pytest.raises(ModelError, match="what it runs uses variables"):
        native(model, tmp_path)


def test_a_variable_that_a_loop_is_given_is_refused_in_words(tmp_path):
    """As converters leave weights that they were not to make constants."""
    model = looped(3)
    model.tensors[2] = Tensor("weights", [], "RESOURCE")
    model.inputs = [1]
    model.operators.insert(0, var_handle("w", 2))
    for part in model.subgraphs:
        part.tensors[2] = Tensor("w", [], "RESOURCE")
    message = "'weights' names a variable.*from_keras_model"
    with pytest.raises(ModelError, match=message):
        native(model, tmp_path)
