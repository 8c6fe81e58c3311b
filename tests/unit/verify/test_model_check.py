"""A compiled model beside its own interpreter: what is equal, what is near, which layer differs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import flatbuffers
import numpy as np
import pytest
import tflite as schema

from pytest_microtvm.compiler import compile_to_files
from pytest_microtvm.deadline import Deadline
from pytest_microtvm.errors import ConfigError, ModelError
from pytest_microtvm.forks import Program
from pytest_microtvm.mlf.library import ModelLibrary, TensorSpec
from pytest_microtvm.verify import interpreters
from pytest_microtvm.verify.compare import Tolerance
from pytest_microtvm.verify.inputs import Tensors
from pytest_microtvm.verify.interpreters import (
    Interpreted,
    InterpretedLayer,
    require_interpreter,
    run_interpreter,
)
from pytest_microtvm.verify.model_check import (
    EXACT,
    NOT_CHECKED,
    WITHIN,
    ModelCheck,
    compare_model,
    first_layer,
)
from tests.unit.compiler.native import NativeModel
from tests.unit.compiler.tflite_models import Model, Operator, Quantization, Tensor, fully_connected

TIMEOUT_S = 120.0


def check(
    compiled: Any, expected: Any, *, in_float: bool = False, step: float = 0.0, **about: Any
) -> ModelCheck:
    given: dict[str, Any] = {"is_optimized": False, "hybrid": (), **about}
    interpreted = Interpreted("an interpreter", {"y": np.asarray(expected)}, steps=(step,), **given)
    return compare_model({"y": np.asarray(compiled)}, interpreted, Tolerance(), in_float=in_float)


def int8(*values: int) -> Any:
    return np.array(values, np.int8)


def float32(*values: float) -> Any:
    return np.array(values, np.float32)


def test_equal_outputs_are_exact():
    assert check(int8(1, -128), int8(1, -128)).status == EXACT
    assert check(float32(0.5, np.nan), float32(0.5, np.nan)).status == EXACT


def test_other_kernels_than_the_reference_are_told():
    assert check(int8(1), int8(1), is_optimized=True).notes == ("held to an interpreter",)
    assert check(int8(1), int8(1)).notes == ()


def test_integers_have_to_be_equal():
    found = check(int8(1, 2, 3), int8(1, 2, 4))
    assert (found.status, found.differs) == ("differs by 1", True)
    assert "    [2] compiled 3, interpreter 4" in found.notes


@pytest.mark.parametrize("about", [{"in_float": True}, {"is_optimized": True}])
def test_integers_computed_in_floats_may_be_one_step_off(about: dict[str, bool]):
    assert check(int8(1, 2), int8(1, 3), **about).status == WITHIN
    assert check(int8(1, 2), int8(1, 4), **about).status == "differs by 2"
    wide = check(np.array([2**62]), np.array([2**62 + 1]), **about)
    assert wide.status == WITHIN
    wide = check(np.array([2**62]), np.array([-(2**62)]), **about)
    assert wide.differs


def test_floats_have_a_tolerance_of_the_largest_value():
    assert check(float32(1e-4, 100.0), float32(2e-4, 100.0)).status == WITHIN
    assert check(float32(0.0, 99.0), float32(0.0, 100.0)).status == "differs by 1"
    assert check(float32(1e-4), float32(2e-4)).differs


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
def test_what_is_no_number_is_wrong(wrong: float):
    assert check(float32(wrong), float32(1.0)).status == "differs by inf"
    assert check(float32(1.0), float32(wrong)).status == "differs by inf"


def test_what_overflows_is_infinity_or_the_largest_number():
    largest = float(np.finfo(np.float32).max)
    assert check(float32(np.inf, -largest), float32(largest, -np.inf)).status == EXACT
    assert check(float32(np.inf), float32(-largest)).differs
    assert check(float32(np.inf), float32(0.99 * largest)).differs
    assert check(float32(np.nan), float32(largest)).differs


def test_a_float_behind_a_quantized_tensor_may_be_one_step_off():
    assert check(float32(0.5), float32(0.25), in_float=True, step=0.25).status == WITHIN
    assert check(float32(0.75), float32(0.25), in_float=True, step=0.25).differs
    assert check(float32(0.5), float32(0.25), step=0.25).differs


def test_what_an_interpreter_rounds_as_it_runs_is_not_checked():
    found = check(float32(0.5), float32(0.7), hybrid=("FULLY_CONNECTED",))
    assert found.status == NOT_CHECKED
    assert "FULLY_CONNECTED" in found.notes[0]


def test_floats_of_16_bits_are_held_to_a_hundredth():
    expected = float32(np.inf, 100.0, 0.5)  # what is beyond 65504 is infinity to halves
    assert check(float32(7e4, 100.9, 0.2), expected, is_half=True).status == WITHIN
    assert check(float32(7e4, 101.1, 0.5), expected, is_half=True).differs
    assert check(float32(6e4, 100.0, 0.5), expected, is_half=True).differs


def test_what_grew_from_layers_that_are_rounded_otherwise_tells_nothing():
    def rough(compiled: int, **about: Any) -> ModelCheck:
        return check(int8(compiled), int8(0), is_optimized=True, **about)

    assert rough(1, is_rough=True).status == WITHIN
    grown = rough(16, is_rough=True)
    assert grown.status == NOT_CHECKED
    assert "to a difference of 16" in grown.notes[0]
    assert rough(17, is_rough=True).differs
    assert rough(2).differs
    steps = check(float32(0.5), float32(0), is_optimized=True, is_rough=True, step=0.1)
    assert steps.status == NOT_CHECKED


# The first layer that differs.


def layer(kind: str, inputs: tuple[int, ...], *outputs: Any) -> InterpretedLayer:
    return InterpretedLayer(kind, kind.lower(), inputs, outputs)


LAYERS = (
    layer("CONV", (), int8(1, 2, 3, 4)),
    layer("RELU", (0,), int8(1, 2, 3, 5)),
    layer("POOL", (1,), int8(3, 5)),
    layer("DENSE", (2,), int8(7)),
)


def blame(*compiled: Any, one_step: bool = False) -> str | None:
    return first_layer(LAYERS, compiled, one_step=one_step)


def test_the_first_layer_whose_values_are_nowhere_is_named():
    conv, relu, pool, dense = (each.outputs[0] for each in LAYERS)
    assert blame(conv, relu, pool, dense) is None
    assert blame(conv, relu, pool, int8(9)) == "DENSE 'dense'"
    assert blame(conv, relu, int8(3, 9), int8(9)) == "POOL 'pool'"
    assert blame(int8(0, 0, 0, 0), int8(0, 0, 0, 0), int8(3, 9), int8(9)) == "CONV 'conv'"


def test_layers_that_became_one_kernel_are_not_to_blame():
    _, relu, pool, _ = (each.outputs[0] for each in LAYERS)
    assert blame(relu, pool, int8(9)) == "DENSE 'dense'"
    assert blame(pool, int8(9)) == "DENSE 'dense'"


def test_a_layer_without_its_dead_channels_is_the_same_layer():
    conv, dense = int8(1, 9, 2, 9, 3, 9).reshape(1, 3, 2), int8(7).reshape(1, 1)
    layers = (layer("CONV", (), conv), layer("RELU", (0,), conv + 1), layer("DENSE", (1,), dense))

    def blamed(*compiled: Any, one_step: bool = False) -> str | None:
        return first_layer(layers, compiled, one_step=one_step)

    living = conv[..., :1]
    assert blamed(living, living + 1, dense) is None
    assert blamed(living, living + 1, dense + 1) == "DENSE 'dense'"
    wrong = living[:, ::-1] + 1
    assert blamed(living, wrong, dense + 1) == "RELU 'relu'"
    assert blamed(living, living + 2, dense + 5) == "RELU 'relu'"
    assert blamed(living, living + 2, dense + 5, one_step=True) == "DENSE 'dense'"
    layers = (layer("CONV", (), np.moveaxis(conv, -1, 1)), layers[1], layers[2])
    assert blamed(living, living + 1, dense + 1) == "DENSE 'dense'"


def test_another_order_of_the_elements_is_the_same_layer():
    conv, relu, pool, _ = (each.outputs[0] for each in LAYERS)
    assert blame(conv[::-1].reshape(2, 2), relu, pool, int8(9)) == "DENSE 'dense'"


def test_one_step_is_the_same_layer_where_it_is_allowed():
    conv, relu, pool, dense = (each.outputs[0] for each in LAYERS)
    assert blame(conv, relu, pool, dense + 1) == "DENSE 'dense'"
    assert blame(conv, relu, pool, dense + 1, one_step=True) is None


# The interpreters.


def dense_model(weights: Any, dtype: str = "FLOAT32") -> Model:
    quantization = Quantization([0.5], [0]) if dtype == "INT8" else None
    tensors = [
        Tensor("x", [1, 3], dtype, quantization=quantization),
        Tensor("w", [4, 3], dtype, data=weights, quantization=quantization),
        Tensor("y", [1, 4], dtype, quantization=quantization),
    ]
    return Model(tensors, [fully_connected([0, 1], 2)], [0], [2])


def spec(name: str, shape: tuple[int, ...]) -> TensorSpec:
    return TensorSpec(name, shape, "float32", 4 * int(np.prod(shape)))


def interpret(
    model: Path,
    layers: bool = False,
    outputs: Any = None,
    timeout_s: float = TIMEOUT_S,
    dtype: str = "float32",
) -> Interpreted:
    inputs: Tensors = {"x": np.array([[1, -2, 3]], dtype)}
    library = dense_library(outputs)
    return run_interpreter(model, library, inputs, Deadline(timeout_s), layers=layers)


def program(folder: Path, script: str) -> Program:
    """Another program in the interpreter's place."""
    path = folder / "program.py"
    path.write_text(script)
    return Program(str(path))


