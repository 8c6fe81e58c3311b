"""Models that keep a state from run to run: what is kept, where, and in which order it changes."""

from __future__ import annotations

import ctypes
from dataclasses import replace
from pathlib import Path

import flatbuffers
import numpy as np
import pytest
import tflite

from pytest_microtvm.compiler import CompileOptions, compile_to_files
from pytest_microtvm.errors import ModelError
from pytest_microtvm.mlf.library import extract_library, open_library, write_library
from tests.operators.cases import merged
from tests.operators.catalogue import draw
from tests.unit.compiler.native import C99, CXX11, NativeModel, compile_c
from tests.unit.compiler.tflite_models import (
    Model,
    Operator,
    Quantization,
    Tensor,
    add,
    assign_variable,
    call_once,
    exchanged,
    read_variable,
    running_sum,
    var_handle,
)


def native(model: Model, directory: Path, options: CompileOptions | None = None) -> NativeModel:
    directory.mkdir(exist_ok=True)
    path = directory / "stateful.tflite"
    path.write_bytes(model.to_bytes())
    return NativeModel(compile_to_files(path, options), directory)


def steps(count: int) -> list[np.ndarray]:
    return [np.array([i, 2 * i, -i], np.float32) for i in range(1, count + 1)]


def test_a_run_goes_on_where_the_last_one_ended(tmp_path):
    model = native(running_sum(), tmp_path)
    assert [state.tensor.name for state in model.library.states] == ["sum"]
    for _ in range(2):
        assert model.reset() == 0
        expected = np.array([1, 2, 3], np.float32)
        for x in steps(4):
            expected = expected + x
            np.testing.assert_array_equal(model(x)[0], expected)


def test_a_state_is_in_no_memory_that_models_share(tmp_path):
    model = native(running_sum(), tmp_path, CompileOptions(io_in_arena=True))
    header = model.text("tvmgen_stateful.h")
    assert "#define TVMGEN_STATEFUL_STATE_WORKSPACE_POOL_SIZE 16\n" in header
    main = model.library.metadata["modules"]["stateful"]["memory"]["functions"]["main"][0]
    assert main["workspace_pools"]["state"]["size"] == main["state_size_bytes"] == 16
    # Two inputs and outputs of 16 bytes at most; the state would be a third block.
    assert model.library.workspace_bytes <= 32


def test_states_change_places_and_outputs_are_what_was_before(tmp_path):
    model = native(exchanged(), tmp_path)
    assert model.reset() == 0
    a = b = np.zeros(3, np.float32)
    for x in steps(5):
        for output, expected in zip(model(x), (a, b), strict=True):
            np.testing.assert_array_equal(output, expected)
        a, b = b, x + a


def test_what_no_run_changes_is_a_constant(tmp_path):
    model = running_sum()
    model.operators = [o for o in model.operators if o.name != "ASSIGN_VARIABLE"]
    built = native(model, tmp_path)
    assert built.library.states == ()
    for x in steps(2):
        np.testing.assert_array_equal(built(x)[0], x + np.array([1, 2, 3], np.float32))


def test_initialization_that_computes_is_refused(tmp_path):
    begin = Model([Tensor("s", [], "RESOURCE"), Tensor("y", [3])], [var_handle("s", 0)], [1], [])
    begin.operators.append(assign_variable(0, 1))
    model = running_sum()
    model.subgraphs = [begin]
    path = tmp_path / "m.tflite"
    path.write_bytes(model.to_bytes())
    with pytest.raises(ModelError, match="ASSIGN_VARIABLE"):
        compile_to_files(path)


def test_values_of_two_types_are_refused(tmp_path):
    tensors = [
        *(Tensor("x", [3]), Tensor("h", [], "RESOURCE"), Tensor("before", [1])),
        Tensor("after", [3]),
    ]
    operators = [var_handle("s", 1), read_variable(1, 2), add([0, 2], 3), assign_variable(1, 3)]
    path = tmp_path / "m.tflite"
    path.write_bytes(Model(tensors, operators, [0], [3]).to_bytes())
    with pytest.raises(ModelError, match="different types or shapes"):
        compile_to_files(path)


