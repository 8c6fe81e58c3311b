"""What nodes of TIR say of themselves."""

from __future__ import annotations

from typing import Any

from pytest_microtvm.compiler.program import C_TYPES


class UnsupportedKernel(Exception):
    """The function holds something that has no plain C form; the message says what."""


def kind_of(node: Any) -> str:
    """The name of a node's class."""
    return type(node).__name__


def dtype_of(expression: Any) -> str:
    """The element type of an expression or buffer variable, "handle" for pointers."""
    ty = expression.ty
    dtype = getattr(ty, "dtype", None)
    if dtype is None:
        return "handle"
    # A buffer's type holds a primitive type, a primitive type holds the name.
    return str(getattr(dtype, "dtype", dtype))


def checked_dtype(expression: Any) -> str:
    """The same, where C has it.

    Raises:
        UnsupportedKernel: C has none.
    """
    dtype = dtype_of(expression)
    if dtype not in C_TYPES:
        raise UnsupportedKernel(f"the element type {dtype}")
    return dtype


def is_buffer(variable: Any) -> bool:
    """Whether a variable is a buffer."""
    return kind_of(variable.ty) == "BufferType"


def element_count(buffer: Any) -> int:
    """How many elements a buffer has.

    Raises:
        UnsupportedKernel: That is known at run time only.
    """
    count = 1
    for extent in buffer.ty.shape:
        if kind_of(extent) != "IntImm":
            raise UnsupportedKernel("a buffer whose size is known only at run time")
        count *= int(extent.value)
    return count


def viewed_by(declaration: Any) -> Any:
    """The buffer variable that a `DeclBuffer` gives another view of.

    Raises:
        UnsupportedKernel: It is at a computed address.
    """
    data = declaration.data
    if kind_of(data) == "Call" and data.op.name.endswith("buffer_data") and len(data.args) == 1:
        data = data.args[0]
    if kind_of(data) != "Var":
        raise UnsupportedKernel("a buffer at a computed address")
    return data
