"""A data set run on a device, and on this computer beside it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pytest_microtvm.errors import ConfigError
from pytest_microtvm.flow.progress import Progress
from pytest_microtvm.mlf.library import TensorSpec
from pytest_microtvm.verify.inputs import Tensors, signature_names
from pytest_microtvm.verify.scores import score

TELL_S = 2.0
"""Seconds between two lines of progress."""

Samples = Mapping[str, ArrayLike] | ArrayLike
Runner = Callable[[Tensors], Tensors]


@dataclass(frozen=True)
class Evaluation:
    """What came of a data set.

    Attributes:
        metric: What was computed.
        device: Its value from the device's outputs.
        host: Its value from those of the same archive on this computer.
        samples: How many samples there were.
        differing: For how many of them some output of the two is not the same.
        seconds: What the device took for all, the link included.
    """

    metric: str
    device: float
    host: float
    samples: int
    differing: int
    seconds: float


def evaluate(
    specs: Sequence[TensorSpec],
    samples: Samples,
    labels: ArrayLike,
    metric: str,
    output: TensorSpec,
    runners: tuple[Runner, Runner],
    progress: Progress,
    *,
    has_states: bool = False,
) -> Evaluation:
    """Run a data set, and score it.

    Args:
        specs: The model's inputs.
        samples: By input: an array with one row for each sample. One of a model with states is one
            step, or a sequence with the steps as first dimension of the row.
        labels: What the outputs should be; see `verify.scores.score`.
        metric: One of `verify.scores.METRICS`.
        output: The output that is scored.
        runners: Run the model once, on the device and on this computer; a model with states on a
            sequence, of which they give the outputs of the last step.
        progress: Told how far it is.
        has_states: Whether the model has states.

    Raises:
        ConfigError: Samples or labels do not fit the model.
    """
    rows = _by_input(specs, samples)
    shapes, size = _sequence(specs, rows) if has_states else _batch(specs, rows)
    count = len(next(iter(rows.values())))
    wanted = np.asarray(labels)
    on_device, on_host = [], []
    differing, device_s, told = 0, 0.0, time.monotonic()
    start = told
    for first, batch in _batches(rows, shapes, size):
        began = time.monotonic()
        device = runners[0](batch)
        device_s += time.monotonic() - began
        host = runners[1](batch)
        kept = min(size, count - first)
        pairs = [
            (_by_sample(device[name], size, kept), _by_sample(host[name], size, kept))
            for name in host
        ]
        differing += sum(
            any(ours[i].tobytes() != theirs[i].tobytes() for ours, theirs in pairs)
            for i in range(kept)
        )
        on_device.append(_by_sample(device[output.name], size, kept))
        on_host.append(_by_sample(host[output.name], size, kept))
        if time.monotonic() - told >= TELL_S:
            told = time.monotonic()
            rate = (first + kept) / (told - start)
            left_s = (count - first - kept) / rate
            progress(f"{first + kept} of {count} samples, {rate:.1f} a second, {left_s:.0f} s left")
    return Evaluation(
        metric,
        score(metric, np.concatenate(on_device), wanted),
        score(metric, np.concatenate(on_host), wanted),
        count,
        differing,
        device_s,
    )


def _by_input(specs: Sequence[TensorSpec], samples: Samples) -> dict[str, NDArray[np.generic]]:
    """By the model's names of its inputs: one row for each sample."""
    given = samples if isinstance(samples, Mapping) else {specs[0].name: samples}
    aliases = signature_names(specs)
    named = {aliases.get(name, name): np.asarray(array) for name, array in given.items()}
    for spec in specs:
        if spec.name not in named:
            raise ConfigError(
                f"samples: {spec.name!r} is missing",
                cure=f"the model has {', '.join(repr(each.name) for each in specs)}",
            )
    rows = {spec.name: named[spec.name] for spec in specs}
    counts = {name: len(array) for name, array in rows.items() if array.ndim}
    if len(set(counts.values())) > 1 or 0 in counts.values():
        raise ConfigError(
            f"samples: the numbers of rows are {counts}", cure="give as many rows of every input"
        )
    return rows


def _batch(
    specs: Sequence[TensorSpec], rows: Mapping[str, NDArray[np.generic]]
) -> tuple[dict[str, tuple[int, ...]], int]:
    """The shapes of what the model takes at once, and how many samples these are."""
    sizes = set()
    for spec in specs:
        shape = rows[spec.name].shape
        if shape[1:] == spec.shape:
            sizes.add(1)
        elif spec.shape and shape[1:] == spec.shape[1:]:
            sizes.add(spec.shape[0])
        else:
            raise ConfigError(
                f"samples: {spec.name!r} has shape {shape}, the model takes {spec.shape}",
                cure="give one row for each sample",
            )
    if len(sizes) != 1:
        raise ConfigError(
            "samples: the rows of some inputs are one sample, those of others a batch of them",
            cure="give every input's rows the shape of one sample",
        )
    return {spec.name: spec.shape for spec in specs}, sizes.pop()


def _sequence(
    specs: Sequence[TensorSpec], rows: Mapping[str, NDArray[np.generic]]
) -> tuple[dict[str, tuple[int, ...]], int]:
    """The shapes of the sequence that each sample is; one sample is taken at once."""
    shapes = {}
    for spec in specs:
        shape = rows[spec.name].shape
        one = spec.shape[1:] if spec.shape[:1] == (1,) else spec.shape  # a batch of 1 may be absent
        if shape[1:] in (spec.shape, one):
            shapes[spec.name] = (1, *spec.shape)
        elif shape[2:] in (spec.shape, one):
            shapes[spec.name] = (shape[1], *spec.shape)
        else:
            raise ConfigError(
                f"samples: {spec.name!r} has shape {shape}, the model takes {spec.shape} and keeps "
                "a state",
                cure="give one row for each sample: one step, or a sequence of them with the steps "
                "as second dimension",
            )
    return shapes, 1


def _batches(
    rows: Mapping[str, NDArray[np.generic]], shapes: Mapping[str, tuple[int, ...]], size: int
) -> Iterator[tuple[int, Tensors]]:
    """The samples as the model takes them; the last batch is filled up with its last sample."""
    count = len(next(iter(rows.values())))
    for first in range(0, count, size):
        which = np.minimum(np.arange(first, first + size), count - 1)
        yield first, {name: array[which].reshape(shapes[name]) for name, array in rows.items()}


def _by_sample(array: NDArray[np.generic], size: int, kept: int) -> NDArray[np.generic]:
    """An output with one row for each sample of a batch.

    Raises:
        ConfigError: It does not tell the samples of a batch apart.
    """
    if array.size % size or (size > 1 and array.shape[0] != size):
        raise ConfigError(
            f"an output of shape {array.shape} has no row for each of {size} samples",
            cure="evaluate a model whose outputs have the batch as their first extent",
        )
    return array.reshape(size, -1)[:kept]
