"""Puts the statements of a kernel together, piece by piece."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from pytest_microtvm.compiler.quantized.kernels.text import body


class Text:
    """Statements in C; `str` of it is the body of a kernel."""

    def __init__(self) -> None:
        self._lines: list[str] = []

    def add(self, *lines: str) -> None:
        """Add statements, each a line."""
        self._lines += lines

    @contextmanager
    def block(self, head: str = "") -> Iterator[None]:
        """What is added inside goes between braces, after `head`."""
        self.add(f"{head} {{")
        yield
        self.add("}")

    @contextmanager
    def repeated(
        self, variable: str, count: int, step: int = 1, *, is_downward: bool = False
    ) -> Iterator[None]:
        """A loop of `variable` from 0 to below `count`; just a block when it runs once.

        Args:
            variable: Its name.
            count: Where it ends.
            step: By which it grows.
            is_downward: Begin with the greatest value, and end with 0.
        """
        if count <= step:
            with self.block():
                self.add(f"const int32_t {variable} = 0;", f"(void){variable};")
                yield
            return
        first, condition, sign = 0, f"< {count}", "+"
        if is_downward:
            first, condition, sign = (count - 1) // step * step, ">= 0", "-"
        advance = f"{sign * 2}{variable}" if step == 1 else f"{variable} {sign}= {step}"
        with self.block(f"for (int32_t {variable} = {first}; {variable} {condition}; {advance})"):
            yield

    def __str__(self) -> str:
        return body("\n".join(self._lines))
