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

HELPERS = {
    f"kernel_{operation}_{dtype}": (
        f"static inline {c_type} kernel_{operation}_{dtype}({c_type} a, {c_type} b) {{\n"
        f"  return (a {sign} b) ? a : b;\n}}\n"
    )
    for operation, sign in (("min", "<"), ("max", ">"))
    for dtype, c_type in C_TYPES.items()
} | {
    f"kernel_isnan_{dtype}": (
        f"static inline bool kernel_isnan_{dtype}({c_type} a) {{\n  return a != a;\n}}\n"
    )
    for dtype, c_type in (("float32", "float"), ("float64", "double"))
}
"""Definitions of the helper functions that kernels may call, by name."""
