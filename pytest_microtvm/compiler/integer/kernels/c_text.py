"""Puts the statements of a kernel together, indented."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


class Text:
    """Lines of C."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._depth = 1

    def add(self, *lines: str) -> None:
        """Add statements, each a line."""
        self._lines += ["  " * self._depth + line for line in lines]

    @contextmanager
    def block(self, head: str = "") -> Iterator[None]:
        """What is added inside goes between braces, after `head`."""
        self.add(f"{head} {{" if head else "{")
        self._depth += 1
        yield
        self._depth -= 1
        self.add("}")

    @contextmanager
    def repeated(self, variable: str, count: int, step: int = 1) -> Iterator[None]:
        """A loop of `variable` from 0 to below `count`; just a block when it runs once."""
        if count <= step:
            with self.block():
                self.add(f"const int32_t {variable} = 0;", f"(void){variable};")
                yield
            return
        advance = f"++{variable}" if step == 1 else f"{variable} += {step}"
        with self.block(f"for (int32_t {variable} = 0; {variable} < {count}; {advance})"):
            yield

    def __str__(self) -> str:
        return "".join(f"{line}\n" for line in self._lines)
