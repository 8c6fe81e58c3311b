"""How good a model is on a data set: one number from its outputs and what they should be."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pytest_microtvm.errors import ConfigError

Array = NDArray[np.generic]

_TOP = 5


def score(metric: str, outputs: Array, labels: Array) -> float:
    """Score the outputs of a model.

    Args:
        metric: One of `METRICS`. "accuracy" and "top5" are the share of samples whose label is the
            class with the largest output, or among the five; "auc" is the area under the ROC curve
            of two classes; "mse" the mean of squared differences.
        outputs: One row for each sample.
        labels: The number of each sample's class; of the form of `outputs` for "mse".

    Raises:
        ConfigError: There is no such metric, or labels and outputs do not go together.
    """
    if metric not in METRICS:
        raise ConfigError(f"unknown metric {metric!r}", cure=f"metrics: {', '.join(METRICS)}")
    return _SCORES[metric](outputs.reshape(len(outputs), -1), labels)


def _accuracy(outputs: Array, labels: Array) -> float:
    return float(np.mean(outputs.argmax(axis=1) == _classes(outputs, labels)))


def _top5(outputs: Array, labels: Array) -> float:
    wanted = _classes(outputs, labels)
    values: Any = outputs
    # As many places from the top as there are larger outputs, or equal ones of a class before.
    own = np.take_along_axis(values, wanted[:, None], axis=1)
    before = np.arange(outputs.shape[1])[None, :] < wanted[:, None]
    larger = (values > own) | ((values == own) & before)
    return float(np.mean(larger.sum(axis=1) < _TOP))


def _auc(outputs: Array, labels: Array) -> float:
    if outputs.shape[1] > 2:
        raise ConfigError(
            f"auc is for two classes, the model has {outputs.shape[1]} outputs",
            cure="use another metric",
        )
    values: NDArray[np.float64] = outputs[:, -1].astype(np.float64)
    wanted = _integers(outputs, labels)
    positives = int(np.count_nonzero(wanted == 1))
    if positives in (0, len(wanted)) or not np.isin(wanted, (0, 1)).all():
        raise ConfigError("auc takes labels 0 and 1, and at least one sample of each")
    # Ranks from 1; what is equal shares the mean of its ranks.
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    ranks = (last - (counts - 1) / 2)[inverse]
    above = ranks[wanted == 1].sum() - positives * (positives + 1) / 2
    return float(above / (positives * (len(wanted) - positives)))


def _mse(outputs: Array, labels: Array) -> float:
    try:
        wanted = labels.reshape(outputs.shape)
    except ValueError:
        raise ConfigError(
            f"labels of shape {labels.shape} are no outputs of shape {outputs.shape}",
            cure="give one row for each sample",
        ) from None
    difference: Any = outputs.astype(np.float64) - wanted.astype(np.float64)
    return float(np.mean(difference**2))


def _classes(outputs: Array, labels: Array) -> NDArray[np.int64]:
    """The labels as numbers of classes, which have to be there."""
    wanted = _integers(outputs, labels)
    if wanted.min() < 0 or wanted.max() >= outputs.shape[1]:
        raise ConfigError(
            f"labels from {wanted.min()} to {wanted.max()}, the model has {outputs.shape[1]} "
            "classes",
            cure="number classes from 0",
        )
    return wanted


def _integers(outputs: Array, labels: Array) -> NDArray[np.int64]:
    wanted = labels.reshape(-1)
    if wanted.dtype.kind not in "iub" or len(wanted) != len(outputs):
        raise ConfigError(
            f"labels of dtype {labels.dtype} and shape {labels.shape} for {len(outputs)} samples",
            cure="give one whole number for each sample",
        )
    return wanted.astype(np.int64)


_SCORES: dict[str, Callable[[Array, Array], float]] = {
    "accuracy": _accuracy,
    "top5": _top5,
    "auc": _auc,
    "mse": _mse,
}
METRICS = tuple(_SCORES)