def dense_library(outputs: Any = None) -> ModelLibrary:
    given, made = (spec("x", (1, 3)),), tuple(outputs or [spec("y", (1, 4))])
    about: dict[str, Any] = {"modules": {"m": {}}}
    return ModelLibrary(Path("m.tar"), "m", given, made, 0, 0, ("aot",), "", about)


WEIGHTS = np.arange(12, dtype=np.float32).reshape(4, 3)


@pytest.fixture
def tflite(tmp_path: Path) -> Path:
    pytest.importorskip("ai_edge_litert", reason="pip install 'pytest-microtvm[litert]'")
    path = tmp_path / "net.tflite"
    path.write_bytes(dense_model(WEIGHTS).to_bytes())
    return path


def test_litert_runs_operators_that_it_has_no_reference_kernel_of(tmp_path: Path):
    pytest.importorskip("ai_edge_litert", reason="pip install 'pytest-microtvm[litert]'")
    path = tmp_path / "elu.tflite"
    tensors = [Tensor("x", [1, 3]), Tensor("y", [1, 3])]
    path.write_bytes(Model(tensors, [Operator("ELU", [0], [1])], [0], [1]).to_bytes())
    found = interpret(path, outputs=[spec("y", (1, 3))])
    expected = np.array([[1.0, np.expm1(-2.0), 3.0]], np.float32)
    assert np.abs(np.asarray(found.outputs["y"], np.float32) - expected).max() < 1e-6
    assert found.is_optimized
    assert "no reference kernel" in found.title


