"""A model scored on a data set, without pytest."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from pytest_microtvm.api.environment import Environment, StrPath
from pytest_microtvm.api.models import model_path, plain_shapes
from pytest_microtvm.errors import ConfigError
from pytest_microtvm.executors import EXECUTORS
from pytest_microtvm.flow.evaluation import Evaluation, Samples
from pytest_microtvm.flow.harness_options import HarnessOptions
from pytest_microtvm.flow.model_under_test import ModelUnderTest
from pytest_microtvm.verify.inputs import load_arrays


def evaluate(
    model: Any,
    samples: Samples | StrPath,
    labels: ArrayLike | StrPath,
    *,
    board: str,
    platform: str | None = None,
    executor: str = EXECUTORS[0],
    metric: str = "accuracy",
    output: str | None = None,
    input_shapes: Mapping[str, Sequence[int]] | None = None,
    signature: str | None = None,
    custom_operators: Sequence[StrPath] = (),
    environment: Environment | None = None,
) -> Evaluation:
    """Run a data set on a board and on this computer, and score the outputs of both.

    Args:
        model: As of `check`.
        samples: One array per input by name, with one row for each sample; a bare array for a model
            with one input; or the path of an `.npz` file.
        labels: The number of each sample's class, or for "mse" the outputs that are right; an
            array, or the path of an `.npy` file.
        board: The name of the board.
        platform: The platform that makes its firmware; None for the board's default.
        executor: "aot", "graph" or "host_driven".
        metric: "accuracy", "top5", "auc" or "mse".
        output: The output that is scored; None for the first.
        input_shapes: As of `check`.
        signature: As of `check`.
        custom_operators: As of `check`.
        environment: Where boards, cache and lab are; None for the defaults.

    Returns:
        The scores, whatever they are.

    Raises:
        ConfigError: An argument cannot be used, or does not fit the model.
        MicroTVMError: As of `check`.
        OutputMismatch: The compiled model is not what the model's own interpreter computes.
    """
    environment = environment or Environment()
    target = environment.board(board, platform)
    arrays: Samples = (
        load_arrays(Path(samples)) if isinstance(samples, str | os.PathLike) else samples
    )
    wanted: ArrayLike = (
        _load_labels(Path(labels)) if isinstance(labels, str | os.PathLike) else labels
    )
    options = HarnessOptions(
        timeout_s=environment.timeout_s,
        lease_timeout_s=environment.lease_timeout_s,
        input_shapes=plain_shapes(input_shapes),
        signature=signature,
        custom_operators=tuple(str(Path(file)) for file in custom_operators),
        count_instructions=False,
    )
    with environment.open_harness(options) as harness:
        compile_options = options.compile_options(target)
        path = model_path(model, compile_options, harness.workshop)
        under_test = ModelUnderTest(harness, path, target, executor, environment.log)
        return under_test.evaluate(arrays, wanted, metric, output=output)


def _load_labels(path: Path) -> ArrayLike:
    try:
        with path.open("rb") as file:
            labels = np.load(file, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise ConfigError(
            f"cannot read labels from {path}: {error}", cure="write the file with numpy.save"
        ) from error
    if not isinstance(labels, np.ndarray):
        raise ConfigError(f"{path} holds several arrays", cure="write the labels with numpy.save")
    return labels
