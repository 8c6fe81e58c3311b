"""Quotients of quantized tensors, drawn at random; nothing is divided by 0."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from tests.operators.cases import (
    Case,
    Rng,
    _activation,
    _output,
    _pair_of_shapes,
    _quantization,
    _scale,
)
from tests.unit.compiler.tflite_models import Quantization

Draw = Callable[[Rng, Case], None]


def _div(rng: Rng, case: Case) -> None:
    dtype = str(rng.choice(["int8", "uint8", "int16"]))
    left, right, shape = _pair_of_shapes(rng)
    known = [_quantization(rng, dtype, _scale(rng, -9, -2)) for _ in range(2)]
    inputs = [
        case.add_input(rng, extents, dtype, each)
        for extents, each in zip((left, right), known, strict=True)
    ]
    _avoid(case, known[1].zero_points[0])
    activation = _activation(rng)
    reach = 2.0 ** rng.uniform(-14 if dtype == "int16" else -7, 1)
    scale = known[0].scales[0] / known[1].scales[0] * reach
    result = case.add(shape, dtype, _output(rng, dtype, scale, activation))
    case.run("DIV", inputs, [result], FusedActivationFunction=activation)


def _floored(operator: str) -> Draw:
    def draw_case(rng: Rng, case: Case) -> None:
        dtype = str(rng.choice(["int8", "int16"]))
        left, right, shape = _pair_of_shapes(rng)
        known = Quantization([_scale(rng, -9, -2)], [0])
        inputs = [case.add_input(rng, extents, dtype, known) for extents in (left, right)]
        _avoid(case, 0)
        # The least value by -1 is no value.
        for sample in case.samples:
            sample[0] = np.maximum(sample[0], np.iinfo(dtype).min + 1).astype(dtype)
        case.run(operator, inputs, [case.add(shape, dtype, known)])

    return draw_case


def _avoid(case: Case, zero_point: int) -> None:
    """Divisors that are not 0."""
    for sample in case.samples:
        dtype = sample[1].dtype
        other = zero_point + 1 if zero_point < np.iinfo(dtype).max else zero_point - 1
        sample[1] = np.where(sample[1] == zero_point, other, sample[1]).astype(dtype)


QUOTIENTS: dict[str, Draw] = {
    "div_of_integers": _div,
    "floor_div_of_integers": _floored("FLOOR_DIV"),
    "floor_mod_of_integers": _floored("FLOOR_MOD"),
}
"""By the name of the operator."""
