"""The order of loads and products by Helium.

An instruction on vectors takes two cycles; one of another kind may begin in the second of them. So
loads and products alternate: behind each product comes the next load, as far ahead of its use as
there are registers.
"""

from __future__ import annotations

from dataclasses import dataclass

from pytest_microtvm.compiler.quantized.kernels.c_text import Text

_REGISTERS = 7
"""Vectors that are kept at a time; the eighth register is left to what is around."""


@dataclass(frozen=True)
class _Load:
    """The next 16 bytes of a pixel, or of the weights."""

    name: str
    pointer: str


@dataclass(frozen=True)
class _Product:
    """16 taps of a pixel times their weights, added to a sum."""

    total: str
    taps: str
    weights: str
    is_first: bool


def write_products(text: Text, vectors: int, pixels: int, channels: int, *, is_first: bool) -> None:
    """Some times 16 taps of a few pixels, met by their weights for a few channels.

    The statements add to `sum<channel>_<pixel>`; `from<pixel>` and `weights` move on.

    Args:
        text: Gets them, in a block of their own.
        vectors: How many times.
        pixels: How many.
        channels: How many.
        is_first: Whether the sums begin with them.
    """
    loads, products = _steps(vectors, pixels, channels, is_first)
    last_uses = {name: n for n, each in enumerate(products) for name in (each.taps, each.weights)}
    ahead = iter(loads)
    kept: set[str] = set()

    def load() -> bool:
        following = next(ahead, None)
        if following is not None:
            kept.add(following.name)
            text.add(
                f"const microtvm_int8x16 {following.name} = microtvm_next16(&{following.pointer});"
            )
        return following is not None

    with text.block():
        for number, product in enumerate(products):
            while not {product.taps, product.weights} <= kept:
                load()
            text.add(
                f"microtvm_accumulate(&{product.total}, {product.taps}, {product.weights}, "
                f"{int(product.is_first)});"
            )
            kept -= {name for name in kept if last_uses[name] == number}
            if len(kept) < _REGISTERS:
                load()


def _steps(
    vectors: int, pixels: int, channels: int, is_first: bool
) -> tuple[list[_Load], list[_Product]]:
    """All loads in the order in which they are needed, and all products."""
    loads, products = [], []
    for vector in range(vectors):
        taps = [_Load(f"v{p}_{vector}", f"from{p}") for p in range(pixels)]
        weights = [_Load(f"w{n}_{vector}", "weights") for n in range(channels)]
        loads += [taps[0], weights[0], *taps[1:], *weights[1:]]
        products += [
            _Product(f"sum{n}_{p}", taps[p].name, weights[n].name, is_first and vector == 0)
            for n in range(channels)
            for p in range(pixels)
        ]
    return loads, products
