"""Models that cannot be compiled: each is refused on one line that names the thing and the cure."""

from __future__ import annotations

import contextlib
import random
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pytest_microtvm.compiler import compile_to_files
from pytest_microtvm.compiler.frontends.tflite_file import read_tflite
from pytest_microtvm.errors import ModelError
from tests.unit.compiler.native import NativeModel
from tests.unit.compiler.relax_models import relax_module
from tests.unit.compiler.tflite_models import (
    Model,
    Operator,
    Quantization,
    Tensor,
    add,
    fully_connected,
    two_by_two,
)


def refusal(model: Path | Any) -> str:
    """What the compiler says of a model; checks that it is one line with a cure."""
    with pytest.raises(ModelError) as caught:
        compile_to_files(model)
    error = caught.value
    assert error.cure
    assert "\n" not in str(error)
    if isinstance(model, Path):
        assert str(error).startswith(f"{model.name}: ")
    return str(error)


def written(directory: Path, content: bytes, name: str = "net.tflite") -> Path:
    path = directory / name
    path.write_bytes(content)
    return path


def with_input(**changes: Any) -> bytes:
    model = two_by_two()
    model.tensors[0] = replace(model.tensors[0], **changes)
    return model.to_bytes()


# TFLite.


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the file is empty"),
        (b"TFL3", "not a TFLite model"),
        (b"hello, this is text", "not a TFLite model"),
        (b"\xff\xff\xff\xffTFL3", "truncated or damaged"),
        (b"\0\0\0\0TFL3" + bytes(100), "truncated or damaged"),
    ],
)
def test_what_is_no_tflite_file_is_refused(content: bytes, message: str, tmp_path: Path):
    assert message in refusal(written(tmp_path, content))


def test_a_file_cut_short_is_refused():
    weights = np.ones((4, 3), np.float32)
    tensors = [Tensor("x", [1, 3]), Tensor("w", [4, 3], data=weights), Tensor("y", [1, 4])]
    content = Model(tensors, [fully_connected([0, 1], 2)], [0], [2]).to_bytes()
    for length in range(8, len(content) - 4, 7):
        with pytest.raises(ModelError):
            read_tflite(content[:length])


def test_no_damage_is_answered_by_anything_but_a_model_error():
    content = two_by_two().to_bytes()
    source = random.Random(7)
    for _ in range(1000):
        damaged = bytearray(content)
        for _ in range(source.choice([1, 3, 20])):
            damaged[source.randrange(len(damaged))] = source.choice([0, 1, 127, 128, 255])
        with contextlib.suppress(ModelError):
            read_tflite(bytes(damaged))


@pytest.mark.parametrize("dtype", ["STRING", "VARIANT", "RESOURCE", "COMPLEX64", "FLOAT16"])
def test_inputs_of_odd_types_are_refused_by_name(dtype: str):
    with pytest.raises(ModelError, match=f"'a:0' has the element type {dtype}"):
        read_tflite(with_input(dtype=dtype))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("net.tflite", b"version https://git-lfs.github.com/spec/v1", "git lfs pull"),
        ("net.onnx", b"\n<!DOCTYPE html><html>", "a web page"),
        ("net.onnx", two_by_two().to_bytes(), "the file is a TFLite model; name it .tflite"),
        ("net.tflite", b"PK\x03\x04" + bytes(9), "a ZIP archive"),
        ("net.pt", b"PK\x03\x04", "PyTorch models are compiled from exported programs"),
        ("net.pb", b"\x08\x01", "TensorFlow's graphs are compiled from their TFLite form"),
    ],
)
def test_what_is_something_else_is_told(name: str, content: bytes, message: str, tmp_path: Path):
    assert message in refusal(written(tmp_path, content, name))


def test_all_refused_operators_are_named(tmp_path: Path):
    names = ["CALL", "SKIP_GRAM", "RFFT2D", "DELEGATE", "BUCKETIZE", "SEGMENT_SUM", "MULTINOMIAL"]
    names += ["LSH_PROJECTION", "MATRIX_DIAG", "HASHTABLE", "IMAG", "REAL"]
    names += ["COMPLEX_ABS", "RANDOM_UNIFORM"]
    tensors = [Tensor(f"t{number}", [4]) for number in range(len(names) + 1)]
    operators = [Operator(name, [n], [n + 1]) for n, name in enumerate(names)]
    model = Model(tensors, operators, [0], [len(names)])
    message = refusal(written(tmp_path, model.to_bytes()))
    assert all(name in message for name in names)