def test_a_value_of_another_scale_is_kept_as_its_integers(tmp_path):
    """As int16x8 models of recurrent layers do: what is assigned is read by another scale."""
    read, sums = Quantization([0.5], [0]), Quantization([1.0], [0])
    initial = Tensor("zero", [3], "INT16", np.zeros(3, np.int16), read)
    model = running_sum()
    model.subgraphs[0].tensors[:] = [
        initial if tensor.data is not None else tensor for tensor in model.subgraphs[0].tensors
    ]
    scales = iter([sums, read, sums])
    model.tensors[:] = [
        replace(tensor, dtype="INT16", quantization=next(scales))
        if tensor.dtype == "FLOAT32"
        else tensor
        for tensor in model.tensors
    ]
    built = native(model, tmp_path)
    assert built.reset() == 0
    kept = np.zeros(3)
    for _ in range(4):
        x = np.array([8, -20, 100], np.int16)
        kept = x + 0.5 * kept
        np.testing.assert_allclose(built(x)[0], kept, atol=1)


def test_a_subgraph_that_is_not_there_is_refused(tmp_path):
    model = running_sum()
    model.operators[0] = call_once(7)
    path = tmp_path / "m.tflite"
    path.write_bytes(model.to_bytes())
    with pytest.raises(ModelError, match="no subgraph 7"):
        compile_to_files(path)


@pytest.mark.parametrize("compiler", [C99, CXX11], ids=["C99", "C++11"])
def test_the_interface_compiles(tmp_path, compiler):
    model = native(running_sum(), tmp_path)
    source = tmp_path / "use.c"
    source.write_text(
        '#include "tvmgen_stateful.h"\n'
        "int32_t use(struct tvmgen_stateful_workspace_pools *pools);\n"
        "int32_t use(struct tvmgen_stateful_workspace_pools *pools) {\n"
        "  return tvmgen_stateful_reset(pools);\n}\n"
    )
    compile_c(compiler, model.root, ["-c", str(source), "-o", str(tmp_path / "use.o")])


# Layers that keep a state in a tensor of the file.


def svdf_options(builder: flatbuffers.Builder) -> int:
    tflite.SVDFOptionsStart(builder)
    tflite.SVDFOptionsAddRank(builder, 2)
    return int(tflite.SVDFOptionsEnd(builder))


SVDF = Operator("SVDF", [0, 1, 2, 3, 4], [5], ("SVDFOptions", svdf_options))
"""4 filters of 3 inputs that remember 3 values each, two by two: 2 outputs."""


@pytest.mark.parametrize(
    ("shape", "message"), [([1, -12], "negative extent"), ([1 << 14, 1 << 14], "elements, more")]
)
def test_a_variable_of_no_possible_size_is_refused(shape: list[int], message: str, tmp_path: Path):
    tensors = [
        Tensor("x", [1, 3]),
        Tensor("features", [4, 3], data=np.zeros((4, 3), np.float32)),
        Tensor("time", [4, 3], data=np.zeros((4, 3), np.float32)),
        Tensor("bias", [2], data=np.zeros(2, np.float32)),
        Tensor("memory", shape, is_variable=True),
        Tensor("y", [1, 2]),
    ]
    path = tmp_path / "net.tflite"
    path.write_bytes(Model(tensors, [SVDF], [0], [5]).to_bytes())
    with pytest.raises(ModelError, match=f"the tensor 'memory' has .*{message}"):
        compile_to_files(path)


def test_filters_over_time_remember_what_they_gave(tmp_path):
    rng = np.random.default_rng(0)
    features, times = (rng.normal(size=shape).astype(np.float32) for shape in ((4, 3), (4, 3)))
    bias = np.array([0.5, -1.0], np.float32)
    tensors = [
        Tensor("x", [1, 3]),
        Tensor("features", [4, 3], data=features),
        Tensor("times", [4, 3], data=times),
        Tensor("bias", [2], data=bias),
        Tensor("memory", [1, 12], is_variable=True),
        Tensor("y", [1, 2]),
    ]
    model = native(Model(tensors, [SVDF], [0], [5]), tmp_path)
    for _ in range(2):
        assert model.reset() == 0
        memory = np.zeros((4, 3), np.float32)
        for x in steps(5):
            memory = np.concatenate([memory[:, 1:], (features @ x)[:, None]], 1)
            expected = (memory * times).sum(1).reshape(2, 2).sum(1) + bias
            np.testing.assert_allclose(model(x[None])[0], [expected], rtol=1e-5)