@pytest.mark.parametrize("dtype", ["int8", "int16"])
def test_litert_is_not_asked_what_its_reference_kernels_get_wrong(dtype: str, tmp_path: Path):
    pytest.importorskip("ai_edge_litert", reason="pip install 'pytest-microtvm[litert]'")
    scale = Quantization([0.5], [0])
    tensors = [
        Tensor("x", [1, 3], dtype.upper(), None, scale),
        Tensor("axis", [], "INT32", np.array(1, np.int32)),
        Tensor("y", [1], dtype.upper(), None, scale),
    ]
    path = tmp_path / "sum.tflite"
    path.write_bytes(Model(tensors, [Operator("SUM", [0, 1], [2])], [0], [2]).to_bytes())
    sums = TensorSpec("y", (1,), dtype, np.dtype(dtype).itemsize)
    found = interpret(path, outputs=[sums], dtype=dtype)
    assert found.outputs["y"].tolist() == [2]
    assert f"its reference kernels get SUM of {dtype} wrong" in found.title


def test_litert_runs_a_model_and_tells_its_layers(tflite: Path):
    found = interpret(tflite, layers=True)
    assert "LiteRT" in found.title
    assert (found.hybrid, found.is_optimized) == ((), False)
    assert found.outputs["y"].tolist() == [[4, 10, 16, 22]]
    [only] = found.layers
    assert (only.kind, only.name, only.inputs) == ("FULLY_CONNECTED", "y", ())
    np.testing.assert_array_equal(only.outputs[0], found.outputs["y"])


