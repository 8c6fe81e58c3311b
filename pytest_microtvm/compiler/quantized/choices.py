"""What is open in how a kernel is written: its candidates, and what chooses among them.

All candidates of a kernel compute the same bytes; they differ in what they cost. The first one is
what the compiler takes by itself. Another is taken where a tuning log has it (`compiler.tuning`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, TypeVar

from pytest_microtvm.compiler.program import Chosen
from pytest_microtvm.compiler.quantized.specs import (
    Conv2D,
    Convolution,
    DepthwiseConv2D,
    KernelSource,
    Window,
)

Spec_ = TypeVar("Spec_", Conv2D, DepthwiseConv2D)


@dataclass(frozen=True)
class Choice:
    """One way to write a kernel: the base of all such descriptions. Fields are numbers or texts."""

    def to_data(self) -> dict[str, Any]:
        """The fields, as a tuning log has them."""
        return asdict(self)


@dataclass(frozen=True)
class Workload:
    """What decides how fast a way to write a kernel is: its shapes, but not its numbers.

    Args:
        input_shape: (n, height, width, channels).
        output_shape: Likewise.
        window: How the kernel slides.
    """

    input_shape: tuple[int, int, int, int]
    output_shape: tuple[int, int, int, int]
    window: Window

    @property
    def input_bytes(self) -> int:
        """The size of the input."""
        return math.prod(self.input_shape)

    @property
    def output_bytes(self) -> int:
        """The size of the output."""
        return math.prod(self.output_shape)

    @classmethod
    def of(cls, spec: Convolution) -> Workload:
        """That of a convolution."""
        return cls(spec.input_shape, spec.output_shape, spec.window)

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Workload:
        """The workload that a tuning log has.

        Raises:
            KeyError, TypeError, ValueError: It is none.
        """
        input_shape, output_shape = (_numbers(data[name], 4) for name in ("input", "output"))
        pairs = [_numbers(data[name], 2) for name in ("window", "strides", "dilation", "padding")]
        return cls(input_shape, output_shape, Window(*pairs))

    def to_data(self) -> dict[str, Any]:
        """The same, as a tuning log has it."""
        window = self.window
        return {
            "input": list(self.input_shape),
            "output": list(self.output_shape),
            "window": list(window.shape),
            "strides": list(window.strides),
            "dilation": list(window.dilation),
            "padding": list(window.padding),
        }


@dataclass(frozen=True)
class Tunable:
    """A kind of kernels of which each can be written in several ways.

    Args:
        name: What tuning logs call it.
        candidates: All ways to write the kernel of a workload; the first is the compiler's own.
    """

    name: str
    candidates: Callable[[Workload], tuple[Choice, ...]]

    def written(
        self, spec: Spec_, choose: Choose, write: Callable[[Spec_, Any], KernelSource]
    ) -> KernelSource:
        """The kernel of a spec, by what is chosen.

        Args:
            spec: A convolution.
            choose: Takes one of the candidates.
            write: Writes the kernel by a choice.
        """
        workload = Workload.of(spec)
        choice = choose(self, workload)
        source: KernelSource = write(spec, choice)
        distances: list[int] = [overlap.distance_bytes for overlap in source.overlaps]
        distance_bytes = 0 if source.in_place else min([workload.output_bytes, *distances])
        memory_bytes = source.workspace_bytes + distance_bytes
        chosen = Chosen(self.name, workload.to_data(), choice.to_data(), memory_bytes)
        return replace(source, chosen=chosen)


Choose = Callable[[Tunable, Workload], Choice]
"""Takes one of the candidates of a workload."""


def first(tunable: Tunable, workload: Workload) -> Choice:
    """What the compiler takes by itself."""
    return tunable.candidates(workload)[0]


@dataclass(frozen=True)
class Tuned:
    """Writes kernels of which something can be chosen.

    Args:
        write: The kernel of a spec by what is chosen, or None where it is declined.
    """

    write: Callable[[Any, Choose], KernelSource | None]

    def __call__(self, spec: Any) -> KernelSource | None:
        """The kernel that the compiler writes by itself, as every generator does."""
        return self.write(spec, first)


def _numbers(given: Any, count: int) -> Any:
    """A tuple of so many integers that are not negative."""
    numbers = tuple(given)
    if len(numbers) != count or not all(type(n) is int and n >= 0 for n in numbers):
        raise ValueError(given)
    return numbers
