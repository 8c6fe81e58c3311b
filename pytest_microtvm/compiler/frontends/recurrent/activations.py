"""The functions of the gates of LSTM, GRU and RNN."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tvm import tirx

from pytest_microtvm.compiler.frontends.recurrent.loops import Function, Layer
from pytest_microtvm.errors import ModelError


def text_of(value: Any) -> str:
    """A text of an attribute, whichever way it was read."""
    return value.decode() if isinstance(value, bytes) else str(value)


def activations_of(layer: Layer, number: int) -> list[Function]:
    """The functions of a direction: of the gates, of the candidate and of the output."""
    default = {"LSTM": ["Sigmoid", "Tanh", "Tanh"], "GRU": ["Sigmoid", "Tanh"], "RNN": ["Tanh"]}
    count = len(default[layer.kind])
    given = [text_of(name) for name in layer.attributes.get("activations", ())]
    names = given[number * count : (number + 1) * count] or default[layer.kind]
    # Parameters are given one after the other, for the functions that have them.
    before = given[: number * count]
    alphas = list(layer.attributes.get("activation_alpha", ()))
    betas = list(layer.attributes.get("activation_beta", ()))

    def taken(values: list[float], which: int, name: str) -> float | None:
        first, second = _PARAMETERS.get(name, (None, None))
        default_value = first if values is alphas else second
        if default_value is None:
            return None
        position = sum(
            _PARAMETERS.get(earlier, (None, None))[0 if values is alphas else 1] is not None
            for earlier in [*before, *names[:which]]
        )
        return float(values[position]) if position < len(values) else default_value

    functions = []
    for which, name in enumerate(names):
        if name not in _FUNCTIONS:
            raise ModelError(
                f"the activation {name!r} of {layer.kind} is not known",
                cure=f"use one of {', '.join(sorted(_FUNCTIONS))}",
            )
        alpha, beta = taken(alphas, which, name), taken(betas, which, name)
        functions.append(_FUNCTIONS[name](alpha, beta))
    return functions


_PARAMETERS: dict[str, tuple[float | None, float | None]] = {
    "Affine": (1.0, 0.0),
    "Elu": (1.0, None),
    "HardSigmoid": (0.2, 0.5),
    "LeakyRelu": (0.01, None),
    "ScaledTanh": (1.0, 1.0),
    "ThresholdedRelu": (1.0, None),
}
"""Defaults of alpha and beta; None where a function has none."""


def _number(value: float | None) -> Any:
    return tirx.const(float(value or 0.0), "float32")


def _one() -> Any:
    return tirx.const(1.0, "float32")


_FUNCTIONS: dict[str, Callable[[float | None, float | None], Function]] = {
    "Affine": lambda a, b: lambda x: _number(a) * x + _number(b),
    "Elu": lambda a, b: (
        lambda x: tirx.Select(x >= _number(0), x, _number(a) * (tirx.exp(x) - _one()))
    ),
    "HardSigmoid": lambda a, b: (
        lambda x: tirx.max(tirx.min(_number(a) * x + _number(b), _one()), _number(0))
    ),
    "LeakyRelu": lambda a, b: lambda x: tirx.Select(x >= _number(0), x, _number(a) * x),
    "Relu": lambda a, b: lambda x: tirx.max(x, _number(0)),
    "ScaledTanh": lambda a, b: lambda x: _number(a) * tirx.tanh(_number(b) * x),
    "Sigmoid": lambda a, b: lambda x: _one() / (_one() + tirx.exp(_number(0) - x)),
    "Softplus": lambda a, b: lambda x: tirx.log(_one() + tirx.exp(x)),
    "Softsign": lambda a, b: lambda x: x / (_one() + tirx.abs(x)),
    "Tanh": lambda a, b: lambda x: tirx.tanh(x),
    "ThresholdedRelu": lambda a, b: lambda x: tirx.Select(x > _number(a), x, _number(0)),
}
"""By name, what makes the function of alpha and beta."""