def test_shapes_that_do_not_fit_are_told_without_tvms_words(tmp_path: Path):
    tensors = [Tensor("x", [4]), Tensor("z", [3]), Tensor("y", [4])]
    message = refusal(written(tmp_path, Model(tensors, [add([0, 1], 2)], [0, 1], [2]).to_bytes()))
    assert "shape at dim 0 is 4 and the second input shape at dim 0 is 3" in message
    assert "ir.Op" not in message


def test_an_unsupported_operator_is_named(tmp_path: Path):
    tensors = [Tensor("x", [4]), Tensor("y", [4])]
    model = Model(tensors, [Operator("LSH_PROJECTION", [0, 0], [1])], [0], [1])
    assert "LSH_PROJECTION" in refusal(written(tmp_path, model.to_bytes()))


def test_a_constant_of_another_size_than_its_tensor_is_refused():
    tensors = [Tensor("x", [4]), Tensor("c", [4], data=np.ones(3, np.float32)), Tensor("y", [4])]
    with pytest.raises(ModelError, match="damaged"):
        read_tflite(Model(tensors, [add([0, 1], 2)], [0], [2]).to_bytes())


def pad_model(scale: float) -> Model:
    """PAD of an int8 tensor; its result has the given scale."""
    paddings = np.array([[1, 2]], np.int32)
    tensors = [
        Tensor("x", [3], "INT8", quantization=Quantization([0.5], [-7])),
        Tensor("p", [1, 2], "INT32", paddings),
        Tensor("y", [6], "INT8", quantization=Quantization([scale], [-7])),
    ]
    return Model(tensors, [Operator("PAD", [0, 1], [2])], [0], [2])


def test_an_operator_that_would_have_to_rescale_is_refused(tmp_path: Path):
    message = refusal(written(tmp_path, pad_model(0.25).to_bytes()))
    assert "the operator PAD (output 'y'): it moves values from one quantization to" in message


# ONNX.


