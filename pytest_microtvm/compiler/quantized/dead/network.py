"""Layers and tensors of a quantized network, in plain data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from pytest_microtvm.compiler.quantized.specs import Spec

Shape = tuple[int, ...]


@dataclass(frozen=True)
class View(Spec):
    """The same elements, in the same order, in another shape."""


@dataclass(frozen=True)
class Layer:
    """A step that makes a tensor of others.

    Args:
        spec: What it does.
        inputs: Numbers of the tensors that it reads, in the order of the spec.
        output: Number of the tensor that it makes.
    """

    spec: Spec
    inputs: tuple[int, ...]
    output: int


@dataclass(frozen=True)
class Network:
    """Layers in order of execution.

    The last axis of a tensor is that of its channels, whatever it stands for in the model.

    Args:
        shapes: Of the tensors, by number.
        layers: Each tensor is made by one of them at most.
        fixed: Tensors whose shape is another's business: inputs and outputs of the model, and what
            operators make or read that are no layers.
    """

    shapes: tuple[Shape, ...]
    layers: tuple[Layer, ...]
    fixed: frozenset[int]

    @cached_property
    def readers(self) -> Sequence[Sequence[tuple[int, int]]]:
        """By tensor, the layers that read it: number of the layer, position of the input."""
        found: list[list[tuple[int, int]]] = [[] for _ in self.shapes]
        for number, layer in enumerate(self.layers):
            for position, tensor in enumerate(layer.inputs):
                found[tensor].append((number, position))
        return found

    def input_shapes(self, layer: Layer) -> tuple[Shape, ...]:
        """Of what a layer reads."""
        return tuple(self.shapes[tensor] for tensor in layer.inputs)
