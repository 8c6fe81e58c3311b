"""Inputs and outputs: how many, in which order, under which names, and where their bytes are."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pytest_microtvm.compiler import CompileOptions, compile_to_files
from tests.unit.compiler.native import Array, NativeModel, compile_c
from tests.unit.compiler.relax_models import relax_module
from tests.unit.compiler.tflite_models import Model, Tensor, add, two_by_two


def build_tflite(model: Model, directory: Path, name: str = "m") -> NativeModel:
    path = directory / "model.tflite"
    path.write_bytes(model.to_bytes())
    return NativeModel(compile_to_files(path, CompileOptions(name=name)), directory)


def test_several_inputs_and_outputs_keep_their_order_and_names(tmp_path: Path):
    model = build_tflite(two_by_two(), tmp_path)
    a = np.arange(6, dtype=np.float32).reshape(2, 3)
    total, product = model(a, a + 1)
    np.testing.assert_array_equal(total, a + a + 1)
    np.testing.assert_array_equal(product, a * (a + 1))
    assert [tensor.name for tensor in model.library.inputs] == ["a:0", "b:0"]
    assert [tensor.name for tensor in model.library.outputs] == ["sum", "product"]
    assert [tensor.c_name for tensor in model.library.inputs] == ["a_0", "b_0"]


def test_outputs_in_another_order_than_they_are_made(tmp_path: Path):
    swapped = two_by_two()
    swapped.inputs, swapped.outputs = [1, 0], [3, 2]
    model = build_tflite(swapped, tmp_path)
    a = np.full((2, 3), 5, np.float32)
    product, total = model(a, a)
    assert (product[0, 0], total[0, 0]) == (25, 10)
    assert [tensor.name for tensor in model.library.inputs] == ["b:0", "a:0"]


def test_names_of_the_signature_are_kept_beside_the_tensors_own(tmp_path: Path):
    signed = two_by_two()
    signed.signature = {0: "left", 1: "right", 2: "total", 3: "scores"}
    library = build_tflite(signed, tmp_path).library
    names = [(tensor.name, tensor.signature_name) for tensor in library.inputs + library.outputs]
    assert names == [("a:0", "left"), ("b:0", "right"), ("sum", "total"), ("product", "scores")]


def test_tensors_that_share_a_name_are_not_mixed_up(tmp_path: Path):
    tensors = [Tensor("x", [2]), Tensor("x", [2]), Tensor("x", [2]), Tensor("", [2])]
    model = Model(tensors, [add([0, 1], 2), add([2, 0], 3)], [0, 1], [3, 2])
    native = build_tflite(model, tmp_path)
    a, b = np.array([1, 2], np.float32), np.array([10, 20], np.float32)
    second, first = native(a, b)
    np.testing.assert_array_equal(first, a + b)
    np.testing.assert_array_equal(second, a + b + a)
    assert [tensor.name for tensor in native.library.inputs] == ["x", "x_2"]
    assert len({t.c_name for t in native.library.inputs + native.library.outputs}) == 4


NAMES = [
    "int",
    "für elise",
    "für/elise",
    "温度",
    "class",
    "*/ #include <x>",
    "WORKSPACE",
    'a\\\n"b',
]


@pytest.fixture(scope="module")
def odd_names(tmp_path_factory: pytest.TempPathFactory) -> NativeModel:
    """A sum of tensors whose names no C compiler would take."""
    count = len(NAMES)
    tensors = [Tensor(name, [2]) for name in NAMES] + [Tensor(f"s{i}", [2]) for i in range(count)]
    operators = [add([i, i if i == 0 else count + i - 1], count + i) for i in range(count)]
    model = Model(tensors, operators, list(range(count)), [2 * count - 1, count])
    return build_tflite(model, tmp_path_factory.mktemp("names"), "int")


def test_odd_names_become_distinct_identifiers(odd_names: NativeModel):
    inputs = odd_names.library.inputs
    assert [tensor.name for tensor in inputs] == NAMES
    assert [tensor.c_name for tensor in inputs] == [
        "int_0",
        "fur_elise",
        "fur_elise_2",
        "input",
        "class_0",
        "include_x",
        "WORKSPACE_2",
        "a_b",
    ]
    arrays = [np.full(2, 10.0**i, np.float32) for i in range(len(NAMES))]
    np.testing.assert_array_equal(odd_names(*arrays)[0], 11111112)


def test_every_macro_has_its_twin_in_the_metadata(odd_names: NativeModel):
    library = odd_names.library
    header = odd_names.text("tvmgen_int.h")
    macros = dict(re.findall(r"#define (\w+) (\d+)", header))
    module = library.metadata["modules"]["int"]
    main = module["memory"]["functions"]["main"][0]
    twins = {e["macro"]: e["size"] for e in (*main["inputs"].values(), *main["outputs"].values())}
    pool = main["workspace_pools"]["workspace"]
    twins[pool["macro"]] = pool["size"]
    twins["TVMGEN_INT_WORKSPACE_SIZE"] = main["workspace_size_bytes"]
    twins |= {f"TVMGEN_INT_GRAPH_{key.upper()}": count for key, count in module["graph"].items()}
    assert {name: int(size) for name, size in macros.items()} == twins
    assert main["io_size_bytes"] == sum(t.size_bytes for t in library.inputs + library.outputs)


def test_the_descriptor_says_what_the_metadata_says(odd_names: NativeModel, tmp_path: Path):
    program = tmp_path / "print.c"
    program.write_text(
        "#include <microtvm/model.h>\n#include <stdio.h>\n"
        "extern const MicroTVMModel tvmgen_int_model;\n"
        "int main(void) {\n"
        "  const MicroTVMModel *m = &tvmgen_int_model;\n"
        '  printf("%s %d", m->name, (int)m->workspace_bytes);\n'
        "  for (uint32_t i = 0; i < m->num_inputs; ++i) {\n"
        "    const MicroTVMTensorInfo *t = &m->inputs[i];\n"
        '    printf("\\n\\n%s|%d|%d|%d|%d|%d", t->name, (int)t->size_bytes, t->ndim,\n'
        "        t->dtype_code, t->dtype_bits, (int)t->shape[0]);\n  }\n  return 0;\n}\n"
    )
    built = tmp_path / "print"
    arguments = [*odd_names.sources, str(program), "-lm", "-o", str(built)]
    compile_c(["gcc", "-std=c99"], odd_names.root, arguments)
    printed = subprocess.run([built], capture_output=True, check=True).stdout.decode()
    head, *tensors = printed.split("\n\n")
    assert head == f"int {odd_names.library.workspace_bytes}"
    assert tensors == [f"{name}|8|1|2|32|2" for name in NAMES]


@pytest.fixture(scope="module")
def direct(tmp_path_factory: pytest.TempPathFactory) -> NativeModel:
    """Outputs that are an input, a constant, one value twice, a view; scalars and 64 bits."""

    def body(x: Any, scalar: Any, flags: Any) -> Any:
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
            op.add(scalar, relax.const(2.0**40, "float64")),
            op.logical_not(flags),
        )

    module = relax_module(
        body, ([2, 3], "float32"), ([], "float64"), ([5], "bool"), names=["x", "x", "flags"]
    )
    files = compile_to_files(module, CompileOptions(name="direct"))
    return NativeModel(files, tmp_path_factory.mktemp("direct"))


def test_outputs_that_no_kernel_makes_are_copied(direct: NativeModel):
    x = np.arange(6, dtype=np.float32).reshape(2, 3)
    flags = np.array([True, False, True, True, False])
    results = direct(x, np.array(0.5), flags)
    expected: list[Array] = [
        x,
        np.arange(6).reshape(2, 3) - 3,
        x + x,
        x + x,
        (x + x).ravel(),
        x.reshape(3, 2),
        np.array(2.0**40 + 0.5),
        ~flags,
    ]
    for result, want in zip(results, expected, strict=True):
        assert (result.shape, result.dtype) == (want.shape, want.dtype)
        np.testing.assert_array_equal(result, want)


def test_unnamed_outputs_are_numbered(direct: NativeModel):
    assert [tensor.name for tensor in direct.library.outputs] == [f"output_{i}" for i in range(8)]
    assert [tensor.name for tensor in direct.library.inputs] == ["x", "x_2", "flags"]


def test_a_null_pointer_is_an_error_not_a_crash(direct: NativeModel):
    import ctypes

    library = ctypes.CDLL(str(direct.root.parent / "model.so"))
    run = library.tvmgen_direct_run
    nothing = (ctypes.c_void_p * 8)()
    assert run(None, nothing, nothing) == -1
    assert run(nothing, nothing, nothing) == -1


def test_an_onnx_model_keeps_its_names_and_takes_initializers_as_constants(tmp_path: Path):
    from onnx import TensorProto, helper, numpy_helper

    matrix = np.arange(6, dtype=np.float32).reshape(3, 2)
    graph = helper.make_graph(
        [
            helper.make_node("MatMul", ["in:0", "w"], ["h"]),
            helper.make_node("Relu", ["h"], ["o.1"]),
        ],
        "graph",
        [
            helper.make_tensor_value_info("in:0", TensorProto.FLOAT, [2, 3]),
            helper.make_tensor_value_info("w", TensorProto.FLOAT, [3, 2]),
        ],
        [
            helper.make_tensor_value_info("o.1", TensorProto.FLOAT, [2, 2]),
            helper.make_tensor_value_info("h", TensorProto.FLOAT, [2, 2]),
        ],
        [numpy_helper.from_array(matrix, "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path = tmp_path / "model.onnx"
    path.write_bytes(model.SerializeToString())
    native = NativeModel(compile_to_files(path), tmp_path)
    x = np.array([[1, -2, 0.5], [-1, 0, -1]], np.float32)
    relu, product = native(x)
    np.testing.assert_allclose(product, x @ matrix, rtol=1e-6)
    np.testing.assert_array_equal(relu, np.maximum(product, 0))
    assert [tensor.name for tensor in native.library.inputs] == ["in:0"]
    assert [tensor.c_name for tensor in native.library.outputs] == ["o_1", "h"]
