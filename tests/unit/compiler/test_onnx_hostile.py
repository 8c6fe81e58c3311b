"""Hostile ONNX models: what names files of this machine, or steps by nothing, is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pytest_microtvm.compiler import CompileOptions, compile_key, compile_to_files
from pytest_microtvm.errors import ModelError
from tests.unit.compiler.native import NativeModel

onnx = pytest.importorskip("onnx", reason="pip install 'pytest-microtvm[onnx]'")

SECRET = "secret.bin"


def external(location: str, marked: bool = True) -> Any:
    """A tensor of 4 floats in another file."""
    tensor = onnx.TensorProto(name="w", data_type=onnx.TensorProto.FLOAT, dims=[4])
    if marked:
        tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=location)
    return tensor


def model() -> Any:
    """y = relu(x)."""
    value = onnx.helper.make_tensor_value_info
    ports = [[value(name, onnx.TensorProto.FLOAT, [4])] for name in "xy"]
    graph = onnx.helper.make_graph([onnx.helper.make_node("Relu", ["x"], ["y"])], "g", *ports)
    return onnx.helper.make_model(graph)


def constant(tensor: Any) -> Any:
    return onnx.helper.make_node("Constant", [], ["w"], value=tensor)


def add_node(found: Any, node: Any) -> None:
    found.graph.node.insert(0, node)


def branches(tensor: Any, depth: int = 1) -> Any:
    """An If whose branches hold the tensor."""
    inner = constant(tensor) if depth == 1 else branches(tensor, depth - 1)
    out = onnx.helper.make_tensor_value_info("w", onnx.TensorProto.FLOAT, [4])
    graph = onnx.helper.make_graph([inner], "branch", [], [out])
    return onnx.helper.make_node("If", ["c"], ["w"], then_branch=graph, else_branch=graph)


def function(tensor: Any) -> Any:
    opset = [onnx.helper.make_opsetid("", 17)]
    return onnx.helper.make_function("local", "f", [], ["w"], [constant(tensor)], opset)


def sparse(tensor: Any) -> Any:
    return onnx.SparseTensorProto(values=tensor, dims=[4])


PLACES: dict[str, Callable[[Any, Any], None]] = {
    "initializer": lambda m, t: m.graph.initializer.append(t),
    "constant": lambda m, t: add_node(m, constant(t)),
    "list of tensors": lambda m, t: add_node(
        m, onnx.helper.make_node("Custom", [], ["w"], values=[t])
    ),
    "subgraph": lambda m, t: add_node(m, branches(t)),
    "subgraph of a subgraph": lambda m, t: add_node(m, branches(t, 3)),
    "sparse initializer": lambda m, t: m.graph.sparse_initializer.append(sparse(t)),
    "sparse constant": lambda m, t: add_node(
        m, onnx.helper.make_node("Constant", [], ["w"], sparse_value=sparse(t))
    ),
    "function": lambda m, t: m.functions.append(function(t)),
    "training": lambda m, t: m.training_info.add().algorithm.initializer.append(t),
}


@pytest.mark.parametrize(
    "location", [SECRET, "etc/passwd", "../../../../etc/passwd", "/etc/passwd"]
)
@pytest.mark.parametrize("place", PLACES)
def test_tensors_in_other_files_are_refused_wherever_they_are(
    place: str, location: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / SECRET).write_bytes(bytes(16))
    found = model()
    PLACES[place](found, external(location))
    path = tmp_path / "net.onnx"
    path.write_bytes(found.SerializeToString())
    with pytest.raises(ModelError, match="the tensor 'w' is stored in another file"):
        compile_to_files(path)


def test_a_tensor_that_names_a_file_without_saying_so_is_refused(tmp_path: Path):
    found = model()
    found.graph.initializer.append(external(SECRET, marked=False))
    (tmp_path / "net.onnx").write_bytes(found.SerializeToString())
    with pytest.raises(ModelError, match="stored in another file"):
        compile_to_files(tmp_path / "net.onnx")


@pytest.mark.parametrize("ending", [".data", "_data"])
def test_weights_are_in_the_file_that_belongs_to_the_model(ending: str, tmp_path: Path):
    """As PyTorch writes them; the key of the cache covers them."""
    path, other = tmp_path / "net.onnx", tmp_path / f"net.onnx{ending}"
    found = model()
    found.graph.node[0].CopyFrom(onnx.helper.make_node("Add", ["x", "w"], ["y"]))
    tensor = external(other.name)
    tensor.external_data.add(key="offset", value="8")
    tensor.external_data.add(key="length", value="16")
    found.graph.initializer.append(tensor)
    path.write_bytes(found.SerializeToString())
    weights = np.array([9, 9, 1, 2, 3, 4], np.float32)
    other.write_bytes(weights.tobytes())
    native = NativeModel(compile_to_files(path), tmp_path)
    np.testing.assert_array_equal(native(np.zeros(4, np.float32))[0], [1, 2, 3, 4])
    key = compile_key(path, CompileOptions())
    other.write_bytes((weights + 1).tobytes())
    assert compile_key(path, CompileOptions()) != key


@pytest.mark.parametrize(
    ("offset", "length", "message"),
    [
        ("0", "17", "is beyond the end of net.onnx.data"),
        ("-4", "16", "is beyond the end"),
        ("9" * 30, "16", "is beyond the end"),
        ("x", "16", "is beyond the end"),
        ("0", "8", "does not hold the elements of its shape"),
    ],
)
def test_weights_that_are_not_in_that_file_are_refused(
    offset: str, length: str, message: str, tmp_path: Path
):
    found = model()
    found.graph.node[0].CopyFrom(onnx.helper.make_node("Add", ["x", "w"], ["y"]))
    tensor = external("net.onnx.data")
    tensor.external_data.add(key="offset", value=offset)
    tensor.external_data.add(key="length", value=length)
    found.graph.initializer.append(tensor)
    (tmp_path / "net.onnx").write_bytes(found.SerializeToString())
    (tmp_path / "net.onnx.data").write_bytes(bytes(16))
    with pytest.raises(ModelError, match=message):
        compile_to_files(tmp_path / "net.onnx")


def test_a_link_is_no_file_of_weights(tmp_path: Path):
    found = model()
    found.graph.initializer.append(external("net.onnx.data"))
    (tmp_path / "net.onnx").write_bytes(found.SerializeToString())
    (tmp_path / SECRET).write_bytes(bytes(16))
    (tmp_path / "net.onnx.data").symlink_to(tmp_path / SECRET)
    with pytest.raises(ModelError, match="is stored in another file"):
        compile_to_files(tmp_path / "net.onnx")


def pooling(**attributes: Any) -> Any:
    """A node that pools 2x2 windows, but for what is given."""
    given = {"kernel_shape": [2, 2], **attributes}
    return onnx.helper.make_node("MaxPool", ["x"], ["y"], **given)


STEPS = {
    "kernel_shape": [0, 2],
    "strides": [1, 0],
    "dilations": [-1, 1],
}


@pytest.mark.parametrize("name", STEPS)
@pytest.mark.parametrize("is_nested", [False, True])
def test_an_operator_that_steps_by_nothing_is_refused(name: str, is_nested: bool, tmp_path: Path):
    node = pooling(**{name: STEPS[name]})
    ports = [
        [onnx.helper.make_tensor_value_info(port, onnx.TensorProto.FLOAT, [1, 1, 4, 4])]
        for port in "xy"
    ]
    if is_nested:
        branch = onnx.helper.make_graph([node], "branch", [], ports[1])
        node = onnx.helper.make_node("If", ["c"], ["y"], then_branch=branch, else_branch=branch)
    path = tmp_path / "net.onnx"
    graph = onnx.helper.make_graph([node], "g", *ports)
    path.write_bytes(onnx.helper.make_model(graph).SerializeToString())
    with pytest.raises(ModelError, match=rf"MaxPool at 'y' has the {name} \[.*, not of 1 or more"):
        compile_to_files(path)


@pytest.mark.parametrize("extent", [-2, -(1 << 40)])
def test_an_input_of_a_negative_extent_is_refused(extent: int, tmp_path: Path):
    found = model()
    found.graph.input[0].type.tensor_type.shape.dim[0].dim_value = extent
    (tmp_path / "net.onnx").write_bytes(found.SerializeToString())
    with pytest.raises(ModelError, match=f"the input 'x' has the extent {extent}"):
        compile_to_files(tmp_path / "net.onnx")


@pytest.mark.parametrize("version", [-(2**63), -1, 0, 999, 2**62])
def test_a_version_of_the_operators_that_is_not_known_is_refused(version: int, tmp_path: Path):
    found = model()
    found.opset_import[0].version = version
    path = tmp_path / "net.onnx"
    path.write_bytes(found.SerializeToString())
    with pytest.raises(ModelError, match=f"version {version} of ONNX's operators"):
        compile_to_files(path)
