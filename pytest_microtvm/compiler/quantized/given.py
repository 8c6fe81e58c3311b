"""Kernels that a front end asks for by itself, where the format of a model defines every bit.

Recognizers find what dequantization, operators and quantization mean together, whatever format they
come from. Some operators of a format mean something else: not the float function rounded, but steps
over integers that approximate it. The front end says so by a spec.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

PREFIX = "microtvm.given."
"""Begins the names of the functions that `main` calls for given specs; a number follows."""


@dataclass(frozen=True)
class GivenSpec:
    """A kernel in place of an operator.

    Args:
        name: The operator, for the name of the kernel.
        spec: What the kernel does: of `specs`, `tflite_specs` or another class that has a kernel.
    """

    name: str
    spec: Any
