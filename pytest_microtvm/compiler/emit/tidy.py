"""Makes generated statements look as if somebody had written them: what says nothing goes.

Generators write `y * 1 - 0` and loops that run once, because other shapes have other numbers there.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field, replace

WIDTH = 100
"""Columns of a line."""

_INDENT = "  "
_ONCE = re.compile(r"for \(int32_t (\w+) = 0; \1 < (\d+); (?:\+\+\1|\1 \+= (\d+))\) \{")
_ZERO = re.compile(r"const int32_t (\w+) = 0;")
_DECLARED = re.compile(
    r"(?!return |goto )(?:const )?[A-Za-z_]\w* (?P<names>\**(?:const )?[A-Za-z_]\w*\b.*);"
)
_TYPES = r"(?:\w+_t|void|bool|char|int|float|double|unsigned)"
_RULES = [
    (re.compile(pattern), with_what)
    for pattern, with_what in (
        # A factor or divisor of one.
        (r" [*/] 1(?![\w.])", ""),
        (r"(?<=[(\[])1 \* ", ""),
        (r"(?<=[=+] )1 \* ", ""),
        # Products and quotients of nothing, then sums with it.
        (r"(?<![\w.])(?<![*/%] )0 [*/%] (?:\w+(?![\w(\[.])|\([^()]*\))", "0"),
        (r" [+-] 0(?![\w.])(?! [*/%])", ""),
        (r"(?<=[(\[])0 \+ ", ""),
        (r"(?<== )0 \+ ", ""),
        # Parentheses around one name or number, which are neither a cast nor a condition.
        (
            rf"(?<![\w)])(?<!if )(?<!for )(?<!while )(?<!switch )\((?!{_TYPES}\))(\w+)\)",
            r"\1",
        ),
    )
]


@dataclass
class _Block:
    """Statements between braces.

    Args:
        head: What is before the opening brace, with it.
        items: Lines and blocks.
    """

    head: str
    items: list[str | _Block] = field(default_factory=list)

    def lines(self) -> Iterator[str]:
        """All lines inside, without indentation."""
        for item in self.items:
            if isinstance(item, str):
                yield item
            else:
                yield item.head
                yield from item.lines()
                yield "}"

    def text(self) -> str:
        """The same as one text."""
        return "\n".join(self.lines())


def tidy(body: str, taken: Collection[str] = ()) -> str:
    """The statements of a function, indented.

    Args:
        body: The statements, each on a line or on several of which only the last ends in `;`.
        taken: Names of the function's parameters: no variable of its outermost block may have one.
    """
    root = _parsed(body)
    _simplify(root, frozenset(taken))
    return "".join(f"{line}\n" for line in _indented(root, 1))


def _parsed(body: str) -> _Block:
    root = _Block("")
    stack = [root]
    pending = ""
    for line in filter(None, map(str.strip, body.splitlines())):
        pending = f"{pending} {line}".replace("( ", "(") if pending else line
        if not pending.endswith((";", "{", "}")):
            continue
        statement, pending = pending, ""
        if statement.endswith("{"):
            block = _Block(statement)
            stack[-1].items.append(block)
            stack.append(block)
        elif statement == "}":
            stack.pop()
        else:
            stack[-1].items.append(statement)
    return root


def _simplify(block: _Block, taken: frozenset[str]) -> None:
    """Simplify what is inside of a block, from the outside to the inside."""
    items: list[str | _Block] = []
    pending = block.items
    while pending:
        item, *pending = pending
        if isinstance(item, str):
            zero = _ZERO.fullmatch(item)
            if zero is not None:
                pending = [_with(rest, zero[1], "0") for rest in pending]
                continue
            simplified = _simplified(item)
            items += [] if simplified == "(void)0;" else [simplified]
            continue
        item = _unrolled(replace(item, head=_simplified(item.head)))
        if item.head == "{" and _can_merge(item, [*items, *pending], taken):
            pending = [*item.items, *pending]
            continue
        items.append(item)
    block.items = items
    for item in items:
        if isinstance(item, _Block):
            _simplify(item, frozenset())


def _unrolled(block: _Block) -> _Block:
    """A loop that runs once as a plain block; other blocks as they are."""
    loop = _ONCE.fullmatch(block.head)
    if loop is None or not 0 < int(loop[2]) <= int(loop[3] or 1):
        return block
    if re.search(r"\b(?:continue|break);", block.text()):
        return block
    return _Block("{", [_with(item, loop[1], "0") for item in block.items])


def _with(item: str | _Block, name: str, value: str) -> str | _Block:
    """A statement with a value in place of a variable."""
    pattern = re.compile(rf"\b{name}\b")
    if isinstance(item, str):
        return pattern.sub(value, item)
    return _Block(pattern.sub(value, item.head), [_with(i, name, value) for i in item.items])


def _can_merge(block: _Block, others: list[str | _Block], taken: frozenset[str]) -> bool:
    """Whether a block's variables may as well be those of the block around it."""
    outside = "\n".join(
        other if isinstance(other, str) else f"{other.head}\n{other.text()}" for other in others
    )
    declared = [
        name
        for item in block.items
        if isinstance(item, str) and (found := _DECLARED.fullmatch(item))
        for name in _names(found["names"])
    ]
    return not any(name in taken or re.search(rf"\b{name}\b", outside) for name in declared)


def _names(declarators: str) -> list[str]:
    """The variables of a declaration, without the type: every word before an initializer."""
    words = re.findall(r"[A-Za-z_]\w*", declarators.partition("=")[0])
    words += re.findall(r", \**(\w+) =", declarators)
    return [word for word in words if word != "const"]


def _simplified(statement: str) -> str:
    before = ""
    while before != statement:
        before = statement
        for pattern, with_what in _RULES:
            statement = pattern.sub(with_what, statement)
    return statement


def _indented(block: _Block, depth: int) -> Iterator[str]:
    for item in block.items:
        if isinstance(item, str):
            yield from wrapped(item, _INDENT * depth)
        else:
            yield from wrapped(item.head, _INDENT * depth)
            yield from _indented(item, depth + 1)
            yield _INDENT * depth + "}"


def wrapped(statement: str, indent: str = "") -> Iterator[str]:
    """A statement as lines of at most `WIDTH` columns, where it has spaces to break it at."""
    line = indent + statement
    more = indent + 2 * _INDENT
    while len(line) > WIDTH:
        place = _break(line, len(more))
        if place is None:
            break
        yield line[:place]
        line = more + line[place + 1 :]
    yield line


def _break(line: str, least: int) -> int | None:
    """The space to break a line at: after a comma, else before or after an operator."""
    for before in (", ", " || ", " + ", " * ", " ? ", " : ", "= ", " "):
        place = line.rfind(before, least + 1, WIDTH)
        if place > 0:
            return place + len(before) - 1
    return None
