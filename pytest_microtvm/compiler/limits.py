"""How large a model may be: refused before it is lowered, what no microcontroller could hold.

Without bounds a few wrong bytes in a file ask for a tensor that takes the compiler's memory, or
hours, before anything is said.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from pytest_microtvm.compiler.program import Port
from pytest_microtvm.errors import DoesNotFit, ModelError
from pytest_microtvm.mlf.element_types import DTYPE_BYTES
from pytest_microtvm.mlf.library import MAX_TENSORS

MAX_RANK = 8
MAX_ELEMENTS = 1 << 26
MAX_TENSOR_BYTES = 1 << 27
MAX_ARENA_BYTES = 1 << 30
MAX_OPERATORS = 8192

_CURE = "use a model that fits a microcontroller"


def check_tensor(what: str, shape: Sequence[int], element_bytes: int) -> None:
    """Refuse a tensor that is too large.

    Args:
        what: Names the tensor in the error, as "the tensor 'x'".
        shape: Its extents.
        element_bytes: Of one element.

    Raises:
        ModelError: It has too many dimensions, elements or bytes, or a negative extent.
    """
    if min(shape, default=0) < 0:
        raise ModelError(f"{what} has a negative extent: {list(shape)}", cure="export it again")
    elements = math.prod(shape)
    for count, limit, unit in (
        (len(shape), MAX_RANK, "dimensions"),
        (elements, MAX_ELEMENTS, "elements"),
        (elements * element_bytes, MAX_TENSOR_BYTES, "bytes"),
    ):
        if count > limit:
            raise ModelError(f"{what} has {count} {unit}, more than {limit}", cure=_CURE)


def check_operators(count: int) -> None:
    """Refuse a model of too many operators.

    Raises:
        ModelError: There are too many.
    """
    if count > MAX_OPERATORS:
        raise ModelError(f"the model has {count} operators, more than {MAX_OPERATORS}", cure=_CURE)


def check_module(module: Any, inputs: Sequence[Port], outputs: Sequence[Port]) -> None:
    """Refuse a Relax module that is too large.

    Args:
        module: An IRModule with static shapes.
        inputs: Of the model.
        outputs: Of the model.

    Raises:
        ModelError: It has too many inputs, outputs or operators, or a tensor that is too large.
    """
    for ports, what in ((inputs, "input"), (outputs, "output")):
        if len(ports) > MAX_TENSORS:
            raise ModelError(
                f"the model has {len(ports)} {what}s, more than {MAX_TENSORS}", cure=_CURE
            )
        for port in ports:
            if 0 in port.type.shape:
                raise ModelError(
                    f"the {what} {port.name!r} has no elements, but the shape {port.type.shape}",
                    cure="export the model without it",
                )
    for function in module.functions.values():
        if type(function).__name__ != "Function":
            continue
        for parameter in function.params:
            _check_type(str(parameter.name), parameter.ty)
        blocks = getattr(function.body, "blocks", ())
        bindings = [binding for block in blocks for binding in block.bindings]
        check_operators(len(bindings))
        for binding in bindings:
            _check_type(str(binding.var.name), binding.var.ty)


def check_constants(module: Any, limit_bytes: int | None) -> None:
    """Refuse a model whose constants are more than there is room for.

    Args:
        module: An IRModule.
        limit_bytes: The room; None for any.

    Raises:
        DoesNotFit: They are.
    """
    if limit_bytes is None:
        return
    from tvm import relax

    sizes: dict[Any, int] = {}

    def visit(expression: Any) -> None:
        value: Any = getattr(expression, "value", None)
        if type(expression).__name__ == "GenericConst" and hasattr(value, "numpy"):
            sizes[expression] = int(value.numpy().nbytes)

    for function in module.functions.values():
        if type(function).__name__ == "Function":
            relax.analysis.post_order_visit(function, visit)
    if sum(sizes.values()) > limit_bytes:
        raise DoesNotFit(
            f"model too large: its constants take {sum(sizes.values())} bytes, the board has "
            f"{limit_bytes} bytes of memory",
            cure="use a smaller model or a larger board",
        )


def check_arena(arena_bytes: int) -> None:
    """Refuse a model whose tensors take too much memory together.

    Raises:
        ModelError: They do.
    """
    if arena_bytes > MAX_ARENA_BYTES:
        raise ModelError(
            f"the model takes {arena_bytes} bytes for its tensors, more than {MAX_ARENA_BYTES}",
            cure=_CURE,
        )


def _check_type(name: str, ty: Any) -> None:
    """Check a type as far as it is that of tensors of known shape."""
    for field in getattr(ty, "fields", ()):
        _check_type(name, field)
    if type(ty).__name__ != "TensorType" or type(ty.shape).__name__ != "ShapeExpr":
        return
    extents = list(ty.shape)
    if all(type(extent).__name__ == "IntImm" for extent in extents):
        dtype = str(getattr(ty.dtype, "dtype", ty.dtype))
        shape = [int(extent.value) for extent in extents]
        check_tensor(f"the tensor {name!r}", shape, DTYPE_BYTES.get(dtype, 1))
