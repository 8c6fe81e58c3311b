"""The graph of a model: what it says, and that walking it gives the bytes of the call plan."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pytest_microtvm.compiler import CompileOptions, compile_to_files
from pytest_microtvm.compiler.graph import MAX_ARGUMENTS, build_graph
from pytest_microtvm.compiler.planning import plan_memory
from pytest_microtvm.compiler.program import (
    Kernel,
    KernelCall,
    KernelParameter,
    Port,
    Program,
    Storage,
    StorageKind,
    TensorType,
)
from pytest_microtvm.errors import ModelError
from tests.unit.compiler.graph_walker import GraphWalker
from tests.unit.compiler.native import CXX11, Array, NativeModel, compile_c
from tests.unit.compiler.relax_models import relax_module
from tests.unit.compiler.tflite_models import two_by_two

RANDOM = np.random.default_rng(5)


def network() -> Any:
    """Convolutions with workspaces, a constant used twice, a view, a matrix product."""
    weights = RANDOM.standard_normal((4, 3, 3, 3)).astype(np.float32)
    matrix = RANDOM.standard_normal((4, 5)).astype(np.float32)

    def body(x: Any) -> Any:
        from tvm import relax
        from tvm.relax import op

        y = op.nn.relu(op.nn.conv2d(x, relax.const(weights), padding=1))
        z = op.nn.relu(op.nn.conv2d(x, relax.const(weights), padding=1))
        y = op.reshape(op.nn.adaptive_avg_pool2d(op.add(y, z), (1, 1)), (1, 4))
        y = op.add(op.matmul(y, relax.const(matrix)), op.matmul(op.exp(y), relax.const(matrix)))
        return op.nn.softmax(y)

    return relax_module(body, ([1, 3, 12, 12], "float32"))


def direct() -> Any:
    """Outputs that are inputs, a constant, one value twice, views; unused inputs, scalars."""

    def body(x: Any, scalar: Any, flags: Any, unused: Any) -> Any:
        from tvm import relax
        from tvm.relax import op

        doubled = op.add(x, x)
        return (
            x,
            relax.const(np.arange(6, dtype=np.int64).reshape(2, 3) - 3, "int64"),
            doubled,
            doubled,
            op.reshape(doubled, (6,)),
            op.reshape(x, (3, 2)),
            op.multiply(op.reshape(doubled, (3, 2)), op.reshape(x, (3, 2))),
            op.add(scalar, relax.const(2.0**40, "float64")),
            op.logical_not(flags),
        )

    types = [([2, 3], "float32"), ([], "float64"), ([5], "bool"), ([7], "int16")]
    # The names are those of constants, and what JSON has to escape.
    return relax_module(body, *types, names=["p0", "p1", 'a\\"b', "größe"])


def copies() -> Any:
    """No kernel at all."""
    return relax_module(lambda x, y: (y, x), ([3], "int8"), ([2], "uint16"))


def _function(text: str) -> Any:
    """A TIR function that is not fused with others (pattern 8: opaque)."""
    from tvm.script import from_source

    function = from_source(f"@T.prim_func(private=True, s_tir=True)\n{text}")
    return function.with_attr("op_pattern", 8)


def numbers() -> Any:
    """One kernel that takes a number by value, with two choices of it."""
    from tvm import relax, tirx

    builder = relax.BlockBuilder()
    scale = builder.add_func(
        _function(
            "def scale(x: T.Buffer((4,), 'int32'), factor: T.int32, y: T.Buffer((4,), 'int32')):\n"
            "    for i in range(4):\n"
            "        with T.sblock('y'):\n"
            "            v_i = T.axis.spatial(4, i)\n"
            "            y[v_i] = x[v_i] * factor\n"
        ),
        "scale",
    )
    x = relax.Var("x", relax.TensorType([4], "int32"))
    with builder.function("main", [x]):
        with builder.dataflow():
            y: Any = x
            for factor in (3, -5, 3):
                factor = tirx.IntImm("int32", factor)
                y = builder.emit(relax.op.call_tir(scale, [y, factor], x.ty))
            y = builder.emit_output(y)
        builder.emit_func_output(y)
    return builder.get()


def in_place() -> Any:
    """A kernel that changes a tensor, which is then used and returned."""
    from tvm import relax

    builder = relax.BlockBuilder()
    increment = builder.add_func(
        _function(
            "def increment(x: T.Buffer((4,), 'float32')) -> None:\n"
            "    for i in range(4):\n"
            "        with T.sblock('x'):\n"
            "            v_i = T.axis.spatial(4, i)\n"
            "            x[v_i] = x[v_i] + T.float32(1)\n"
        ),
        "increment",
    )
    x = relax.Var("x", relax.TensorType([4], "float32"))
    with builder.function("main", [x]):
        with builder.dataflow():
            y = builder.emit(relax.op.add(x, x))
            y = builder.emit(relax.op.call_tir_inplace(increment, y, [0], x.ty))
            y = builder.emit(relax.op.call_tir_inplace(increment, y, [0], x.ty))
            z = builder.emit(relax.op.multiply(y, y))
            result = builder.emit_output(relax.Tuple([y, z]))
        builder.emit_func_output(result)
    return builder.get()


MODELS: dict[str, Callable[[], Any]] = {
    "network": network,
    "direct": direct,
    "copies": copies,
    "numbers": numbers,
    "in_place": in_place,
    "two_by_two": lambda: two_by_two().to_bytes(),
}


@pytest.fixture(scope="module", params=MODELS)
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> NativeModel:
    return build(request.param, tmp_path_factory.mktemp(request.param))


def build(name: str, directory: Path) -> NativeModel:
    module = MODELS[name]()
    if isinstance(module, bytes):
        (directory / "model.tflite").write_bytes(module)
        module = directory / "model.tflite"
    return NativeModel(compile_to_files(module, CompileOptions(name="m")), directory)


def random_inputs(model: NativeModel) -> list[Array]:
    return [
        RANDOM.integers(0, 2 if spec.dtype == "bool" else 100, spec.shape).astype(spec.dtype)
        for spec in model.library.inputs
    ]


def test_walking_the_graph_gives_the_bytes_of_the_call_plan(model: NativeModel):
    inputs = random_inputs(model)
    walker = GraphWalker(model)
    for _ in range(2):
        for walked, run in zip(walker(*inputs), model(*inputs), strict=True):
            assert walked.tobytes() == run.tobytes()


def test_the_description_in_c_says_what_the_json_says(model: NativeModel):
    import ctypes

    walker = GraphWalker(model)
    description, document = walker.description, walker.document
    assert ctypes.string_at(description.json, description.json_bytes) == walker.text.encode()
    assert walker.text.isascii()
    assert description.num_nodes == len(document["nodes"])
    assert description.num_entries == len(walker.attribute("dltype"))
    assert description.num_storages == max(walker.attribute("storage_id")) + 1
    calls = [index for index, node in enumerate(document["nodes"]) if node["op"] == "tvm_op"]
    used = {document["nodes"][index]["attrs"]["func_name"] for index in calls}
    assert used - {"__copy"} == set(walker.kernels)
    for index in calls:
        attributes = document["nodes"][index]["attrs"]
        kernel = walker.kernels.get(attributes["func_name"])
        if kernel is None:
            continue
        sizes = [walker.size_bytes(entry) for entry in walker.arguments(index)]
        assert kernel.arg_bytes[: kernel.num_args] == sizes
        assert attributes["num_outputs"] == str(kernel.num_outputs)
    counts = model.library.metadata["modules"]["m"]["graph"]
    assert counts == {
        "nodes": description.num_nodes,
        "entries": description.num_entries,
        "steps": len(calls),
        "arguments": sum(len(walker.arguments(index)) for index in calls),
    }


def test_the_graph_is_as_tvm_has_it(model: NativeModel):
    document = GraphWalker(model).document
    nodes, first = document["nodes"], document["node_row_ptr"]
    count = len(model.library.inputs)
    sources = [index for index, node in enumerate(nodes) if node["op"] == "null"]
    assert document["arg_nodes"] == sources == list(range(len(sources)))
    names = [node["name"] for node in nodes]
    assert names[:count] == [spec.name for spec in model.library.inputs]
    assert len(set(names)) == len(names)
    assert first[: len(sources) + 1] == list(range(len(sources) + 1))
    for index, node in enumerate(nodes):
        assert all(source < index for source, _, _ in node["inputs"])
        if node["op"] == "tvm_op":
            attributes = node["attrs"]
            assert attributes["num_inputs"] == str(len(node["inputs"]))
            assert attributes["num_outputs"] == str(first[index + 1] - first[index])
            assert attributes["flatten_data"] == "0"
            assert all(isinstance(value, str) for value in attributes.values())
    for values in document["attrs"].values():
        assert len(values[1]) == first[-1]


def test_inputs_and_outputs_have_the_models_shapes(model: NativeModel):
    walker = GraphWalker(model)
    heads = [walker.entry(reference) for reference in walker.document["heads"]]
    shapes, dtypes = walker.attribute("shape"), walker.attribute("dltype")
    for entry, spec in [
        *enumerate(model.library.inputs),
        *zip(heads, model.library.outputs, strict=True),
    ]:
        assert (tuple(shapes[entry]), dtypes[entry]) == (spec.shape, spec.dtype)


def test_parameters_have_the_names_of_their_nodes(model: NativeModel):
    import ctypes

    import tvm

    walker = GraphWalker(model)
    parameters = tvm.runtime.load_param_dict(model.file("parameters/m.params"))
    nodes = [walker.document["nodes"][index] for index in walker.document["arg_nodes"]]
    names = [node["name"] for node in nodes[len(model.library.inputs) :]]
    assert sorted(parameters) == sorted(names) == sorted(walker.constants)
    for name, tensor in parameters.items():
        constant = walker.constants[name]
        array = tensor.numpy()
        assert tuple(constant.info.shape[: constant.info.ndim]) == array.shape
        assert ctypes.string_at(constant.data, constant.info.size_bytes) == array.tobytes()
        assert constant.data % 16 == 0


def test_what_lives_at_once_shares_no_bytes_unless_a_kernel_works_in_place(model: NativeModel):
    walker = GraphWalker(model)
    ids, offsets = walker.attribute("storage_id"), walker.attribute("storage_offset")
    nodes = walker.document["nodes"]
    # By storage: the bytes, and the first and last node that uses them.
    lives: dict[int | str, tuple[range, range]] = {}
    for index, node in enumerate(nodes):
        for entry in walker.arguments(index):
            if offsets[entry] >= 0:
                place = range(offsets[entry], offsets[entry] + walker.size_bytes(entry))
                first = lives[ids[entry]][1].start if ids[entry] in lives else index
                lives[ids[entry]] = place, range(first, index + 1)
        attributes = node.get("attrs", {})
        if "workspace_offset" in attributes:
            start = int(attributes["workspace_offset"])
            size_bytes = walker.kernels[attributes["func_name"]].workspace_bytes
            place = range(start, start + size_bytes)
            lives[f"workspace of {index}"] = place, range(index, index + 1)
    for name, (place, life) in lives.items():
        assert place.start % 16 == 0
        assert place.stop <= model.library.workspace_bytes
        for other, (other_place, other_life) in lives.items():
            if name != other and _meet(place, other_place) and _meet(life, other_life):
                # Only where a kernel works in place: one ends where the other begins.
                earlier, later = sorted((life, other_life), key=lambda each: each.start)
                assert place == other_place
                assert later.start == earlier.stop - 1
    sizes = {ids[entry]: walker.size_bytes(entry) for entry in range(len(ids))}
    sids = model.library.metadata["modules"]["m"]["memory"]["sids"]
    assert {sid["storage_id"]: sid["size_bytes"] for sid in sids} == sizes
    bound = [sid["input_binding"] for sid in sids if "input_binding" in sid]
    assert bound == [node["name"] for node in nodes if node["op"] == "null"]


def _meet(one: range, other: range) -> bool:
    return one.start < other.stop and other.start < one.stop


def test_a_call_with_other_numbers_is_another_function(tmp_path: Path):
    model = build("numbers", tmp_path)
    walker = GraphWalker(model)
    functions = [
        node["attrs"]["func_name"] for node in walker.document["nodes"] if node["op"] == "tvm_op"
    ]
    assert functions == ["tvmgen_m_scale", "tvmgen_m_scale_2", "tvmgen_m_scale"]
    x = np.array([1, 2, -3, 0], np.int32)
    np.testing.assert_array_equal(walker(x)[0], x * -45)


def test_a_kernel_in_place_keeps_its_storage_and_may_be_called_with_two_tensors(tmp_path: Path):
    import ctypes

    model = build("in_place", tmp_path)
    walker = GraphWalker(model)
    x = np.arange(4, dtype=np.float32)
    for results in (walker(x), model(x)):
        np.testing.assert_array_equal(results[0], 2 * x + 2)
        np.testing.assert_array_equal(results[1], (2 * x + 2) ** 2)
    kernel = walker.kernels["tvmgen_m_increment"]
    assert (kernel.num_args, kernel.num_outputs) == (2, 1)
    source, target = np.arange(4, dtype=np.float32), np.zeros(4, np.float32)
    pointers = (ctypes.c_void_p * 2)(source.ctypes.data, target.ctypes.data)
    assert kernel.call(pointers, None) == 0
    np.testing.assert_array_equal(source, x)
    np.testing.assert_array_equal(target, x + 1)


# Programs that models do not lead to easily.

VECTOR = TensorType((4,), "int8")


def program(*calls: KernelCall, pointers: int = 2) -> Program:
    parameters = tuple(
        KernelParameter(f"a{i}", "int8", True, i == pointers - 1) for i in range(pointers)
    )
    kernel = Kernel("k", "tvmgen_m_k", parameters, 0, "", frozenset())
    ports = [Port("x", "x", VECTOR)], [Port("y", "y", VECTOR)]
    return Program(*ports, [], list(calls), {"k": kernel})


def test_a_tensor_that_nothing_computes_is_refused():
    wrong = program()
    with pytest.raises(ModelError, match="nothing computes"):
        build_graph(wrong, plan_memory(wrong))


@pytest.mark.parametrize("count", [MAX_ARGUMENTS, MAX_ARGUMENTS + 1])
def test_a_kernel_of_too_many_tensors_is_refused(count: int):
    source, target = Storage(StorageKind.INPUT, 0, VECTOR), Storage(StorageKind.OUTPUT, 0, VECTOR)
    wide = program(KernelCall("k", (*[source] * (count - 1), target)), pointers=count)
    if count == MAX_ARGUMENTS:
        assert build_graph(wide, plan_memory(wide)).num_arguments == count
        return
    with pytest.raises(ModelError, match="256 tensors, more than 255"):
        build_graph(wide, plan_memory(wide))


# What the graph costs; symbols for debuggers, which no device holds, stripped.

SECTIONS = ["-O2", "-s", "-ffunction-sections", "-fdata-sections", "-Wl,--gc-sections"]


def test_a_firmware_that_does_not_use_the_graph_is_the_same_without_it(tmp_path: Path):
    model = build("network", tmp_path)
    program = tmp_path / "main.c"
    program.write_text(
        "#include <microtvm/model.h>\n"
        "extern const MicroTVMModel tvmgen_m_model;\n"
        "int main(void) { return (int)tvmgen_m_model.run(NULL, NULL, NULL); }\n"
    )
    with_graph = [source for source in model.sources if source.endswith(".c")]
    without = [source for source in with_graph if not source.endswith("_graph.c")]
    built = []
    for sources in (with_graph, without):
        arguments = [*sources, str(program), "-lm", "-o", str(tmp_path / "firmware")]
        compile_c(["gcc", "-std=c99", "-include", "stddef.h", *SECTIONS], model.root, arguments)
        built.append((tmp_path / "firmware").read_bytes())
    assert len(with_graph) == len(without) + 1
    assert built[0] == built[1]


@pytest.mark.parametrize("name", ["in_place", "numbers", "copies"])
def test_the_c_of_odd_graphs_is_clean_as_c_plus_plus(name: str, tmp_path: Path):
    model = build(name, tmp_path)
    for source in model.sources:
        compile_c([*CXX11, "-c"], model.root, [source, "-o/dev/null"])
