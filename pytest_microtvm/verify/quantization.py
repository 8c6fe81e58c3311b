"""Real numbers in and out of models that compute in integers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pytest_microtvm.errors import ConfigError
from pytest_microtvm.mlf.specs import TensorSpec
from pytest_microtvm.verify.inputs import Tensors, signature_names


def quantized(
    inputs: Mapping[str, ArrayLike] | ArrayLike, specs: Sequence[TensorSpec]
) -> dict[str, NDArray[np.generic]]:
    """Bring real numbers into the form that a model takes, as TensorFlow Lite's QUANTIZE does.

    The nearest integer stands for a number, of two the one further from 0; what is outside of what
    the integers can say becomes the nearest that they can.

    Args:
        inputs: Arrays by the name of the input, the model's or its signature's; a bare array where
            the model has one input.
        specs: The model's inputs. One that is not quantized takes its array as it is.

    Raises:
        ConfigError: A number is none, or an input of integers has no scale.
    """
    given = inputs if isinstance(inputs, Mapping) else {specs[0].name: inputs}
    aliases = signature_names(specs)
    by_name = {spec.name: spec for spec in specs}
    tensors = {}
    for name, value in given.items():
        spec = by_name.get(aliases.get(name, name))
        array = np.asarray(value)
        tensors[name] = array if spec is None else _quantized(array, spec)  # it is told later
    return tensors


def real_numbers(outputs: Tensors, specs: Sequence[TensorSpec]) -> dict[str, NDArray[np.generic]]:
    """The real numbers that outputs stand for, in float32; others as they are."""
    return {spec.name: _real(np.asarray(outputs[spec.name]), spec) for spec in specs}


def _quantized(array: NDArray[np.generic], spec: TensorSpec) -> NDArray[np.generic]:
    dtype = np.dtype(spec.dtype)
    if spec.scale is None or spec.zero_point is None:
        if dtype.kind in "iu" and array.dtype.kind == "f":
            raise ConfigError(
                f"inputs: {spec.name!r} takes {dtype} and has no scale that real numbers have",
                cure="pass integers",
            )
        return array.astype(dtype) if dtype.kind == "f" else array
    real = array.astype(np.float64) / spec.scale
    if np.isnan(real).any():
        raise ConfigError(f"inputs: {spec.name!r} holds NaN", cure="no integer stands for it")
    bounds = np.iinfo(dtype)
    nearest = np.trunc(real + np.copysign(0.5, real)) + spec.zero_point
    integers: NDArray[np.generic] = np.clip(nearest, bounds.min, bounds.max).astype(dtype)
    return integers


def _real(array: NDArray[np.generic], spec: TensorSpec) -> NDArray[np.generic]:
    if spec.scale is None or spec.zero_point is None:
        return array
    return ((array.astype(np.float64) - spec.zero_point) * spec.scale).astype(np.float32)
