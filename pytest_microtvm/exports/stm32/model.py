"""A model as the code for STM32 has it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pytest_microtvm.errors import ConfigError
from pytest_microtvm.mlf.element_types import ALIGNMENT_BYTES, DTYPE_BYTES


@dataclass(frozen=True)
class Layout:
    """What of a model's memory is static; see `CodeEmitter`."""

    include_activations: bool
    include_inputs: bool
    include_outputs: bool


@dataclass(frozen=True)
class Quantization:
    """Scales and zero points: one of each, or one for each index of the axis `dim`."""

    scales: Sequence[float]
    zero_points: Sequence[int]
    dim: int = -1

    @classmethod
    def of(cls, name: str, given: Mapping[str, Any]) -> Quantization:
        """Read what a caller gives for a tensor.

        Raises:
            ConfigError: It is not of the form.
        """
        try:
            scales = _numbers(given["scale"])
            zero_points = [int(number) for number in _numbers(given["zero_point"])]
        except (KeyError, TypeError, ValueError) as error:
            raise ConfigError(
                f"the quantization of {name} is no scale and zero_point: {error!r}",
                cure='give {"scale": [0.5], "zero_point": [0]}',
            ) from error
        if len(scales) != len(zero_points) or not scales:
            raise ConfigError(
                f"the quantization of {name} has {len(scales)} scales and {len(zero_points)} zero "
                "points",
                cure="give as many of both",
            )
        return cls(scales, zero_points, -1 if len(scales) == 1 else int(given.get("dim", 0)))


def _numbers(value: Any) -> list[float]:
    """A number, or an array of some."""
    flat = value.reshape(-1).tolist() if hasattr(value, "reshape") else value
    return [float(number) for number in flat] if isinstance(flat, list | tuple) else [float(flat)]


@dataclass(frozen=True)
class StmTensor:
    """An input or output: what it is called in C, and what it holds."""

    c_name: str
    dtype: str
    shape: tuple[int, ...]
    quantization: Quantization | None

    @property
    def size_bytes(self) -> int:
        """Its bytes."""
        size = DTYPE_BYTES[self.dtype]
        for extent in self.shape:
            size *= extent
        return size


@dataclass(frozen=True)
class Constant:
    """A constant: its C type, its number of elements, and the initializer between the braces."""

    c_type: str
    count: int
    values: str


@dataclass(frozen=True)
class StmModel:
    """All that is emitted.

    Args:
        name: The model's name in C.
        datetime: When the archive was exported.
        nodes: The number of the graph's nodes that do something.
        workspace_bytes: What kernels work in.
        states: The bytes of each state.
        initial_states: The constant that each begins as, by its number; None where it is zeros.
        inputs: The inputs.
        outputs: The outputs.
        constants: The constants, by their numbers.
        layout: What is static.
    """

    name: str
    datetime: str
    nodes: int
    workspace_bytes: int
    states: tuple[int, ...]
    initial_states: tuple[int | None, ...]
    inputs: tuple[StmTensor, ...]
    outputs: tuple[StmTensor, ...]
    constants: tuple[Constant, ...]
    layout: Layout

    def places(self) -> tuple[dict[str, int], int]:
        """Where states and tensors are in the activations, and the bytes of these."""
        parts = [(f"state_{i}", size) for i, size in enumerate(self.states)]
        if self.layout.include_inputs:
            parts += [(tensor.c_name, tensor.size_bytes) for tensor in self.inputs]
        if self.layout.include_outputs:
            parts += [(tensor.c_name, tensor.size_bytes) for tensor in self.outputs]
        end = _aligned(self.workspace_bytes)
        places = {}
        for name, size in parts:
            places[name] = end
            end += _aligned(size)
        return places, end


def _aligned(size: int) -> int:
    return -(-size // ALIGNMENT_BYTES) * ALIGNMENT_BYTES