def test_onnxruntime_runs_a_model_and_tells_its_layers(tmp_path: Path):
    pytest.importorskip("onnxruntime", reason="pip install 'pytest-microtvm[onnxruntime]'")
    onnx = pytest.importorskip("onnx", reason="pip install 'pytest-microtvm[onnx]'")
    value = onnx.helper.make_tensor_value_info
    nodes = [
        onnx.helper.make_node("MatMul", ["x", "w"], ["p"], name="product"),
        onnx.helper.make_node("Relu", ["p"], ["y"]),
    ]
    graph = onnx.helper.make_graph(
        nodes,
        "g",
        [value("x", 1, [1, 3])],
        [value("y", 1, [1, 4])],
        [onnx.numpy_helper.from_array(np.ascontiguousarray(WEIGHTS.T), "w")],
    )
    opsets = [onnx.helper.make_opsetid("", 17)]
    path = tmp_path / "net.onnx"
    path.write_bytes(
        onnx.helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString()
    )
    found = interpret(path, layers=True)
    assert found.outputs["y"].tolist() == [[4, 10, 16, 22]]
    assert [(each.kind, each.name, each.inputs) for each in found.layers] == [
        ("MatMul", "product", ()),
        ("Relu", "y", (0,)),
    ]


def test_onnxruntime_is_given_floats_of_16_bits_where_the_file_has_them(tmp_path: Path):
    pytest.importorskip("onnxruntime", reason="pip install 'pytest-microtvm[onnxruntime]'")
    onnx = pytest.importorskip("onnx", reason="pip install 'pytest-microtvm[onnx]'")
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("Neg", ["x"], ["y"])],
        "g",
        *([onnx.helper.make_tensor_value_info(name, 10, [1, 3])] for name in "xy"),
    )
    opsets = [onnx.helper.make_opsetid("", 17)]
    path = tmp_path / "net.onnx"
    path.write_bytes(
        onnx.helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString()
    )
    found = interpret(path, outputs=[spec("y", (1, 3))])
    assert (found.outputs["y"].tolist(), found.is_half) == ([[-1, 2, -3]], True)


def test_floats_of_16_bits_inside_of_an_onnx_model_are_seen(tmp_path: Path):
    pytest.importorskip("onnxruntime", reason="pip install 'pytest-microtvm[onnxruntime]'")
    onnx = pytest.importorskip("onnx", reason="pip install 'pytest-microtvm[onnx]'")
    nodes = [
        onnx.helper.make_node("Cast", ["x"], ["half"], to=onnx.TensorProto.FLOAT16),
        onnx.helper.make_node("Cast", ["half"], ["y"], to=onnx.TensorProto.FLOAT),
    ]
    ports = ([onnx.helper.make_tensor_value_info(name, 1, [1, 3])] for name in "xy")
    graph = onnx.helper.make_graph(nodes, "g", *ports)
    opsets = [onnx.helper.make_opsetid("", 17)]
    path = tmp_path / "net.onnx"
    path.write_bytes(
        onnx.helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString()
    )
    assert interpret(path, outputs=[spec("y", (1, 3))]).is_half


def test_what_an_interpreter_cannot_run_is_one_line(tflite: Path):
    tflite.write_bytes(tflite.read_bytes()[:200])
    with pytest.raises(ModelError, match=r"LiteRT cannot run net\.tflite: ") as caught:
        interpret(tflite)
    assert len(str(caught.value).splitlines()) == 1


def test_a_state_that_litert_would_write_beyond_is_told_and_not_run(tmp_path: Path):
    def integers(dtype: str, shape: list[int], **more: Any) -> Tensor:
        halves = Quantization([0.5], [0])
        return Tensor(f"{dtype}{shape}", shape, dtype, quantization=halves, **more)

    tensors = [
        integers("INT8", [1, 3]),
        integers("INT8", [2, 3], data=np.ones((2, 3), np.int8)),
        integers("INT8", [2, 4], data=np.ones((2, 4), np.int8)),
        integers("INT32", [2], data=np.zeros(2, np.int32)),
        integers("INT8", [1, 8], is_variable=True),
        integers("INT8", [1, 2]),
    ]
    operator = Operator("SVDF", [0, 1, 2, 3, 4], [5], ("SVDFOptions", svdf_options))
    path = tmp_path / "net.tflite"
    path.write_bytes(Model(tensors, [operator], [0], [5]).to_bytes())
    with pytest.raises(ModelError, match="takes a state of int8, as TFLite Micro has it"):
        interpret(path)