def onnx_bytes(shape: list[Any] | None, operator: str = "Relu", dtype: int = 1) -> bytes:
    from onnx import helper

    graph = helper.make_graph(
        [helper.make_node(operator, ["x"], ["y"])],
        "graph",
        [helper.make_tensor_value_info("x", dtype, shape)],
        [helper.make_tensor_value_info("y", dtype, shape)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(model.SerializeToString())


def test_an_onnx_input_of_unknown_rank_is_refused(tmp_path: Path):
    message = refusal(written(tmp_path, onnx_bytes(None), "net.onnx"))
    assert "the input 'x' has no shape" in message


def onnx_of(nodes: list[tuple[str, list[str], str]], **inputs: tuple[int, list[int]]) -> bytes:
    """Nodes of operator, inputs and output; inputs by element type and shape; the output is y."""
    from onnx import helper

    graph = helper.make_graph(
        [helper.make_node(operator, names, [output]) for operator, names, output in nodes],
        "graph",
        [helper.make_tensor_value_info(name, *kind) for name, kind in inputs.items()],
        [helper.make_tensor_value_info("y", 1, ["a", "b"])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(model.SerializeToString())


@pytest.mark.parametrize(
    ("nodes", "message"),
    [
        ([("Add", ["x", "z"], "y")], "Add at 'y' reads 'z', which nothing makes"),
        ([("Relu", ["x"], "y"), ("Abs", ["x"], "y")], "Abs at 'y' makes 'y', which there is alre"),
        ([("Relu", ["x"], "a")], "nothing makes the output 'y'"),
        (
            [("Add", ["x", "b"], "a"), ("Relu", ["a"], "b"), ("Relu", ["b"], "y")],
            "Add at 'a' waits for its own result",
        ),
    ],
)
def test_onnx_graphs_that_cannot_be_are_told(
    nodes: list[tuple[str, list[str], str]], message: str, tmp_path: Path
):
    content = onnx_of(nodes, x=(1, [1, 4]), n=(7, [2]))
    assert message in refusal(written(tmp_path, content, "net.onnx"))


def test_an_onnx_model_with_strings_is_refused(tmp_path: Path):
    message = refusal(written(tmp_path, onnx_bytes([3], "Identity", 8), "net.onnx"))
    assert "'x' has the element type STRING" in message


@pytest.mark.filterwarnings("ignore:.*Bad node spec")
def test_an_unsupported_onnx_operator_is_named(tmp_path: Path):
    message = refusal(written(tmp_path, onnx_bytes([3], "NoSuchOperator"), "net.onnx"))
    assert "NoSuchOperator" in message


@pytest.mark.parametrize("content", [b"\x08\x01garbage" * 9, b"\x08\x08", b"[models]"])
def test_what_is_no_onnx_file_is_refused(content: bytes, tmp_path: Path):
    assert "not an ONNX model" in refusal(written(tmp_path, content, "net.onnx"))


def test_a_missing_onnx_package_is_named_with_the_command_that_installs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    path = written(tmp_path, onnx_bytes([3]), "net.onnx")
    for name in [name for name in sys.modules if name.split(".")[0] == "onnx"]:
        monkeypatch.delitem(sys.modules, name)
    ours = "pytest_microtvm.compiler.frontends.onnx."
    for name in [name for name in sys.modules if name.startswith(ours)]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delitem(sys.modules, "tvm.relax.frontend.onnx", raising=False)
    monkeypatch.setitem(sys.modules, "onnx", None)
    message = refusal(path)
    assert "'onnx'" in message
    assert "pip install 'pytest-microtvm[onnx]'" in message


# Relax and the rest.


def double(x: Any) -> Any:
    from tvm.relax import op

    return op.add(x, x)


@pytest.mark.parametrize("content", [b"{}", b"[1]", b"rubbish", b'{"root": 1, "nodes": []}'])
def test_what_is_no_relax_module_is_refused(content: bytes, tmp_path: Path):
    assert "tvm.ir.save_json" in refusal(written(tmp_path, content, "net.json"))


def test_a_saved_relax_module_compiles(tmp_path: Path):
    # Saved beforehand: with apache-tvm-ffi 0.1.15, TVM 0.27 reads such files but crashes on saving.
    native = NativeModel(compile_to_files(Path(__file__).parent / "add_one.json"), tmp_path)
    assert native.library.name == "add_one"
    np.testing.assert_array_equal(native(np.arange(3, dtype=np.float32))[0], [1, 2, 3])


def test_symbolic_shapes_are_refused():
    from tvm import tirx

    size = tirx.Var("n", "int64")
    message = refusal(relax_module(double, ([size, 3], "float32")))
    assert "'x0' has the dynamic dimension n" in message


def test_an_operator_that_needs_a_library_of_the_host_is_named():
    from tvm.relax import op

    message = refusal(relax_module(lambda x: op.sort(x), ([9], "float32")))
    assert "sort" in message
    assert "cannot be compiled for a microcontroller" in message


def test_half_floats_are_refused():
    message = refusal(relax_module(double, ([9], "float16")))
    assert "element type float16" in message


def test_a_module_without_main_is_refused():
    import tvm

    assert "'main'" in refusal(tvm.IRModule({}))


def test_an_unknown_suffix_is_refused_with_the_known_ones(tmp_path: Path):
    message = refusal(written(tmp_path, b"x", "net.bin"))
    assert "name the file by one of .tflite, .onnx, .json," in message
    assert "or install the package that reads it" in message


def test_a_kernel_that_works_in_place_on_an_input_is_refused():
    from tvm import relax
    from tvm.script import from_source

    increment = from_source(
        "@T.prim_func(private=True, s_tir=True)\n"
        "def increment(x: T.Buffer((4,), 'float32')) -> None:\n"
        "    for i in range(4):\n"
        "        with T.sblock('x'):\n"
        "            v_i = T.axis.spatial(4, i)\n"
        "            x[v_i] = x[v_i] + T.float32(1)\n"
    )
    builder = relax.BlockBuilder()
    kernel = builder.add_func(increment, "increment")
    x = relax.Var("x", relax.TensorType([4], "float32"))
    with builder.function("main", [x]):
        with builder.dataflow():
            call = relax.op.call_tir_inplace(kernel, x, [0], x.ty)
            result = builder.emit_output(call)
        builder.emit_func_output(result)
    assert "'increment' would write into an input" in refusal(builder.get())


def test_a_loop_at_run_time_is_refused_by_the_name_of_its_function():
    from tvm import relax

    builder = relax.BlockBuilder()
    tensor = relax.TensorType([4], "float32")
    y = relax.Var("y", tensor)
    with builder.function("step", [y]):
        with builder.dataflow():
            result = builder.emit_output(double(y))
        builder.emit_func_output(result)
    x = relax.Var("x", tensor)
    with builder.function("main", [x]):
        with builder.dataflow():
            result = builder.emit_output(relax.Call(builder.get().get_global_var("step"), [x]))
        builder.emit_func_output(result)
    assert "the function 'step' at run time" in refusal(builder.get())
