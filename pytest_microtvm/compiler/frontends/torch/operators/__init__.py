"""Converters of PyTorch's operators, which register themselves."""

from pytest_microtvm.compiler.frontends.torch.operators import (
    arithmetic,
    elementwise,
    flow,
    indexing,
    layers,
    movement,
    quantization,
    recurrent,
    reduction,
    resize,
)

__all__ = [
    "arithmetic",
    "elementwise",
    "flow",
    "indexing",
    "layers",
    "movement",
    "quantization",
    "recurrent",
    "reduction",
    "resize",
]
