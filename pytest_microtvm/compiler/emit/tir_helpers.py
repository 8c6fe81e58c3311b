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

_AVR_LIBM = {
    "rint": "fabs(x) < 8388608.0f ? (float)lrint(x) : x",
    "nearbyint": "fabs(x) < 8388608.0f ? (float)lrint(x) : x",
    "exp2": "exp(x * 0.69314718f)",
    "log2": "log(x) * 1.44269504f",
    "log1p": "1.0f + x == 1.0f ? x : log(1.0f + x) * x / ((1.0f + x) - 1.0f)",
    "asinh": "copysign(log(fabs(x) + sqrt(x * x + 1.0f)), x)",
    "acosh": "log(x + sqrt(x * x - 1.0f))",
    "atanh": "0.5f * log((1.0f + x) / (1.0f - x))",
}
"""What the C library of AVRs lacks of it, over `x`; a double has 32 bits there."""


def _avr_function(name: str, value: str) -> str:
    return (
        "#if defined(__AVR__) /* its C library has none */\n"
        f"static inline float kernel_{name}(float x) {{\n  return (float)({value});\n}}\n"
        f"#define {name} kernel_{name}\n#endif\n"
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
        f"libm_{name}{suffix}": _avr_function(f"{name}{suffix}", value)
        for name, value in _AVR_LIBM.items()
        for suffix in ("", "f")
    }
)
"""Definitions of the helper functions that kernels may call, by name."""
