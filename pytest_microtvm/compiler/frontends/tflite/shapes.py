"""The shapes of a model's inputs: those of the file, with what it leaves open filled in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pytest_microtvm.compiler.frontends.imported import TensorName
from pytest_microtvm.compiler.frontends.tflite.graph import Tensor
from pytest_microtvm.errors import ModelError


def input_shapes(
    tensors: Sequence[Tensor],
    names: Sequence[TensorName],
    given: Mapping[str, Sequence[int]],
) -> list[tuple[int, ...]]:
    """The shape of each input. An extent that the file leaves open is 1, or what `given` says.

    Args:
        tensors: The inputs.
        names: Their names, in the same order.
        given: By the name of an input, the model's or its signature's.

    Raises:
        ModelError: A shape is given to what is no input, or does not fit the input.
    """
    found = {
        alias: index
        for index, name in enumerate(names)
        for alias in (name.signature_name, name.name)
        if alias is not None
    }
    shapes = [tuple(1 if extent < 0 else extent for extent in each.signature) for each in tensors]
    for name, shape in given.items():
        if name not in found:
            raise ModelError(
                f"the model has no input {name!r} to give a shape to",
                cure=f"name one of {', '.join(item.name for item in names)}",
            )
        tensor = tensors[found[name]]
        if not tensor.allows(tuple(shape)) or any(extent < 1 for extent in shape):
            stated = ", ".join("?" if extent < 0 else str(extent) for extent in tensor.signature)
            raise ModelError(
                f"the input {name!r} has the shape [{stated}], which {list(shape)} does not fit",
                cure="give a positive extent for each dimension, and keep those that are fixed",
            )
        shapes[found[name]] = tuple(shape)
    return shapes
