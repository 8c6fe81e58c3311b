"""A small function for each builtin operator, by kind.

convolution, dense    layers with weights
pooling, resize       windows over images
elementwise           a function of each element alone
arithmetic            two or more tensors, element by element, with broadcasting
reduction             over some axes
normalization         softmax and the like
movement, indexing    elements that only move
shapes                shapes, and constants made of them
conversion            from one element type or scale to another
recurrent, lstm       layers that remember
flow                  loops, branches and composites: other subgraphs that are run
tensor_lists          lists of TensorFlow's own operators
variables             what the model keeps from run to run
"""

from __future__ import annotations

from pytest_microtvm.compiler.frontends.tflite.operators import (
    arithmetic,
    conversion,
    convolution,
    dense,
    elementwise,
    flow,
    fourier,
    indexing,
    lstm,
    movement,
    normalization,
    pooling,
    recurrent,
    reduction,
    resize,
    segments,
    shapes,
    tensor_lists,
    variables,
    volumes,
)
from pytest_microtvm.compiler.frontends.tflite.registry import OPERATORS

__all__ = [
    "OPERATORS",
    "arithmetic",
    "conversion",
    "convolution",
    "dense",
    "elementwise",
    "flow",
    "fourier",
    "indexing",
    "lstm",
    "movement",
    "normalization",
    "pooling",
    "recurrent",
    "reduction",
    "resize",
    "segments",
    "shapes",
    "tensor_lists",
    "variables",
    "volumes",
]
