"""Numbers and arrays as C text that a compiler reads back to exactly the same bits."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from pytest_microtvm.compiler.program import C_TYPES

_FLOAT_FORMATS = {"float32": "%.8ef", "float64": "%.16e"}
_VALUES_PER_LINE = {"bool": 16, "int8": 16, "uint8": 16, "int16": 12, "uint16": 12}
_VALUES_PER_LINE |= {"int64": 2, "uint64": 2, "float32": 5, "float64": 3}


def float_literal(value: float, dtype: str) -> str:
    """A C constant expression of type float or double.

    9 significant digits give back every float32, 17 every float64. Infinities and NaN need
    <math.h>; a NaN keeps its sign but not its payload.

    Args:
        value: The number; rounded to float32 first when `dtype` says so.
        dtype: "float32" or "float64".
    """
    if math.isfinite(value):
        return _FLOAT_FORMATS[dtype] % float(np.dtype(dtype).type(value))
    sign = "-" if math.copysign(1.0, value) < 0 else ""
    text = sign + ("NAN" if math.isnan(value) else "INFINITY")
    if dtype == "float64":
        return f"(double){text}"
    return f"({text})" if sign else text


def integer_literal(value: int, dtype: str) -> str:
    """A C integer constant expression whose type, once promoted, holds `dtype`.

    The most negative numbers have no literal of their own in C; they come as the macros of
    <stdint.h>.

    Args:
        value: The number, in the range of `dtype`.
        dtype: An integer type or "bool".
    """
    if dtype in ("int32", "int64"):
        bits = int(dtype[3:])
        if value == -(1 << (bits - 1)):
            return f"INT{bits}_MIN"
    if dtype == "int64":
        return f"INT64_C({value})" if value >= 0 else f"(-INT64_C({-value}))"
    if dtype == "uint64":
        return f"UINT64_C({value})"
    if dtype == "uint32":
        return f"{value}u"
    return str(value) if value >= 0 else f"({value})"


def literal(value: float, dtype: str) -> str:
    """`value` as a C constant of `dtype`."""
    if dtype.startswith("float"):
        return float_literal(value, dtype)
    return integer_literal(int(value), dtype)


def array_initializer(array: npt.NDArray[np.generic]) -> str:
    """The lines between the braces of a C array of all elements of `array` in row-major order."""
    dtype = str(array.dtype)
    flat = np.ascontiguousarray(array).reshape(-1)
    values = _array_literals(flat, dtype)
    step = _VALUES_PER_LINE.get(dtype, 6)
    lines = [", ".join(values[i : i + step]) for i in range(0, len(values), step)]
    return "  " + ",\n  ".join(lines)


def _array_literals(flat: npt.NDArray[np.generic], dtype: str) -> list[str]:
    """The literals of a flat array; whole-array formatting wherever no element is special."""
    if dtype == "bool":
        flat, dtype = flat.astype(np.uint8), "uint8"
    if dtype.startswith("float"):
        if np.isfinite(flat).all():
            pattern = " ".join([_FLOAT_FORMATS[dtype]] * flat.size)
            return (pattern % tuple(flat.tolist())).split(" ")
        return [float_literal(value, dtype) for value in flat.tolist()]
    if dtype in ("int32", "int64", "uint32", "uint64"):
        return [integer_literal(value, dtype) for value in flat.tolist()]
    return list(map(str, flat.tolist()))


def array_definition(name: str, array: npt.NDArray[np.generic], space: str = "") -> str:
    """The definition of a constant C array named `name`, aligned by `TVMGEN_ALIGNED`.

    Args:
        name: A C identifier.
        array: Its elements, in row-major order.
        space: A part of its type that says where it is.
    """
    c_type = C_TYPES[str(array.dtype)]
    values = array_initializer(array)
    return f"TVMGEN_ALIGNED const {space}{c_type} {name}[{array.size}] = {{\n{values}\n}};\n"


def string_literal(text: str) -> str:
    """`text` as a C string literal in plain ASCII: UTF-8 with octal escapes."""
    pieces = []
    for byte in text.encode("utf-8", errors="surrogateescape"):
        character = chr(byte)
        if character in '"\\?' or not 32 <= byte < 127:
            pieces.append(f"\\{byte:03o}")
        else:
            pieces.append(character)
    return '"' + "".join(pieces) + '"'


def comment(lines: Sequence[str]) -> str:
    """A C comment; nothing that a model's author wrote can end it."""
    safe = (line.replace("*/", "* /").replace("/*", "/ *") for line in lines)
    plain = (line.encode("ascii", "backslashreplace").decode() for line in safe)
    printable = ("".join(c if c.isprintable() else "?" for c in line) for line in plain)
    return "/*\n" + "".join(f" * {line}".rstrip() + "\n" for line in printable) + " */\n"
