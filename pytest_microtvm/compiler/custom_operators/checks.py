"""What uses of custom operators are held to: each function raises ValueError with the reason."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_microtvm.compiler.custom import CustomCall, CustomTensor

if TYPE_CHECKING:
    from pytest_microtvm.compiler.custom import Array


def inputs_of(call: CustomCall, *dtypes: str) -> list[CustomTensor]:
    """The inputs, when they are of these types."""
    given = [tensor for tensor in call.inputs if tensor is not None]
    found = tuple(tensor.dtype for tensor in given)
    if len(given) != len(call.inputs) or found != dtypes:
        raise ValueError(f"it has the inputs {', '.join(found)}, not {', '.join(dtypes)}")
    return given


def number_of(call: CustomCall, name: str, least: int, greatest: int) -> int:
    """An option that is an integer within bounds."""
    value = call.options.get(name)
    if not isinstance(value, int) or not least <= value <= greatest:
        raise ValueError(f"its {name} is {value!r}, not a number from {least} to {greatest}")
    return int(value)


def constant_of(tensor: CustomTensor, what: str) -> Array:
    """The values of an input, when they are in the file."""
    if tensor.value is None:
        raise ValueError(f"{what} is no constant")
    return tensor.value
