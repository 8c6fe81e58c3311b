"""Operators over integers that other packages add: how each is found, and its kernels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from pytest_microtvm.compiler.quantized.cpu import Generator
from pytest_microtvm.compiler.quantized.recognise.matches import Recognizer
from pytest_microtvm.extensions import OPERATORS


@dataclass(frozen=True)
class Operator:
    """An operator between dequantization and quantization.

    Args:
        relax_name: The Relax operator that ends the group, without "relax.": "nn.softmax".
        recognize: What the kernel has to do, or None where it is another case.
        kernels: Portable kernels for specs that are not there yet, by class of spec.
    """

    relax_name: str
    recognize: Recognizer
    kernels: Mapping[type, Generator] = field(default_factory=dict)


def installed_operators() -> list[Operator]:
    """The operators that installed packages add, in an order that does not change.

    Raises:
        ConfigError: One of these packages is broken.
    """
    return [OPERATORS.load(name) for name in OPERATORS.names()]