@pytest.mark.parametrize(("dtype", "zero_point"), [("int16", 0), ("int8", 0), ("int8", 7)])
def test_filters_over_time_are_computed_over_integers(dtype, zero_point, tmp_path):
    rng = np.random.default_rng(1)
    features = rng.integers(-127, 128, (4, 3)).astype(np.int8)
    times = rng.integers(-127, 128, (4, 3)).astype(dtype)
    bias = np.array([300, -200], np.int32)
    memory_scale = 2.0**-7 if dtype == "int8" else 2.0**-10
    tensors = [
        Tensor("x", [1, 3], "INT8", None, Quantization([2.0**-5], [-3])),
        Tensor("features", [4, 3], "INT8", features, Quantization([2.0**-7], [0])),
        Tensor("times", [4, 3], dtype.upper(), times, Quantization([2.0**-7], [0])),
        Tensor("bias", [2], "INT32", bias, Quantization([memory_scale / 128], [0])),
        Tensor("memory", [1, 12], dtype.upper(), None, Quantization([memory_scale], [zero_point]),
               is_variable=True),
        Tensor("y", [1, 2], "INT8", None, Quantization([2.0**-4], [5])),
    ]  # fmt: skip
    model = native(Model(tensors, [SVDF], [0], [5]), tmp_path)
    assert model.library.float_operators is None
    assert model.reset() == 0
    limits = np.iinfo(dtype)
    memory = np.full((4, 3), zero_point, np.int64)
    for _ in range(6):
        x = rng.integers(-128, 128, (1, 3)).astype(np.int8)
        # All scales are powers of two: a factor is a shift to the right, rounded.
        sums = features.astype(np.int64) @ (x[0] + 3)
        newest = np.clip(rounded(sums * 2.0**-12 / memory_scale), limits.min, limits.max)
        memory = np.concatenate([memory[:, 1:], (newest + zero_point)[:, None]], 1)
        memory = memory.astype(dtype).astype(np.int64)
        sums = ((memory - zero_point) * times).sum(1).reshape(2, 2).sum(1) + bias
        expected = np.clip(rounded(sums * memory_scale / 128 * 16) + 5, -128, 127)
        np.testing.assert_array_equal(model(x)[0], [expected])


def rounded(values: np.ndarray) -> np.ndarray:
    return (np.sign(values) * np.floor(np.abs(values) + 0.5)).astype(np.int64)


def lstm_options(builder: flatbuffers.Builder) -> int:
    tflite.UnidirectionalSequenceLSTMOptionsStart(builder)
    tanh = tflite.ActivationFunctionType.TANH
    tflite.UnidirectionalSequenceLSTMOptionsAddFusedActivationFunction(builder, tanh)
    tflite.UnidirectionalSequenceLSTMOptionsAddCellClip(builder, 0.75)
    return int(tflite.UnidirectionalSequenceLSTMOptionsEnd(builder))


