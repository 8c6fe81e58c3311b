"""Names of models, tensors and kernels as C identifiers that clash with nothing."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from pathlib import Path

from pytest_microtvm.compiler.reserved import HEADER_NAMES

MAX_IDENTIFIER_LENGTH = 80


KERNEL_INCLUDE = Path(__file__).parent / "quantized" / "include"
"""Folder of the headers that archives get copies of: `tvmgen_NAME.h`, beside the model's own."""


def words(text: str) -> list[str]:
    """The words of a text."""
    return text.split()


_KEYWORDS = words(
    """
    alignas alignof and and_eq asm atomic_cancel atomic_commit atomic_noexcept auto bitand bitor
    bool break case catch char char8_t char16_t char32_t class co_await co_return co_yield compl
    concept const const_cast consteval constexpr constinit continue decltype default delete do
    double dynamic_cast else enum explicit export extern false final float for friend goto if import
    inline int long module mutable namespace new noexcept not not_eq nullptr operator or or_eq
    override private protected public reflexpr register reinterpret_cast requires restrict return
    short signed sizeof static static_assert static_cast struct switch synchronized template this
    thread_local throw true try typedef typeid typename typeof typeof_unqual union unsigned using
    virtual void volatile wchar_t while xor xor_eq
    """
)

RESERVED: frozenset[str] = frozenset(_KEYWORDS) | HEADER_NAMES
"""Names that no generated identifier may have."""

_OURS = ("microtvm", "tvmgen")
"""What every name of the runtime's headers, and every one of a model's own header, begins with."""

_FUNCTIONS = words(
    """
    acos acosh asin asinh atan atan2 atanh cbrt ceil copysign cos cosh erf erfc exp exp2 expm1 fabs
    fdim floor fma fmax fmin fmod frexp gamma hypot ilogb index j0 j1 jn ldexp lgamma log log10
    log1p log2 logb lrint lround main modf nearbyint nextafter pow remainder remquo rint round
    scalbn signgam sin sinh sqrt tan tanh tgamma time trunc y0 y1 yn
    """
)

LIBRARY_FUNCTIONS: frozenset[str] = frozenset(
    [name + suffix for name in _FUNCTIONS for suffix in ("", "f", "l")] + ["memcpy", "memset"]
)
"""Names of the C library that a local variable must not hide."""


def module_name(name: str) -> str:
    """`name` as the name of a module, which is no word of C: a prefix precedes it everywhere.

    Only the names of the headers that archives get copies of are taken.
    """
    name = _identifier(name, "model")
    return f"{name}_0" if (KERNEL_INCLUDE / f"tvmgen_{name.lower()}.h").exists() else name


def sanitize(name: str, fallback: str) -> str:
    """`name` as a C and C++ identifier, not yet made unique.

    Letters with accents lose them, every other run of foreign characters becomes one underscore.

    Args:
        name: Any text.
        fallback: An identifier to use when nothing usable is left of `name`, and to put in front
            of a name that begins with a digit.

    Returns:
        An identifier of at most `MAX_IDENTIFIER_LENGTH` characters without leading, trailing or
        double underscores, not in `RESERVED`, and none that the runtime or a model's header has.
    """
    text = _identifier(name, fallback)
    is_reserved = text in RESERVED or text.lower().startswith(_OURS)
    return f"{text}_0" if is_reserved else text


def _identifier(name: str, fallback: str) -> str:
    text = unicodedata.normalize("NFKD", name)
    text = "".join(character for character in text if not unicodedata.combining(character))
    text = re.sub(r"[^A-Za-z0-9]+", "_", text).strip("_")
    if not text:
        text = fallback
    elif text[0].isdigit():
        text = f"{fallback}_{text}"
    return text[:MAX_IDENTIFIER_LENGTH].rstrip("_")


class Namespace:
    """Hands out identifiers, each at most once, whatever the letter case.

    Args:
        taken: Names that must not be handed out.
    """

    def __init__(self, taken: Iterable[str] = ()) -> None:
        self._taken = {name.lower() for name in taken}

    def unique(self, name: str, fallback: str) -> str:
        """An identifier close to `name` that was not handed out before."""
        return self.another(sanitize(name, fallback))

    def another(self, base: str) -> str:
        """An identifier that was not handed out before: `base`, or it and a number."""
        candidate = base
        count = 1
        while candidate.lower() in self._taken:
            count += 1
            candidate = f"{base}_{count}"
        self._taken.add(candidate.lower())
        return candidate


def unique_names(names: Iterable[str]) -> list[str]:
    """`names` with a number appended to those that came before; empty ones get a name."""
    taken: set[str] = set()
    result = []
    for name in names:
        base = name or "unnamed"
        candidate = base
        count = 1
        while candidate in taken:
            count += 1
            candidate = f"{base}_{count}"
        taken.add(candidate)
        result.append(candidate)
    return result
