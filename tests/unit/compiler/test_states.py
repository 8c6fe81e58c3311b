"""Models that keep a state from run to run: what is kept, where, and in which order it changes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pytest_microtvm.compiler import CompileOptions, compile_to_files
from pytest_microtvm.errors import ModelError
from tests.unit.compiler.native import C99, CXX11, NativeModel, compile_c
from tests.unit.compiler.tflite_models import (
    Model,
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
    with pytest.raises(ModelError, match="different types, shapes or scales"):
        compile_to_files(path)


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
