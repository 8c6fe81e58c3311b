"""C functions that kernels of TVM call: small ones of our own, and those of libm."""

from __future__ import annotations

from pytest_microtvm.compiler.naming import words
from pytest_microtvm.compiler.program import C_TYPES

MATH_NAMES = words(
    """
    acos acosh asin asinh atan atan2 atanh ceil copysign cos cosh erf exp exp2 fabs floor fmod
    hypot ldexp log log10 log1p log2 nearbyint nextafter pow round rint sin sinh sqrt tan tanh
    trunc
    """
)
"""Functions of libm, named as the TIR intrinsics are."""


def _division(operation: str, dtype: str) -> str:
    """A division that C defines for all operands: by 0 gives 0, the least value by -1 itself."""
    c_type, sign = C_TYPES[dtype], {"div": "/", "mod": "%"}[operation]
    by_minus_1 = f"({c_type})(0 - (u{c_type})a)" if operation == "div" else "0"
    cases = "(b == 0) ? 0 : " + (f"(b == -1) ? {by_minus_1} : " if dtype[0] == "i" else "")
    return (
        f"static inline {c_type} kernel_{operation}_{dtype}({c_type} a, {c_type} b) {{\n"
        f"  return {cases}({c_type})(a {sign} b);\n}}\n"
    )


HELPERS = (
    {
        f"kernel_{operation}_{dtype}": (
            f"static inline {c_type} kernel_{operation}_{dtype}({c_type} a, {c_type} b) {{\n"
            f"  return (a {sign} b) ? a : b;\n}}\n"
        )
        for operation, sign in (("min", "<"), ("max", ">"))
        for dtype, c_type in C_TYPES.items()
    }
    | {
        f"kernel_isnan_{dtype}": (
            f"static inline bool kernel_isnan_{dtype}({c_type} a) {{\n  return a != a;\n}}\n"
        )
        for dtype, c_type in (("float32", "float"), ("float64", "double"))
    }
    | {
        f"kernel_{operation}_{dtype}": _division(operation, dtype)
        for operation in ("div", "mod")
        for dtype in C_TYPES
        if "int" in dtype
    }
)
"""Definitions of the helper functions that kernels may call, by name."""