@pytest.mark.parametrize("begin", [None, 0.5], ids=["zero", "float16"])
def test_an_lstm_goes_on_from_the_states_of_the_last_run(tmp_path, begin):
    """4 steps of 3 inputs, 2 units; the cell is clipped.

    Converters let the states of float16 models begin as constants that are dequantized.
    """
    rng = np.random.default_rng(2)
    weights = [rng.normal(size=(2, 3)).astype(np.float32) for _ in range(4)]
    recurrent = [rng.normal(size=(2, 2)).astype(np.float32) for _ in range(4)]
    biases = [rng.normal(size=2).astype(np.float32) for _ in range(4)]
    arrays = [*weights, *recurrent, *biases]
    tensors = [
        Tensor("x", [1, 4, 3]),
        *(Tensor(f"w{i}", list(a.shape), data=a) for i, a in enumerate(arrays)),
        Tensor("hidden", [1, 2], is_variable=True),
        Tensor("cell", [1, 2], is_variable=True),
        Tensor("y", [1, 4, 2]),
    ]
    absent = [-1] * 3
    inputs = [0, *range(1, 9), *absent, *range(9, 13), -1, -1, 13, 14, *absent, -1]
    options = ("UnidirectionalSequenceLSTMOptions", lstm_options)
    layer = Operator("UNIDIRECTIONAL_SEQUENCE_LSTM", inputs, [15], options)
    steps = [layer]
    if begin is not None:
        tensors.append(Tensor("half", [1, 2], "FLOAT16", np.full((1, 2), begin, np.float16)))
        steps = [*(Operator("DEQUANTIZE", [16], [state]) for state in (13, 14)), layer]
    model = native(Model(tensors, steps, [0], [15]), tmp_path)
    assert model.reset() == 0
    h = c = np.full(2, begin or 0.0)
    for _ in range(3):
        x = rng.normal(size=(1, 4, 3)).astype(np.float32)
        expected = []
        for step in x[0]:
            gates = zip(weights, recurrent, biases, strict=True)
            into, forget, new, out = (w @ step + r @ h + b for w, r, b in gates)
            c = np.clip(sigmoid(forget) * c + sigmoid(into) * np.tanh(new), -0.75, 0.75)
            h = sigmoid(out) * np.tanh(c)
            expected.append(h)
        np.testing.assert_allclose(model(x)[0], [expected], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("tensor", "quantization", "message"),
    [
        ("cell", Quantization([0.0007], [0]), "no power of two"),
        ("hidden", None, "no single scale"),
        ("inside", None, "no single scale"),
        ("weights", Quantization([0.01], [3]), "a gate lacks weights"),
    ],
)
def test_an_lstm_of_integers_is_never_computed_as_floats(
    tensor: str, quantization: Quantization | None, message: str, tmp_path: Path
):
    """TFLite computes it over integers alone; what it ignores there, real numbers would not."""
    case = next(each for each in draw(20, 0, ("lstm",)) if each.tensors[0].dtype == "INT8")
    [layer] = case.operators
    assert layer.intermediates
    places = {"cell": 19, "hidden": 18, "weights": 2}
    index = layer.intermediates[4] if tensor == "inside" else layer.inputs[places[tensor]]
    case.tensors[index] = replace(case.tensors[index], quantization=quantization)
    path = tmp_path / "lstm.tflite"
    path.write_bytes(merged([case]).to_bytes())
    with pytest.raises(ModelError, match=message):
        compile_to_files(path)


def sigmoid(values: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-values))


def test_two_models_in_one_program_keep_their_states_apart(tmp_path):
    """They take turns in one arena; what each remembers is its own."""
    sources, libraries = [], []
    for name in ("first", "second"):
        files = compile_to_files(written(running_sum(), tmp_path), CompileOptions(name=name))
        write_library(tmp_path / f"{name}.tar", files)
        libraries.append(open_library(tmp_path / f"{name}.tar"))
        extract_library(tmp_path / f"{name}.tar", tmp_path / name)
        for part in (0, 1):
            sources.append(str(tmp_path / name / f"codegen/host/src/{name}_lib{part}.c"))
    objects = [f"{source}.o" for source in sources]
    for source, made in zip(sources, objects, strict=True):
        root = Path(source).parents[3]
        compile_c([*C99, "-fPIC", "-c"], root, [source, "-o", made])
    compile_c(["gcc", "-shared"], tmp_path, [*objects, "-o", str(tmp_path / "both.so")])
    both = ctypes.CDLL(str(tmp_path / "both.so"))
    arena = np.zeros(max(library.workspace_bytes for library in libraries) + 16, np.uint8)
    states = {library.name: np.full(64, 0x5A, np.uint8) for library in libraries}

    def call(name: str, function: str, *arrays: np.ndarray) -> None:
        pools = (ctypes.c_void_p * 2)(arena.ctypes.data, states[name].ctypes.data)
        structs = [ctypes.byref(ctypes.c_void_p(array.ctypes.data)) for array in arrays]
        assert getattr(both, f"tvmgen_{name}_{function}")(*structs, pools) == 0

    totals = {name: np.array([1, 2, 3], np.float32) for name in states}
    for name in states:
        call(name, "reset")
    for number, name in enumerate(["first", "second", "second", "first", "second", "first"]):
        x, result = np.full(3, number, np.float32), np.zeros(3, np.float32)
        call(name, "run", x, result)
        totals[name] += x
        np.testing.assert_array_equal(result, totals[name])
    call("first", "reset")
    x, result = np.zeros(3, np.float32), np.zeros(3, np.float32)
    call("second", "run", x, result)
    np.testing.assert_array_equal(result, totals["second"])


def written(model: Model, directory: Path) -> Path:
    path = directory / "model.tflite"
    path.write_bytes(model.to_bytes())
    return path
