"""Operators of classical machine learning (ai.onnx.ml), as those of the standard."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from onnx import TensorProto, numpy_helper

from pytest_microtvm.compiler.frontends.onnx.graph import Array, Builder, Rewrite

_COMPARISONS = {
    "BRANCH_LEQ": ("Less", np.inf),
    "BRANCH_LT": ("Less", None),
    "BRANCH_GTE": ("Greater", -np.inf),
    "BRANCH_GT": ("Greater", None),
}
"""What sends an element to the branch that is called the true one: a comparison with the threshold,
or with the next number in a direction. All versions of ONNX have these two."""


_REDUCTIONS = {
    "AVERAGE": "ReduceMean",
    "MAX": "ReduceMax",
    "MIN": "ReduceMin",
    "SUM": "ReduceSum",
}
"""What becomes of the numbers of all trees."""


@dataclass(frozen=True)
class _Trees:
    """Trees as rows of tables, one for each node; a leaf goes on to itself.

    Args:
        roots: The row of each tree's first node.
        features: By row, the feature that is compared.
        thresholds: By row, what it is compared with.
        branches: By row, where to go if so, and where to if not.
        is_missing_true: By row, whether what is no number goes where it is so.
        comparison: The operator.
        depth: The most steps from a root to a leaf.
        weights: By row and result, what a leaf adds.
    """

    roots: Array
    features: Array
    thresholds: Array
    branches: tuple[Array, Array]
    is_missing_true: Array
    comparison: str
    depth: int
    weights: Array

    def scores(self, builder: Builder) -> str:
        """The weights of the leaves that each row of the input comes to, by tree."""
        source = builder.node.input[0]
        rows, columns = builder.graph.shape(source) or (1, 1)
        flat = builder.reshape(source, (rows * columns,))
        starts = builder.constant(np.arange(rows, dtype=np.int32)[:, None] * columns)
        place = builder.constant(np.broadcast_to(self.roots, (rows, len(self.roots))).copy())
        tables = [self.features, self.thresholds, *self.branches]
        features, thresholds, so, not_so = map(builder.constant, tables)
        for _ in range(self.depth):
            feature = builder.op("Gather", features, place)
            value = builder.op("Gather", flat, builder.op("Add", feature, starts))
            goes = builder.op(self.comparison, value, builder.op("Gather", thresholds, place))
            if self.is_missing_true.any():
                missing = builder.constant(self.is_missing_true)
                is_sent = builder.op("Gather", missing, place)
                is_sent = builder.op("And", builder.op("IsNaN", value), is_sent)
                goes = builder.op("Or", goes, is_sent)
            ways = (builder.op("Gather", table, place) for table in (so, not_so))
            place = builder.op("Where", goes, *ways)
        return builder.op("Gather", builder.constant(self.weights), place)


def _trees(builder: Builder, leaves: str, results: int) -> _Trees | None:
    """The trees of a node; None where their branches are of several kinds.

    Args:
        builder: Of the node.
        leaves: How the attributes of leaves begin: "class" or "target".
        results: How many numbers a leaf may add to.
    """
    kinds = list(map(_text, _list(builder, "nodes_modes")))
    found = {kind for kind in kinds if kind != "LEAF"}
    if len(found) > 1 or not found <= set(_COMPARISONS):
        return None
    trees, nodes = _list(builder, "nodes_treeids"), _list(builder, "nodes_nodeids")
    rows = {key: row for row, key in enumerate(zip(trees, nodes, strict=True))}
    itself = np.arange(len(kinds))
    is_leaf = np.array([kind == "LEAF" for kind in kinds])
    branches = []
    for name in ("nodes_truenodeids", "nodes_falsenodeids"):
        given = zip(trees, _list(builder, name), is_leaf, itself, strict=True)
        branches.append(
            np.array([row if leaf else rows.get((tree, to), -1) for tree, to, leaf, row in given])
        )
    roots = np.array([trees.index(tree) for tree in dict.fromkeys(trees)])
    depth, places = 0, roots
    while not is_leaf[places].all():
        depth += 1
        places = np.unique(np.concatenate([branch[places] for branch in branches]))
        if depth > len(kinds) or places.min() < 0:
            return None
    weights = np.zeros((len(kinds), results), np.float32)
    for tree, node, result, weight in zip(
        *(_list(builder, f"{leaves}_{name}") for name in ("treeids", "nodeids", "ids", "weights")),
        strict=True,
    ):
        weights[rows[tree, node], result] += np.float32(weight)
    missing = _list(builder, "nodes_missing_value_tracks_true") or [0] * len(kinds)
    operator, direction = _COMPARISONS[found.pop()] if found else ("Less", None)
    thresholds = np.array(_list(builder, "nodes_values"), np.float32)
    if direction is not None:
        thresholds = np.nextafter(thresholds, np.float32(direction))
    return _Trees(
        roots.astype(np.int32),
        np.where(is_leaf, 0, _list(builder, "nodes_featureids")).astype(np.int32),
        thresholds,
        (branches[0].astype(np.int32), branches[1].astype(np.int32)),
        np.array(missing, bool) & ~is_leaf,
        operator,
        depth,
        weights,
    )


def _list(builder: Builder, name: str) -> list[Any]:
    """An attribute that is a list, or a tensor in its place."""
    tensor = builder.attribute(f"{name}_as_tensor")
    if tensor is not None:
        values: list[Any] = numpy_helper.to_array(tensor).tolist()
        return values
    return list(builder.attribute(name, []))


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _is_floats(builder: Builder) -> bool:
    """Whether the input is a table of float32, row by row."""
    source = builder.node.input[0]
    shape = builder.graph.shape(source)
    return (
        builder.graph.dtype(source) == TensorProto.FLOAT and shape is not None and len(shape) == 2
    )


def _tree_regressor(builder: Builder) -> bool:
    results = int(builder.attribute("n_targets", 1))
    function = _text(builder.attribute("aggregate_function", "SUM"))
    if not _is_floats(builder) or _text(builder.attribute("post_transform", "NONE")) != "NONE":
        return False
    trees = _trees(builder, "target", results)
    reduction = {
        "SUM": "ReduceSum",
        "AVERAGE": "ReduceMean",
        "MIN": "ReduceMin",
        "MAX": "ReduceMax",
    }
    if trees is None or function not in reduction:
        return False
    total = builder.reduce(reduction[function], trees.scores(builder), [1], 0)
    builder.result(_with_offsets(builder, total, "base_values"))
    return True


def _with_offsets(builder: Builder, total: str, name: str) -> str:
    """A result and the numbers of an attribute, where that is given."""
    offsets = _list(builder, name)
    if not offsets:
        return total
    return builder.op("Add", total, builder.constant(np.array(offsets, np.float32)))


def _tree_classifier(builder: Builder) -> bool:
    labels = _list(builder, "classlabels_int64s")
    classes = _list(builder, "class_ids")
    if not labels or not classes or not _is_floats(builder):
        return False
    trees = _trees(builder, "class", len(labels))
    transform = _text(builder.attribute("post_transform", "NONE"))
    if trees is None or transform not in ("NONE", "LOGISTIC", "SOFTMAX"):
        return False
    total = builder.reduce("ReduceSum", trees.scores(builder), [1], 0)
    if len(labels) == 2 and len(set(classes)) == 1:
        return _of_two(builder, total, classes[0], labels, transform)
    _classified(builder, _with_offsets(builder, total, "base_values"), labels, transform)
    return True


def _of_two(builder: Builder, total: str, place: int, labels: list[int], transform: str) -> bool:
    """Two classes by the score of one of them."""
    if place or transform == "SOFTMAX" or len(_list(builder, "base_values")) > 1:
        return False
    score = _with_offsets(builder, builder.slice(total, 1, 0, 1), "base_values")
    is_share = all(weight >= 0 for weight in _list(builder, "class_weights"))
    if is_share:
        other = builder.op("Sub", builder.constant(np.float32(1)), score)
    else:
        other = builder.op("Neg", score)
        if transform == "LOGISTIC":
            score, other = (builder.op("Sigmoid", each) for each in (score, other))
    middle = 0.5 if is_share or transform == "LOGISTIC" else 0.0
    is_second = builder.op("Greater", score, builder.constant(np.float32(middle)))
    ends = (builder.constant(np.array(label, np.int64)) for label in labels[::-1])
    rows = builder.graph.shape(builder.node.input[0]) or ()
    builder.result(builder.reshape(builder.op("Where", is_second, *ends), rows[:1]))
    builder.result(builder.op("Concat", other, score, axis=1), 1)
    return True


def _classified(builder: Builder, scores: str, labels: list[int], transform: str) -> None:
    """The label of the greatest score, and what becomes of the scores."""
    greatest = builder.op("ArgMax", scores, axis=1, keepdims=0)
    known = builder.constant(np.array(labels, np.int64))
    builder.result(builder.op("Gather", known, greatest))
    if transform == "SOFTMAX":
        scores = builder.op("Softmax", scores, axis=1)
    elif transform == "LOGISTIC":
        scores = builder.op("Sigmoid", scores)
    builder.result(scores, 1)


def _linear(builder: Builder, results: int) -> str:
    """A product with coefficients, and intercepts."""
    weights = np.array(_list(builder, "coefficients"), np.float32).reshape(results, -1).T
    total = builder.op("MatMul", builder.node.input[0], builder.constant(weights.copy()))
    offsets = _list(builder, "intercepts")
    return (
        builder.op("Add", total, builder.constant(np.array(offsets, np.float32)))
        if offsets
        else total
    )


def _linear_regressor(builder: Builder) -> bool:
    if not _is_floats(builder) or _text(builder.attribute("post_transform", "NONE")) != "NONE":
        return False
    builder.result(_linear(builder, int(builder.attribute("targets", 1))))
    return True


def _linear_classifier(builder: Builder) -> bool:
    labels = _list(builder, "classlabels_ints")
    transform = _text(builder.attribute("post_transform", "NONE"))
    shape = builder.graph.shape(builder.node.input[0])
    if not labels or not _is_floats(builder) or transform not in ("NONE", "LOGISTIC", "SOFTMAX"):
        return False
    if len(_list(builder, "coefficients")) != len(labels) * (shape or (0, 0))[1]:
        return False
    _classified(builder, _linear(builder, len(labels)), labels, transform)
    return True


def _scaler(builder: Builder) -> bool:
    if builder.graph.dtype(builder.node.input[0]) != TensorProto.FLOAT:
        return False
    offset, scale = (
        builder.constant(np.array(_list(builder, name), np.float32)) for name in ("offset", "scale")
    )
    builder.result(builder.op("Mul", builder.op("Sub", builder.node.input[0], offset), scale))
    return True


def _normalizer(builder: Builder) -> bool:
    powers = {"L1": 1, "L2": 2}
    norm = _text(builder.attribute("norm", "MAX"))
    if norm not in powers or not _is_floats(builder):
        return False
    builder.result(builder.op("LpNormalization", builder.node.input[0], axis=1, p=powers[norm]))
    return True


def _binarizer(builder: Builder) -> bool:
    if builder.graph.dtype(builder.node.input[0]) != TensorProto.FLOAT:
        return False
    limit = builder.constant(np.float32(builder.attribute("threshold", 0.0)))
    is_above = builder.op("Greater", builder.node.input[0], limit)
    builder.result(builder.cast(is_above, TensorProto.FLOAT))
    return True


def _features(builder: Builder) -> bool:
    shape = builder.graph.shape(builder.node.input[0])
    if not shape:
        return False
    source, places = builder.node.input
    count = builder.graph.shape(places)
    if count is None:
        return False
    flat = builder.reshape(places, (int(np.prod(count)),))
    taken = builder.op("Gather", source, flat, axis=len(shape) - 1)
    builder.result(builder.reshape(taken, (*(shape[:-1] or (1,)), int(np.prod(count)))))
    return True


REWRITES: dict[str, Rewrite] = {
    "ArrayFeatureExtractor": _features,
    "Binarizer": _binarizer,
    "LinearClassifier": _linear_classifier,
    "LinearRegressor": _linear_regressor,
    "Normalizer": _normalizer,
    "Scaler": _scaler,
    "TreeEnsembleClassifier": _tree_classifier,
    "TreeEnsembleRegressor": _tree_regressor,
}
