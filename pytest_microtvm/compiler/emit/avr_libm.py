"""What kernels call of libm and the C library of AVRs lacks."""

from __future__ import annotations

import re
from collections.abc import Iterable

_NEAREST = ("return fabs(x) < 8388608.0f ? (float)lrint(x) : x;",)
_FUNCTIONS = {
    "rint": _NEAREST,
    "nearbyint": _NEAREST,
    "exp2": ("return (float)exp(x * 0.69314718f);",),
    "log2": ("return (float)log(x) * 1.44269504f;",),
    "log1p": (
        "const float sum = 1.0f + x;",
        "return sum == 1.0f ? x : (float)log(sum) * x / (sum - 1.0f);",
    ),
    "expm1": (
        "const float power = (float)exp(x);",
        "if (power == 1.0f) {",
        "  return x;",
        "}",
        "return power < 0.1f ? power - 1.0f : (power - 1.0f) * x / (float)log(power);",
    ),
    "asinh": (
        "const float a = (float)fabs(x);",
        "return (float)copysign(log(a + sqrt(a * a + 1.0f)), x);",
    ),
    "acosh": ("return (float)log(x + sqrt(x * x - 1.0f));",),
    "atanh": ("return 0.5f * (float)log((1.0f + x) / (1.0f - x));",),
    # Abramowitz and Stegun, 7.1.5 near 0 and 7.1.26 elsewhere.
    "erf": (
        "const float a = (float)fabs(x);",
        "const float t = 1.0f / (1.0f + 0.3275911f * a);",
        "const float square = x * x;",
        "if (a < 0.5f) {",
        "  return x * (1.12837917f - square * (0.376126389f - square * (0.112837917f -",
        "      square * (0.0268661706f - square * 0.00522397762f))));",
        "}",
        "const float sum = t * (0.254829592f + t * (-0.284496736f + t * (1.421413741f +",
        "    t * (-1.453152027f + t * 1.061405429f))));",
        "return (float)copysign(1.0f - sum * (float)exp(-square), x);",
    ),
}
"""By name, the statements that make it of `x`; a double has 32 bits there."""


def missing_functions(texts: Iterable[str]) -> str:
    """Definitions of what some C calls and an AVR lacks, for AVRs alone; nothing if it has all.

    Args:
        texts: The C.
    """
    called = {name for text in texts for name in re.findall(r"\b(\w+)\(", text)}
    found = [
        _definition(f"{name}{suffix}", statements)
        for name, statements in _FUNCTIONS.items()
        for suffix in ("", "f")
        if f"{name}{suffix}" in called
    ]
    if not found:
        return ""
    return (
        "\n#if defined(__AVR__) /* its C library lacks these */\n" + "\n".join(found) + "#endif\n"
    )


def _definition(name: str, statements: Iterable[str]) -> str:
    body = "".join(f"  {line}\n" for line in statements)
    return (
        f"static inline float kernel_{name}(float x) {{\n{body}}}\n#define {name} kernel_{name}\n"
    )
