"""Text tables and lines that fit a width."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

GAP = "  "
ELLIPSIS = "…"
SHORTEST = 8
"""A name is not made shorter than this."""

Paint = Callable[[str, str], str]
"""Gives a text a colour, which is "green", "red", "yellow" or none."""


def plain(text: str, _colour: str) -> str:
    """Leave a text as it is."""
    return text


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes:
        heading: Its heading.
        cells: One for each row.
        is_name: Whether its cells may be shortened, and stay beside all others.
        is_number: Whether it is aligned to the right.
        colours: Of each cell, where it has any.
    """

    heading: str
    cells: Sequence[str]
    is_name: bool = False
    is_number: bool = False
    colours: Sequence[str] = ()

    @property
    def width(self) -> int:
        """Characters of the widest cell."""
        return max(map(len, (self.heading, *self.cells)))

    @property
    def is_constant(self) -> bool:
        """Whether all rows say the same."""
        return len(set(self.cells)) <= 1


def shorten(text: str, width: int) -> str:
    """A text with what is too much left out in the middle, where names differ least."""
    if len(text) <= width:
        return text
    kept = max(width - len(ELLIPSIS), 1)
    end = kept // 2
    return text[: kept - end] + ELLIPSIS + (text[-end:] if end else "")


def shorten_apart(texts: Sequence[str], width: int) -> list[str]:
    """Shorten texts; those that would be the same then have a number in place of their middle."""
    short = {text: shorten(text, width) for text in dict.fromkeys(texts)}
    for text in short:
        alike = [other for other in short if shorten(other, width) == shorten(text, width)]
        if len(alike) > 1:
            mark = f"{ELLIPSIS}{alike.index(text) + 1}{ELLIPSIS}"
            kept = max(width - len(mark), 2)
            end = kept // 2
            short[text] = text[: kept - end] + mark + text[-end:]
    return [short[text] for text in texts]


def fold(text: str, width: int, indent: str = "  ") -> list[str]:
    """A line in as many lines as it takes."""
    return textwrap.wrap(text, width, subsequent_indent=indent, break_on_hyphens=False) or [""]


def fitted(columns: Sequence[Column], width: int, paint: Paint = plain) -> Iterator[list[str]]:
    """Lay columns out: as one table if they fit, or else as several with the same rows.

    Names are shortened as far as that makes one table of it, and columns stay in their order.

    Args:
        columns: Those that are names come first.
        width: Characters of a line.
        paint: Gives cells their colours.

    Yields:
        The lines of a table, headings first.
    """
    names = [column for column in columns if column.is_name]
    others = [column for column in columns if not column.is_name]
    least = sum(min(c.width, max(SHORTEST, len(c.heading))) + len(GAP) for c in names)
    room = width - least
    blocks: list[list[Column]] = [[]]
    for column in others:
        if blocks[-1] and _width([*blocks[-1], column]) > room:
            blocks.append([])
        blocks[-1].append(column)
    for block in blocks:
        taken = _width(block) + len(GAP) if block else 0
        yield _table([*_narrowed(names, width - taken), *block], paint)


def format_table(
    rows: Sequence[Sequence[str]], right: Callable[[int], bool] = lambda column: False
) -> list[str]:
    """Align rows of cells, however wide that is; `right` tells which columns are numbers."""
    columns = [
        Column(heading, cells, is_number=right(index))
        for index, (heading, *cells) in enumerate(zip(*rows, strict=True))
    ]
    return _table(columns, plain)


def _narrowed(names: Sequence[Column], room: int) -> list[Column]:
    """Names that take no more room than there is, the widest shortened first."""
    widths = [column.width for column in names]
    while sum(widths) + len(GAP) * (len(widths) - 1) > room:
        widest = widths.index(max(widths))
        if widths[widest] <= max(SHORTEST, len(names[widest].heading)):
            break
        widths[widest] -= 1
    return [
        Column(column.heading, shorten_apart(column.cells, width), True)
        for column, width in zip(names, widths, strict=True)
    ]


def _width(columns: Sequence[Column]) -> int:
    return sum(column.width for column in columns) + len(GAP) * (len(columns) - 1)


def _table(columns: Sequence[Column], paint: Paint) -> list[str]:
    lines = []
    widths = [column.width for column in columns]
    for row in range(-1, len(columns[0].cells) if columns else -1):
        cells = []
        for column, width in zip(columns, widths, strict=True):
            text = column.heading if row < 0 else column.cells[row]
            padded = text.rjust(width) if column.is_number else text.ljust(width)
            colour = column.colours[row] if row >= 0 and column.colours else ""
            cells.append((padded, colour))
        # What pads the last cell is left out, before its colour goes on.
        while cells and not cells[-1][0].strip():
            cells.pop()
        if cells:
            cells[-1] = (cells[-1][0].rstrip(), cells[-1][1])
        lines.append(GAP.join(paint(text, colour) if colour else text for text, colour in cells))
    return lines
