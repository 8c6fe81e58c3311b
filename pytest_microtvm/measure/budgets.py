"""Budgets: what models may take of boards, as lines of an ini file."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pytest_microtvm.boards import Board
from pytest_microtvm.boards.selection import matches
from pytest_microtvm.errors import ConfigError
from pytest_microtvm.measure.records import Record

_LINE = re.compile(r"(?P<models>.+?)(?:\s+on\s+(?P<boards>\S+))?\s*:\s+(?P<figures>.+)\Z")
_FIGURE = re.compile(r"(\w+)\s*(?:=|<=)\s*(\d[\d_]*(?:\.\d+)?)\Z")
_CURE = "write MODELS on BOARDS: flash_bytes = 64_000, ram_bytes = 32_000; both may be globs"


@dataclass(frozen=True)
class Budget:
    """What some models may take of some boards.

    Attributes:
        line: As it was written.
        models: A glob for their paths or names.
        boards: A name, glob or tag.
        figures: The most of each figure, by name.
    """

    line: str
    models: str
    boards: str
    figures: Mapping[str, float]

    def is_for(self, record: Record, board: Board) -> bool:
        """Whether it holds for a model on a board."""
        names = (record.model, Path(record.model).name)
        is_model = any(fnmatch.fnmatchcase(name, self.models) for name in names)
        return is_model and matches(board, self.boards)


def parse_budgets(lines: Iterable[str], known: Iterable[str]) -> tuple[Budget, ...]:
    """Read budgets.

    Args:
        lines: Each as "kws*.tflite on mps2_*: flash_bytes = 64_000, ram_bytes = 32_000"; without a
            board for all of them.
        known: The names that figures have.

    Raises:
        ConfigError: A line cannot be read, or names no figure.
    """
    names = tuple(known)
    budgets = []
    for line in lines:
        match = _LINE.match(line)
        if match is None:
            raise ConfigError(f"the budget {line!r} cannot be read", cure=_CURE)
        figures = {}
        for part in match["figures"].split(","):
            figure = _FIGURE.match(part.strip())
            if figure is None:
                raise ConfigError(
                    f"the budget {line!r} cannot be read at {part.strip()!r}", cure=_CURE
                )
            if figure[1] not in names:
                raise ConfigError(
                    f"the budget {line!r} names no figure at {figure[1]!r}",
                    cure=f"figures: {', '.join(names)}",
                )
            figures[figure[1]] = float(figure[2].replace("_", ""))
        budgets.append(Budget(line, match["models"].strip(), match["boards"] or "all", figures))
    return tuple(budgets)


def over_budget(record: Record, board: Board, budgets: Sequence[Budget]) -> str:
    """What is over its budget, a line each; empty where nothing is.

    Args:
        record: Of the model on the board.
        board: The board.
        budgets: All of them.

    Raises:
        ConfigError: A figure that has a budget is not there.
    """
    lines = []
    figures = record.figures()
    for budget in budgets:
        if not budget.is_for(record, board):
            continue
        for name, most in budget.figures.items():
            metric = getattr(figures, name)
            if not metric:
                raise ConfigError(
                    f"the budget {budget.line!r} is for {name}, which is not there: {metric.why}",
                    cure="name the boards that have it: MODELS on BOARDS: ...",
                    board=board.label,
                )
            if metric.value > most:
                lines.append(
                    f"{name} is {metric.value:,.10g} {metric.unit}, {metric.value - most:,.10g} "
                    f"more than the budget of {most:,.10g} ({budget.line})"
                )
    return "\n".join(lines)