@pytest.mark.parametrize("is_said", [False, True])
def test_a_bias_that_litert_would_read_beyond_is_told(is_said: bool, tmp_path: Path):
    """TensorFlow Lite Micro goes by the type of the bias, as the compiled model does."""

    def options(builder: flatbuffers.Builder) -> int:
        schema.FullyConnectedOptionsStart(builder)
        if is_said:
            kind = schema.TensorType.INT32
            schema.FullyConnectedOptionsAddQuantizedBiasType(builder, kind)
        return int(schema.FullyConnectedOptionsEnd(builder))

    def known(scale: float) -> Quantization:
        return Quantization([scale], [0])

    weights, bias = np.array([[3, -2], [5, 7]], np.int8), np.array([40, -400], np.int32)
    tensors = [
        Tensor("x", [1, 2], "INT16", quantization=known(0.5)),
        Tensor("w", [2, 2], "INT8", data=weights, quantization=known(0.5)),
        Tensor("b", [2], "INT32", data=bias, quantization=known(0.25)),
        Tensor("y", [1, 2], "INT16", quantization=known(1.0)),
    ]
    layer = Operator("FULLY_CONNECTED", [0, 1, 2], [3], ("FullyConnectedOptions", options))
    path = tmp_path / "net.tflite"
    path.write_bytes(Model(tensors, [layer], [0], [3]).to_bytes())
    with pytest.raises(ModelError) as caught:  # where it is said, of inputs of another type
        interpret(path)
    told = "its FULLY_CONNECTED takes a bias of int32 for one of int64" in caught.value.message
    assert told != is_said
    [found] = NativeModel(compile_to_files(path), tmp_path)(np.array([[400, -100]], np.int16))
    np.testing.assert_array_equal(found, [[360, 225]])


def test_what_litert_leaves_at_zero_is_told_and_not_compared(tmp_path: Path):
    """The compiled model computes it, which LiteRT does in none of its kernels."""
    halves, ones = Quantization([0.5], [0]), Quantization([1.0], [0])
    weights = np.array([[3, -2], [5, 7]], np.int8)
    tensors = [
        Tensor("x", [1, 2], "INT16", quantization=halves),
        Tensor("w", [2, 2], "INT8", data=weights, quantization=halves),
        Tensor("y", [1, 2], "INT16", quantization=ones),
    ]
    path = tmp_path / "net.tflite"
    path.write_bytes(Model(tensors, [Operator("BATCH_MATMUL", [0, 1], [2])], [0], [2]).to_bytes())
    with pytest.raises(ModelError, match="its BATCH_MATMUL of int16 with int8 gives zeros"):
        interpret(path)
    [found] = NativeModel(compile_to_files(path), tmp_path)(np.array([[400, -100]], np.int16))
    np.testing.assert_array_equal(found, [[175, -375]])


def svdf_options(builder: flatbuffers.Builder) -> int:
    schema.SVDFOptionsStart(builder)
    schema.SVDFOptionsAddRank(builder, 1)
    return int(schema.SVDFOptionsEnd(builder))


def test_other_outputs_than_the_models_are_refused(tflite: Path):
    with pytest.raises(ModelError, match="the output 'y' is float32"):
        interpret(tflite, outputs=[spec("y", (1, 5))])


def test_an_interpreter_that_takes_too_long_is_ended(tflite: Path):
    with pytest.raises(ModelError, match="took longer than"):
        interpret(tflite, timeout_s=0.01)


def test_a_run_goes_on_beside_its_caller_and_ends_with_it(
    tflite: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(interpreters, "CHILD", program(tmp_path, "import time; time.sleep(60)"))
    inputs: Tensors = {"x": np.zeros((1, 3), np.float32)}
    with interpreters.InterpreterRun(tflite, dense_library(), inputs, Deadline(TIMEOUT_S)) as run:
        assert run._child.poll() is None
    assert run._child.poll() is not None


def test_a_crash_of_an_interpreter_is_told(
    tflite: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    crash = program(tmp_path, "import os; os.kill(os.getpid(), 11)")
    monkeypatch.setattr(interpreters, "CHILD", crash)
    with pytest.raises(ModelError, match="it ended by signal SIGSEGV"):
        interpret(tflite)


@pytest.mark.parametrize(
    ("reference", "file", "kind"),
    [
        ("litert", "net.onnx", "TFLite model"),
        ("onnxruntime", "net.pt2", "ONNX model"),
        ("torch", "net.tflite", r"program of torch\.export"),
    ],
)
def test_a_reference_needs_a_model_of_its_format(reference: str, file: str, kind: str):
    with pytest.raises(ConfigError, match=f"is no {kind}, which the reference {reference} needs"):
        require_interpreter(Path(file), reference)
