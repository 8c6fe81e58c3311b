"""A data set in the batches that a model takes."""

from __future__ import annotations

import numpy as np
import pytest

from pytest_microtvm.errors import ConfigError
from pytest_microtvm.flow.evaluation import evaluate
from pytest_microtvm.mlf.library import TensorSpec
from pytest_microtvm.verify.inputs import Tensors


def specs(shape: tuple[int, ...]) -> tuple[TensorSpec, TensorSpec]:
    return (
        TensorSpec("x", shape, "float32", 4 * int(np.prod(shape)), signature_name="input"),
        TensorSpec("y", shape, "float32", 4 * int(np.prod(shape))),
    )


@pytest.mark.parametrize(
    ("shape", "samples", "runs"),
    [((1, 3), (7, 3), 7), ((3,), (7, 3), 7), ((4, 3), (7, 3), 2), ((3, 2), (5, 3, 2), 5)],
)
def test_each_sample_is_run_and_scored(
    shape: tuple[int, ...], samples: tuple[int, ...], runs: int
) -> None:
    given = np.random.RandomState(1).standard_normal(samples).astype(np.float32)
    seen: list[tuple[int, ...]] = []

    def device(inputs: Tensors) -> Tensors:
        seen.append(inputs["x"].shape)
        return {"y": inputs["x"] * 2}

    def host(inputs: Tensors) -> Tensors:
        outputs = inputs["x"] * 2
        outputs[inputs["x"] == given.reshape(-1)[-1]] = 0
        return {"y": outputs}

    x, y = specs(shape)
    found = evaluate([x], {"input": given}, 2 * given, "mse", y, (device, host), lambda line: None)
    assert seen == [shape] * runs
    assert (found.samples, found.device, found.differing) == (samples[0], 0.0, 1)
    assert found.host > 0


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        ({"z": np.zeros((2, 3))}, "'x' is missing"),
        ({"x": np.zeros((2, 4))}, r"has shape \(2, 4\), the model takes \(1, 3\)"),
        ({"x": np.zeros((0, 3))}, "the numbers of rows are"),
        ({"x": np.float32(1)}, r"has shape \(\)"),
    ],
)
def test_samples_that_do_not_fit_are_told(samples: object, message: str) -> None:
    x, y = specs((1, 3))
    never = (lambda inputs: inputs, lambda inputs: inputs)
    with pytest.raises(ConfigError, match=message):
        evaluate([x], samples, np.zeros(2), "mse", y, never, print)  # type: ignore[arg-type]
