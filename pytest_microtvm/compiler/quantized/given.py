"""Kernels that a front end asks for by itself, where the format of a model defines every bit.

Recognizers find what dequantization, operators and quantization mean together, whatever format they
come from. Some operators of a format mean something else: not the float function rounded, but steps
over integers that approximate it. The front end says so by a spec.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy.typing as npt

from pytest_microtvm.compiler.custom import CustomCall, CustomOperator
from pytest_microtvm.compiler.quantized.specs import KernelSource

PREFIX = "microtvm.given."
"""Begins the names of the functions that `main` calls for given specs; a number follows."""


@dataclass(frozen=True)
class Subgraph:
    """A function of its own that a kernel runs.

    Args:
        module: An IRModule with the function `main`, as front ends import models.
        specs: Kernels that it calls by `PREFIX` and their position.
    """

    module: Any
    specs: tuple[GivenSpec, ...]


@dataclass(frozen=True)
class Loop:
    """Steps that are taken as long as a condition holds.

    Args:
        condition: Of all values, makes a bool.
        body: Of all values, makes those that change.
        changed: Positions of the values that change, as the body puts them out: the kernel's
            outputs. All others are the same in each step.
    """

    condition: Subgraph
    body: Subgraph
    changed: tuple[int, ...]


@dataclass(frozen=True)
class Branch:
    """One of two subgraphs; the kernel's first input says which, all others are theirs.

    Args:
        then: Where it is not 0.
        otherwise: Where it is.
        chosen_by: The element type of the first input.
    """

    then: Subgraph
    otherwise: Subgraph
    chosen_by: str


@dataclass(frozen=True)
class Custom:
    """A custom operator.

    Args:
        operator: What the registration says of it.
        call: Its use.
        source: The kernel.
        types: Shape and dtype of each output, and of each state.
        states: What its states begin as.
    """

    operator: CustomOperator
    call: CustomCall
    source: KernelSource
    types: tuple[tuple[tuple[int, ...], str], ...]
    states: tuple[npt.NDArray[Any], ...]


@dataclass(frozen=True)
class GivenSpec:
    """A kernel in place of an operator.

    Args:
        name: The operator, for the name of the kernel.
        spec: What the kernel does: of `specs`, `tflite_specs` or another class that has a kernel,
            or a `Loop`, a `Branch` or a `Custom`.
    """

    name: str
    spec: Any
