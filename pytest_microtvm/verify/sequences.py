"""Sequences of inputs, for models that keep a state from run to run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from numpy.typing import ArrayLike, NDArray

from pytest_microtvm.errors import ConfigError
from pytest_microtvm.mlf.library import TensorSpec
from pytest_microtvm.verify.inputs import (
    Tensors,
    load_arrays,
    make_inputs,
    named_arrays,
    with_dtype,
)

SEQUENCE_STEPS = 20
"""How many runs a made-up sequence has."""


def make_sequence(
    model_name: str, specs: Sequence[TensorSpec], steps: int = SEQUENCE_STEPS
) -> Tensors:
    """Inputs as of `make_inputs`, each with the steps as first dimension."""
    return make_inputs(model_name, with_steps(specs, steps))


def with_steps(specs: Sequence[TensorSpec], steps: int) -> list[TensorSpec]:
    """The same tensors for a sequence of runs: the steps are the first dimension."""
    return [
        replace(spec, shape=(steps, *spec.shape), size_bytes=steps * spec.size_bytes)
        for spec in specs
    ]


def has_steps(arrays: Mapping[str, NDArray[Any]], specs: Sequence[TensorSpec]) -> bool:
    """Whether arrays, by the model's names, are a sequence: one has a dimension more than a run."""
    ranks = {spec.name: len(spec.shape) for spec in specs}
    return any(array.ndim == ranks[name] + 1 for name, array in arrays.items() if name in ranks)


def check_sequence(
    inputs: Mapping[str, ArrayLike] | ArrayLike, specs: Sequence[TensorSpec], source: str = "inputs"
) -> Tensors:
    """Bring a sequence of inputs into the exact form that the device takes, as `check_inputs` does.

    Args:
        inputs: As of `check_inputs`, each array with the steps as first dimension.
        specs: The model's inputs, of one step.
        source: What to call the inputs in an error.

    Raises:
        ConfigError: As of `check_inputs`; or the arrays have different numbers of steps, or none.
    """
    arrays = named_arrays(inputs, specs, source)
    for spec in specs:
        shape = arrays[spec.name].shape
        if shape[1:] != spec.shape or not shape:
            wanted = ", ".join(("steps", *map(str, spec.shape)))
            raise ConfigError(
                f"{source}: {spec.name!r} has shape {shape}, but the model keeps a state and takes "
                f"a sequence, of shape ({wanted})",
                cure="give each array the steps as first dimension",
            )
    counts = {spec.name: len(arrays[spec.name]) for spec in specs}
    if len(set(counts.values())) > 1 or 0 in counts.values():
        told = ", ".join(f"{name!r} {count}" for name, count in counts.items())
        raise ConfigError(
            f"{source}: a sequence has as many steps of each input, at least one; these have: "
            f"{told}",
            cure="give each array the same number of steps as first dimension",
        )
    return {spec.name: with_dtype(arrays[spec.name], spec, source) for spec in specs}


def load_sequence(path: Path, specs: Sequence[TensorSpec]) -> Tensors:
    """Read a sequence of inputs from an `.npz` file; see `load_inputs` and `check_sequence`."""
    return check_sequence(load_arrays(path), specs, source=str(path))
