"""Metrics of data sets, against their definitions."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from pytest_microtvm.errors import ConfigError
from pytest_microtvm.verify.scores import score

RANDOM = np.random.RandomState(7)


def test_accuracy_and_top5() -> None:
    outputs = np.array([[1, 9, 3], [7, 2, 7], [0, 0, 1]], np.int8)
    assert score("accuracy", outputs, np.array([1, 0, 0])) == pytest.approx(2 / 3)
    # Of equal outputs the first counts, as for argmax.
    assert score("accuracy", outputs, np.array([1, 2, 2])) == pytest.approx(2 / 3)
    many = RANDOM.randint(-20, 20, (200, 10)).astype(np.int8)
    labels = RANDOM.randint(0, 10, 200)
    order = np.argsort(-many.astype(int), axis=1, kind="stable")[:, :5]
    expected = np.mean([label in best for label, best in zip(labels, order, strict=True)])
    assert score("top5", many, labels) == pytest.approx(expected)


@pytest.mark.parametrize("columns", [1, 2])
def test_auc_is_the_share_of_pairs_in_order(columns: int) -> None:
    outputs = RANDOM.randint(-9, 9, (60, columns)).astype(np.int8)
    labels = RANDOM.randint(0, 2, 60)
    right = outputs[labels == 1, -1].astype(int)
    wrong = outputs[labels == 0, -1].astype(int)
    pairs = [(a > b) + (a == b) / 2 for a, b in itertools.product(right, wrong)]
    assert score("auc", outputs, labels) == pytest.approx(np.mean(pairs))


def test_mse() -> None:
    outputs = np.array([[[1.0, 2.0]], [[3.0, 5.0]]], np.float32)
    assert score("mse", outputs, np.array([[1, 0], [3, 1]])) == pytest.approx((4 + 16) / 4)


@pytest.mark.parametrize(
    ("metric", "outputs", "labels", "message"),
    [
        ("f1", (4, 2), [0, 1, 0, 1], "unknown metric 'f1'"),
        ("accuracy", (4, 2), [0, 1, 0], r"shape \(3,\) for 4 samples"),
        ("accuracy", (4, 2), [0.0, 1.0, 0.0, 1.0], "labels of dtype float64"),
        ("accuracy", (4, 2), [0, 1, 0, 2], "labels from 0 to 2, the model has 2 classes"),
        ("top5", (4, 2), [0, -1, 0, 1], "labels from -1 to 1"),
        ("auc", (4, 3), [0, 1, 0, 1], "auc is for two classes"),
        ("auc", (4, 2), [1, 1, 1, 1], "at least one sample of each"),
        ("auc", (4, 2), [0, 2, 1, 1], "auc takes labels 0 and 1"),
        ("mse", (4, 2), [0, 1, 0, 1], r"labels of shape \(4,\)"),
    ],
)
def test_what_does_not_go_together_is_told(
    metric: str, outputs: tuple[int, ...], labels: list[float], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        score(metric, np.zeros(outputs, np.int8), np.array(labels))
