"""How kernels compute several output channels beside each other: one by one, or as a vector."""

from __future__ import annotations

from dataclasses import dataclass

from pytest_microtvm.compiler.quantized.float_specs import Range
from pytest_microtvm.compiler.quantized.kernels.floats.text import (
    HEADERS,
    StoredWeights,
    bounded,
    number,
)


@dataclass(frozen=True)
class Lanes:
    """One channel at a time, in plain C.

    Args:
        registers: How many sums, factors and products the CPU keeps at hand.
    """

    registers: int
    count = 1
    """Channels that one register holds."""
    c_type = "float"
    product_instructions = 2
    """Of a multiplication and an addition."""
    can_read: tuple[str, ...] = ("float32", "float16", "int8", "int4")
    """Kinds of weights that there are loads for."""
    headers: tuple[str, ...] = HEADERS

    def all(self, value: float) -> str:
        """An expression for the same number in each lane."""
        return number(value)

    def load(self, pointer: str, index: int) -> str:
        """An expression for what is at an index."""
        return f"{pointer}[{index}]"

    def weight(self, weights: StoredWeights, pointer: str, index: int) -> str:
        """An expression for a weight as a float."""
        return weights.read(pointer, index)

    def store(self, pointer: str, index: int, value: str) -> str:
        """A statement that puts a value at an index."""
        return f"{pointer}[{index}] = {value};"

    def add_multiple(self, total: str, values: str, factor: str) -> str:
        """A statement that adds values times one number."""
        return f"{total} += {values} * {factor};"

    def add_products(self, total: str, a: str, b: str) -> str:
        """A statement that adds products lane by lane."""
        return f"{total} += {a} * {b};"

    def scaled(self, value: str, scale: str, bias: str | None) -> str:
        """An expression for a value times its scale, plus a bias."""
        return f"{value} * {scale}" + (f" + {bias}" if bias else "")

    def bounded(self, value: str, bounds: Range) -> str:
        """An expression for a value held in its bounds."""
        return bounded(value, bounds)


_LOADS = {
    "float32": "microtvm_load_floats",
    "float16": "microtvm_load_halves",
    "int8": "microtvm_load_bytes",
}
"""By the kind of weights, what loads four of them as floats."""


@dataclass(frozen=True)
class HeliumLanes(Lanes):
    """Four channels at a time by Helium."""

    can_read: tuple[str, ...] = tuple(_LOADS)

    count = 4
    c_type = "microtvm_float4"
    product_instructions = 1
    headers: tuple[str, ...] = (*HEADERS, "tvmgen_float_helium.h")

    def all(self, value: float) -> str:
        """An expression for the same number in each lane."""
        return f"microtvm_all_floats({number(value)})"

    def load(self, pointer: str, index: int) -> str:
        """An expression for what is at an index."""
        return f"microtvm_load_floats({_at(pointer, index)})"

    def weight(self, weights: StoredWeights, pointer: str, index: int) -> str:
        """An expression for a weight as a float."""
        return f"{_LOADS[weights.kind]}({_at(pointer, index)})"

    def store(self, pointer: str, index: int, value: str) -> str:
        """A statement that puts a value at an index."""
        return f"microtvm_store_floats({_at(pointer, index)}, {value});"

    def add_multiple(self, total: str, values: str, factor: str) -> str:
        """A statement that adds values times one number."""
        return f"{total} = microtvm_add_multiple({total}, {values}, {factor});"

    def add_products(self, total: str, a: str, b: str) -> str:
        """A statement that adds products lane by lane."""
        return f"{total} = microtvm_add_products({total}, {a}, {b});"

    def scaled(self, value: str, scale: str, bias: str | None) -> str:
        """An expression for a value times its scale, plus a bias."""
        return f"microtvm_add_products({bias or self.all(0.0)}, {value}, {scale})"

    def bounded(self, value: str, bounds: Range) -> str:
        """An expression for a value held in its bounds."""
        if bounds.minimum is not None:
            value = f"microtvm_floats_at_least({value}, {number(bounds.minimum)})"
        if bounds.maximum is not None:
            value = f"microtvm_floats_at_most({value}, {number(bounds.maximum)})"
        return value


def _at(pointer: str, index: int) -> str:
    return f"{pointer} + {index}" if index else pointer
