"""Loops and branches, drawn at random; what they run is of floats or of integers."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from tests.operators.cases import Case, Rng, _quantization, _scale, _shape
from tests.operators.layer_cases import CLOSE, _rank
from tests.unit.compiler.tflite_models import Model, Quantization

Draw = Callable[[Rng, Case], None]


def draw_while(rng: Rng, case: Case, dtype: str) -> None:
    """y -> tanh(y) + x, a number of times that is known at run time."""
    shape = _shape(rng, _rank(rng))
    known, balanced = _quantizations(rng, dtype)
    case.tolerance = CLOSE if known is None else 0.0
    zero = case.constant(np.int32(0))
    steps = case.add_input(rng, [], "int32", None)
    for sample in case.samples:
        sample[-1] = np.array(rng.integers(0, 6), np.int32)
    x, y = (case.add_input(rng, shape, dtype, known) for _ in range(2))
    count, result = case.add([], "int32"), case.add(shape, dtype, known)
    rest = [case.add([], "int32"), case.add(shape, dtype, known)]
    condition, body = Case("", f"{case.name}:holds"), Case("", f"{case.name}:step")
    for part in (condition, body):
        part.inputs = [part.add([], "int32"), part.add([], "int32")]
        part.inputs += [part.add(shape, dtype, known), part.add(shape, dtype, known)]
    condition.run("LESS", [0, 1], [condition.add([], "bool")])
    more, bent = body.add([], "int32"), body.add(shape, dtype, balanced)
    body.step("ADD", [0, body.constant(np.int32(1))], [more])
    body.step("TANH", [3], [bent])
    added = body.add(shape, dtype, known)
    body.step("ADD", [bent, 2], [added])
    body.outputs = [more, 1, 2, added]
    graphs = [_model(condition), _model(body)]
    options = {"CondSubgraphIndex": 1, "BodySubgraphIndex": 2}
    case.flow("WHILE", [zero, steps, x, y], [count, *rest, result], graphs, options)
    case.outputs += [count, result]


def draw_if(rng: Rng, case: Case, dtype: str) -> None:
    """A sum or a product."""
    shape = _shape(rng, _rank(rng))
    known, _ = _quantizations(rng, dtype)
    case.tolerance = CLOSE if known is None else 0.0
    chosen = case.add_input(rng, [], "bool", None)
    operands = [case.add_input(rng, shape, dtype, known) for _ in range(2)]
    graphs = []
    for operator in ("ADD", "MUL"):
        part = Case("", f"{case.name}:{operator}")
        part.inputs = [part.add(shape, dtype, known), part.add(shape, dtype, known)]
        part.run(operator, part.inputs, [part.add(shape, dtype, known)])
        graphs.append(_model(part))
    result = case.add(shape, dtype, known)
    options = {"ThenSubgraphIndex": 1, "ElseSubgraphIndex": 2}
    case.flow("IF", [chosen, *operands], [result], graphs, options)
    case.outputs.append(result)


def _quantizations(rng: Rng, dtype: str) -> tuple[Quantization | None, Quantization | None]:
    """Of the values, and of their hyperbolic tangents."""
    if dtype == "float32":
        return None, None
    balanced = {"int8": (1 / 128, 0), "uint8": (1 / 128, 128), "int16": (1 / 32768, 0)}[dtype]
    scale = _scale(rng, -14, -11) if dtype == "int16" else _scale(rng, -7, -4)
    return _quantization(rng, dtype, scale), Quantization([balanced[0]], [balanced[1]])


def _model(part: Case) -> Model:
    return Model(part.tensors, part.operators, part.inputs, part.outputs)


def _of_any_type(draw: Callable[[Rng, Case, str], None]) -> Draw:
    return lambda rng, case: draw(rng, case, str(rng.choice(["int8", "float32"])))


FLOW: dict[str, Draw] = {"while": _of_any_type(draw_while), "if": _of_any_type(draw_if)}
"""By the name of the operator."""
