"""Layers that remember, drawn at random; their samples are one sequence."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import tflite

from tests.operators.cases import Case, Rng, _quantization, _scale
from tests.operators.layer_cases import CLOSE
from tests.unit.compiler.tflite_models import Quantization

Draw = Callable[[Rng, Case], None]


def _lstm(rng: Rng, case: Case) -> None:
    """With and without a gate for the input, a clipped cell, steps first or last.

    Those of floats may have peepholes, a projection, normalized gates and other activations.
    """
    dtype = str(rng.choice(["int8", "int8", "float32"]))
    is_time_major, is_coupled = bool(rng.random() < 0.5), bool(rng.random() < 0.3)
    batches, steps, inputs, units = (int(n) for n in rng.integers(1, [3, 6, 7, 9]))
    shape = [steps, batches] if is_time_major else [batches, steps]
    known = None if dtype == "float32" else _quantization(rng, dtype, _scale(rng, -8, -3))
    state = None if dtype == "float32" else _quantization(rng, dtype, _scale(rng, -8, -6))
    cell = None if dtype == "float32" else Quantization([2.0 ** -int(rng.integers(10, 16))], [0])
    case.tolerance = CLOSE if dtype == "float32" else 0.0
    data = case.add_input(rng, [*shape, inputs], dtype, known)
    gates = [not is_coupled, True, True, True]
    weights = [_weights(rng, case, [units, inputs], dtype) if there else -1 for there in gates]
    kept = units
    peepholes, projection, factors = [-1] * 3, [-1] * 2, [-1] * 4
    activation, clip = "TANH", 0.0
    if dtype == "float32":
        if rng.random() < 0.4:
            is_there = [not is_coupled, True, True]
            peepholes = [_bias(rng, case, units, dtype) if there else -1 for there in is_there]
        if rng.random() < 0.4:
            kept = int(rng.integers(1, units, endpoint=True))
            projection = [_weights(rng, case, [kept, units], dtype), _bias(rng, case, kept, dtype)]
            clip = float(rng.choice([0.0, 0.5]))
        if rng.random() < 0.3:
            factors = [_bias(rng, case, units, dtype) if there else -1 for there in gates]
        activation = str(rng.choice(["TANH", "TANH", "RELU", "RELU6"]))
    recurrent = [_weights(rng, case, [units, kept], dtype) if there else -1 for there in gates]
    biases = [_bias(rng, case, units, dtype) if there else -1 for there in gates]
    hidden = case.keep(case.add([batches, kept], dtype, state))
    cells = case.keep(case.add([batches, units], "int16" if cell else dtype, cell))
    said = state
    if state is not None and rng.random() < 0.3:
        said = _quantization(rng, dtype, _scale(rng, -8, -6))
    result = case.add([*shape, kept], dtype, said)
    given = [data, *weights, *recurrent, *peepholes, *biases, *projection, hidden, cells, *factors]
    case.run(
        "UNIDIRECTIONAL_SEQUENCE_LSTM",
        given,
        [result],
        FusedActivationFunction=getattr(tflite.ActivationFunctionType, activation),
        CellClip=float(rng.choice([0.0, 0.0, 1.5, 0.2])),
        ProjClip=clip,
        TimeMajor=is_time_major,
    )
    if state is not None:
        inner = [case.add([0], "float32") for _ in range(4)]
        inner.append(case.add([0], "int8", state))
        case.operators[-1] = replace(case.operators[-1], intermediates=inner)


def _bidirectional_lstm(rng: Rng, case: Case) -> None:
    """In floats; in one output or two. LiteRT wants two directions of one size.

    Its one output is not defined where several batches come before the steps.
    """
    case.tolerance = CLOSE
    is_time_major, is_merged = (bool(rng.random() < 0.5) for _ in range(2))
    is_coupled = bool(rng.random() < 0.3)
    batches, steps, inputs, size = (int(n) for n in rng.integers(1, [3, 6, 7, 7]))
    if is_merged and not is_time_major:
        batches = 1
    shape = [steps, batches] if is_time_major else [batches, steps]
    data = case.add_input(rng, [*shape, inputs], "float32", None)
    gates = [not is_coupled, True, True, True]
    given, states = [data], []
    for _ in range(2):
        for extent in (inputs, size):
            there = [_weights(rng, case, [size, extent], "float32") if g else -1 for g in gates]
            given += there
        given += [-1] * 3
        given += [_bias(rng, case, size, "float32") if there else -1 for there in gates]
        given += [-1] * 2
        states += [case.keep(case.add([batches, size], "float32")) for _ in range(2)]
    sizes = [2 * size] if is_merged else [size, size]
    case.run(
        "BIDIRECTIONAL_SEQUENCE_LSTM",
        [*given, *states, *[-1] * 9],
        [case.add([*shape, extent], "float32") for extent in sizes],
        FusedActivationFunction=tflite.ActivationFunctionType.TANH,
        CellClip=float(rng.choice([0.0, 0.0, 1.5, 0.2])),
        TimeMajor=is_time_major,
        MergeOutputs=is_merged,
    )


def _weights(rng: Rng, case: Case, shape: list[int], dtype: str) -> int:
    if dtype == "float32":
        return case.add(shape, dtype, None, rng.normal(0, 0.5, shape).astype(dtype))
    known = Quantization([_scale(rng, -9, -6)], [0])
    return case.add(shape, dtype, known, rng.integers(-127, 128, shape).astype(dtype))


def _bias(rng: Rng, case: Case, units: int, dtype: str) -> int:
    if dtype == "float32":
        return case.add([units], dtype, None, rng.normal(size=units).astype(dtype))
    values = rng.integers(-20000, 20000, units).astype(np.int32)
    return case.add([units], "int32", Quantization([1e-5], [0]), values)


RECURRENT: dict[str, Draw] = {"lstm": _lstm, "bidirectional_lstm": _bidirectional_lstm}
"""By the name of the operator."""
