"""Trees and linear models, as scikit-learn's are converted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from onnx import helper

from pytest_microtvm.compiler.frontends.onnx import import_onnx
from pytest_microtvm.errors import ModelError
from tests.unit.compiler.onnx.comparing import agree, floats, made, node

NODES: dict[str, Any] = {
    "nodes_treeids": [0, 0, 0, 1, 1, 1, 1, 1],
    "nodes_nodeids": [0, 1, 2, 0, 1, 2, 3, 4],
    "nodes_featureids": [2, 0, 0, 0, 1, 0, 0, 0],
    "nodes_values": [0.1, 0, 0, -0.3, 0.5, 0, 0, 0],
    "nodes_modes": [
        "BRANCH_LEQ",
        "LEAF",
        "LEAF",
        "BRANCH_LEQ",
        "BRANCH_LEQ",
        "LEAF",
        "LEAF",
        "LEAF",
    ],
    "nodes_truenodeids": [1, 0, 0, 1, 3, 0, 0, 0],
    "nodes_falsenodeids": [2, 0, 0, 2, 4, 0, 0, 0],
}
"""Two trees of three features; all leaves are of them: two of the first, three of the second."""
LEAVES = {"treeids": [0, 0, 1, 1, 1], "nodeids": [1, 2, 2, 3, 4]}


def model_of(operator: str, outputs: str, opset: int = 17, **attributes: Any) -> Any:
    nodes = [node(operator, "x", outputs, domain="ai.onnx.ml", **attributes)]
    model = made(nodes, {"x": ("FLOAT", [40, 3])}, outputs, opset=opset)
    model.opset_import.append(helper.make_opsetid("ai.onnx.ml", 3))
    return model


def alike(model: Any, folder: Path) -> None:
    """Compare with onnxruntime, at thresholds and for what is no number, too."""
    source = floats(40, 3)
    source[:3] = [[-0.3, 0.5, 0.1], [np.nan, 0, np.nan], [0, np.nan, 0]]
    session = onnxruntime.InferenceSession(model.SerializeToString())
    agree(model, folder, [source], expected=session.run(None, {"x": source}))


@pytest.mark.parametrize(("function", "opset"), [("SUM", 9), ("AVERAGE", 17)])
def test_trees_that_give_numbers(function: str, opset: int, tmp_path: Path):
    leaves: dict[str, Any] = {f"target_{name}": values for name, values in LEAVES.items()}
    leaves |= {"target_ids": [0, 1, 0, 1, 1], "target_weights": [0.5, 1.5, -2.0, 3.0, 0.25]}
    attributes: dict[str, Any] = {"n_targets": 2, "aggregate_function": function}
    if function == "AVERAGE":
        leaves["target_ids"] = [0, 0, 0, 0, 0]
        attributes |= {"n_targets": 1, "base_values": [0.125]}
    alike(model_of("TreeEnsembleRegressor", "y", opset, **NODES, **leaves, **attributes), tmp_path)


@pytest.mark.parametrize(
    ("labels", "classes", "weights", "transform"),
    [
        ([3, 5, 9], [0, 1, 2, 0, 1], [0.5, 0.25, 0.75, 0.1, 0.3], "SOFTMAX"),
        ([0, 1], [0, 0, 0, 0, 0], [0.4, 0.05, 0.5, 0.1, 0.3], "NONE"),
        ([7, 2], [0, 0, 0, 0, 0], [0.5, -1.0, 0.75, -0.1, 0.3], "LOGISTIC"),
    ],
)
def test_trees_that_give_labels(
    labels: list[int], classes: list[int], weights: list[float], transform: str, tmp_path: Path
):
    leaves: dict[str, Any] = {f"class_{name}": values for name, values in LEAVES.items()}
    attributes: dict[str, Any] = {
        "class_ids": classes,
        "class_weights": weights,
        "classlabels_int64s": labels,
        "post_transform": transform,
    }
    alike(model_of("TreeEnsembleClassifier", "y scores", **NODES, **leaves, **attributes), tmp_path)


def test_linear_models_behind_scaled_features(tmp_path: Path):
    weights = floats(9, seed=1).tolist()
    nodes = [
        node("Scaler", "x", "scaled", domain="ai.onnx.ml", offset=[1.0, 2, 3], scale=[0.5, 1, 2]),
        node("Normalizer", "scaled", "unit", domain="ai.onnx.ml", norm="L2"),
        node(
            "LinearClassifier",
            "unit",
            "y scores",
            domain="ai.onnx.ml",
            coefficients=weights,
            intercepts=[0.1, 0.2, 0.3],
            classlabels_ints=[4, 2, 8],
            post_transform="SOFTMAX",
        ),
    ]
    model = made(nodes, {"x": ("FLOAT", [5, 3])}, "y scores", opset=13)
    model.opset_import.append(helper.make_opsetid("ai.onnx.ml", 3))
    source = floats(5, 3)
    session = onnxruntime.InferenceSession(model.SerializeToString())
    agree(model, tmp_path, [source], expected=session.run(None, {"x": source}))


def test_maps_are_refused_with_the_option_that_leaves_them_out():
    model = model_of("ZipMap", "y", classlabels_int64s=[0, 1, 2])
    with pytest.raises(ModelError, match=r"ZipMap \(it makes maps.*'zipmap': False"):
        import_onnx(model.SerializeToString())
