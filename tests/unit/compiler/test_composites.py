"""Operators that are a name for a subgraph, as converters from PyTorch and JAX write them."""

from __future__ import annotations

from pathlib import Path

import flatbuffers
import numpy as np
import pytest
import tflite
from flatbuffers import flexbuffers

from pytest_microtvm.compiler import compile_to_files
from pytest_microtvm.errors import ModelError
from tests.operators.running import run_litert
from tests.unit.compiler.native import NativeModel
from tests.unit.compiler.tflite_models import Model, Operator, Tensor, add, mul


def composite(subgraph: int, inputs: list[int], outputs: list[int]) -> Operator:
    def options(builder: flatbuffers.Builder) -> int:
        name = builder.CreateString("odml.sum_of_product")
        attributes = builder.CreateByteVector(bytes(flexbuffers.Dumps({"epsilon": 0.5})))
        tflite.StableHLOCompositeOptionsStart(builder)
        tflite.StableHLOCompositeOptionsAddName(builder, name)
        tflite.StableHLOCompositeOptionsAddDecompositionSubgraphIndex(builder, subgraph)
        tflite.StableHLOCompositeOptionsAddCompositeAttributes(builder, attributes)
        tflite.StableHLOCompositeOptionsAddVersion(builder, 2)
        return int(tflite.StableHLOCompositeOptionsEnd(builder))

    name = "StableHLOCompositeOptions"
    return Operator("STABLEHLO_COMPOSITE", inputs, outputs, (name, options))


def twice(step: Operator) -> Model:
    """(x, k) -> step(step(x, k), k) with k known, where a step is x * k and then `step`."""
    tensors = [Tensor(name, [3]) for name in ("x", "k", "product", "y")]
    inner = Model(tensors, [mul([0, 1], 2), step], [0, 1], [3])
    known = np.array([2, -1, 0.5], np.float32)
    outer = [Tensor("x", [3]), Tensor("k", [3], data=known), Tensor("one", [3]), Tensor("two", [3])]
    steps = [composite(1, [0, 1], [2]), composite(1, [2, 1], [3])]
    return Model(outer, steps, [0], [3, 2], subgraphs=[inner])


def native(model: Model, directory: Path) -> NativeModel:
    (directory / "m.tflite").write_bytes(model.to_bytes())
    return NativeModel(compile_to_files(directory / "m.tflite"), directory)


def test_what_a_name_stands_for_is_computed_in_its_place(tmp_path):
    model = twice(add([2, 0], 3))
    x = np.array([3, 5, -7], np.float32)
    two, one = native(model, tmp_path)(x)
    k = np.array([2, -1, 0.5], np.float32)
    np.testing.assert_array_equal(one, x * k + x)
    np.testing.assert_array_equal(two, one * k + one)
    pytest.importorskip("ai_edge_litert", reason="pip install 'pytest-microtvm[litert]'")
    [expected] = run_litert(model.to_bytes(), [[x]])
    np.testing.assert_array_equal([two, one], expected)


def test_what_it_stands_for_is_refused_by_its_own_name(tmp_path):
    with pytest.raises(ModelError, match="BITCAST") as caught:
        native(twice(Operator("BITCAST", [2], [3])), tmp_path)
    assert "STABLEHLO_COMPOSITE" not in caught.value.message


def test_a_name_for_itself_is_refused(tmp_path):
    with pytest.raises(ModelError, match="the subgraph 1 runs itself"):
        native(twice(composite(1, [2, 0], [3])), tmp_path)
