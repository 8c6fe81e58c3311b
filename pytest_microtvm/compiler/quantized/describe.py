"""Says in words what a kernel does, for the comment above its C."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import fields, is_dataclass
from enum import Enum
from typing import Any

import numpy as np

from pytest_microtvm.compiler.quantized.specs import (
    KernelSource,
    Requantization,
    Spec,
    Window,
    Written,
)
from pytest_microtvm.compiler.quantized.tensors import Quantization

_WIDTH = 96


def describe_spec(spec: Spec) -> list[str]:
    """What is to be computed, as lines: shapes, windows, zero points, ranges."""
    if isinstance(spec, Written):
        return list(spec.facts)
    return wrapped_lines(", ".join(_facts("", spec)))


def describe_layer(
    name: str, inputs: Sequence[Quantization | None], output: Quantization | None
) -> str:
    """One use of a kernel: the model's name of the layer, and the scales of its tensors.

    Args:
        name: Empty where the model has none.
        inputs: None for a tensor that is not quantized, or whose scale is not known.
        output: Likewise.
    """
    scales = [
        f"{side} = {quantization.scale!s} * (q - {quantization.zero_point})".replace("- -", "+ ")
        for side, quantization in [*_sides(inputs), ("output", output)]
        if quantization is not None
    ]
    # TFLite joins the names of layers that became one.
    known_as = name.replace(";", "; ") or "a layer that has no name"
    return f"{known_as}: {', '.join(scales)}" if scales else known_as


def describe_constants(source: KernelSource) -> list[str]:
    """How the arrays of a kernel are laid out, as lines."""
    lines = []
    for role, _ in zip(source.roles, source.constants, strict=False):
        lines += wrapped_lines(f"{role.name}: {role.layout}")
    return lines


def _sides(inputs: Sequence[Quantization | None]) -> list[tuple[str, Quantization | None]]:
    if len(inputs) == 1:
        return [("input", inputs[0])]
    return [(f"input{i}", quantization) for i, quantization in enumerate(inputs)]


def wrapped_lines(text: str) -> list[str]:
    """A text as lines of a comment, indented."""
    return textwrap.wrap(text, _WIDTH - 2, initial_indent="  ", subsequent_indent="    ")


def _facts(name: str, value: Any) -> Iterator[str]:
    """What a value says, with the words that its name is made of before it."""
    label = f"{name.replace('_', ' ')} ".lstrip()
    if value is None or (isinstance(value, tuple) and all(item is None for item in value)):
        return
    if isinstance(value, Window):
        yield f"window {_by(value.shape)}"
        yield f"strides {_by(value.strides)}"
        yield f"dilation {_by(value.dilation)}"
        yield f"padding {value.padding[0]} above and {value.padding[1]} to the left"
    elif isinstance(value, Requantization):
        yield f"output {value.dtype}"
        yield f"output zero point {value.zero_point}"
        yield f"clamped to {value.minimum} .. {value.maximum}"
        yield f"rounding {value.rounding.value}"
    elif isinstance(value, np.ndarray):
        yield f"{label}{value.dtype} {_by(value.shape)}"
    elif is_dataclass(value):
        for field in fields(value):
            yield from _facts(f"{name}_{field.name}".lstrip("_"), getattr(value, field.name))
    elif isinstance(value, tuple) and all(isinstance(item, int) for item in value):
        yield label + (_by(value) or "scalar")
    elif isinstance(value, tuple):
        for number, item in enumerate(value):
            yield from _facts(f"{name}_{number}", item)
    elif isinstance(value, Enum):
        yield f"{label}{value.value}"
    else:
        yield f"{label}{value}"


def _by(extents: Sequence[int]) -> str:
    return " x ".join(map(str, extents))
